package pyyaml

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// plainSafe matches texts that every reader takes as one plain scalar, in block
// and in flow context (where PyYAML minds a ? too): no indicator at its start, no ": " or " #" within, no
// blanks at its ends. Only what is printable and not a line break is allowed.
var plainSafe = regexp.MustCompile("^[^ \\-:#&*!|>'\"%@`" + unsafe + "][^" + unsafe + "]*$")

const unsafe = `\x00-\x1f\x7f-\x{a0}\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff},?\[\]{}`

// Readers of YAML 1.2 (core schema, https://yaml.org/spec/1.2.2/#103-core-schema)
// and readers of 1.1 that follow its type repository see more types than PyYAML.
var otherReaders = regexp.MustCompile(`^(?:` +
	`[yYnN]` + // booleans in YAML 1.1
	`|[-+]?[0-9][0-9_]*` + // with leading zeros: PyYAML has 08 as a string
	`|[-+]?0[oO][0-7_]+|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[bB][01_]+` +
	`|[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?` +
	`|[-+]?\.(?:inf|Inf|INF)|[-+]?\.(?:nan|NaN|NAN)` +
	`|[-+]?[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?` + // base 60
	`|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?.*` + // timestamps, whatever their details
	`)$`)

// NeedsQuotes tells whether s must be quoted in YAML to stay the string that it
// is: written plain it would be read as another type or another text by PyYAML,
// by a reader of YAML 1.2 or by another one of YAML 1.1, or would break the
// document. It errs on the side of quotes. Single quotes do unless s has line
// breaks or characters that are not printable.
func NeedsQuotes(s string) bool {
	return !utf8.ValidString(s) ||
		!plainSafe.MatchString(s) ||
		strings.Contains(s, ": ") || strings.HasSuffix(s, ":") ||
		strings.Contains(s, " #") || strings.HasSuffix(s, " ") ||
		strings.HasPrefix(s, "...") ||
		Plain(s) != String || otherReaders.MatchString(s)
}
