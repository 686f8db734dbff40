// Package bounds is how large checkpoints may be. Package statetest lowers that for the
// tests of others; in the program nobody does.
package bounds

// The bounds.
var (
	// File is how many bytes a file in a checkpoint directory may have.
	File = 256 << 20
	// Marks is how many delivered records a checkpoint remembers. At a day's overlap that
	// is some ten records a second. A mark takes at most some 70 bytes.
	Marks = 1 << 20
)
