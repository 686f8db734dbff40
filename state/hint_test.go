package state

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"dls/state/safefile"
)

// Whatever may be a neighbour's is never advised to be adopted as it is.
func TestHintAdoptsNothing(t *testing.T) {
	causes := []error{
		&safefile.OwnerError{Owner: "uid 7"}, safefile.ErrSymlink, safefile.ErrNotRegular, safefile.ErrLinked, safefile.ErrShared,
	}
	for _, cause := range causes {
		for _, tt := range []struct {
			err   error
			again bool // what is in it counts
		}{
			{&UntrustedError{"the file", cause}, true},
			{&RosterError{"the file", cause}, true},
			{&LockError{"the file", cause}, false},
			{cause, false},
		} {
			hint := Hint(tt.err)
			names := strings.Contains(hint, `"the file"`) || tt.err == cause
			looks := strings.Contains(hint, "look at it, and remove it")
			if !names || !looks || strings.Contains(hint, "chmod") || strings.Contains(hint, "then put back a good copy") != tt.again {
				t.Errorf("%T, %v: %q", tt.err, cause, hint)
			}
		}
	}
	if hint := Hint(&UntrustedError{"the file", fs.ErrPermission}); !strings.HasPrefix(hint, `let the user that runs dls read "the file"`) {
		t.Errorf("a file that cannot be read: %q", hint)
	}
	if hint := Hint(errors.New("another")); hint != "" {
		t.Errorf("another error: %q", hint)
	}
}
