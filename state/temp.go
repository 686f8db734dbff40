package state

import (
	"fmt"

	"dls/state/safefile"
)

// Temp makes a file in the directory for what nobody needs once it is closed. Closing it
// takes it away; what a killed run leaves is removed by the next sweep.
func (d *Dir) Temp() (*safefile.Temp, error) {
	f, err := d.dir.Temp()
	if err != nil {
		err = fmt.Errorf("make a temporary file in %q: %w", d.path, err)
	}
	return f, err
}
