package safefile

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/windows"
)

// A virus scanner or an indexer that holds the target for a moment delays the
// replacement, and fails nothing.
func TestScanner(t *testing.T) {
	d := open(t)
	write(t, d.Path("file"), "old")
	name, err := windows.UTF16PtrFromString(d.Path("file"))
	if err != nil {
		t.Fatal(err)
	}
	// Nobody may write to it, rename it or replace it.
	scanner, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, tries := inTheWay, 0
	inTheWay = func(err error) bool {
		if tries++; tries == 3 {
			windows.CloseHandle(scanner)
		}
		return before(err)
	}
	defer func() { inTheWay = before }()
	if err := Replace(d.Path("file"), []byte("new"), 0o600); err != nil {
		t.Error(err)
	}
	if tries < 3 {
		t.Skipf("the scanner was in nobody's way here (%d)", tries)
	}
	if got := content(t, d.Path("file")); got != "new" {
		t.Errorf("the file holds %q", got)
	}
}

// A file of mode 0600 is its owner's, the system's and the administrators' alone,
// whatever its directory would have it inherit.
func TestPrivate(t *testing.T) {
	d := open(t)
	if err := Replace(d.Path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := d.OpenFile("file", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sd, err := security(f)
	if err != nil {
		t.Skip("no access control lists here:", err)
	}
	for _, sid := range granted(sd, reading|writing) {
		if sid != me() && sid != ownerOf(sd) && !slices.Contains(system, sid) {
			t.Errorf("%s may read or write it", sid)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if a := accessOf(f, info); !a.Known || a.Readers != "" || a.Writers != "" || a.Foreign {
		t.Errorf("access %+v", a)
	}
}

// What the list grants to others is seen.
func TestGranted(t *testing.T) {
	for list, want := range map[string]Access{
		"O:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)":                                    {},
		"O:SYD:P(A;;FA;;;SY)(A;;FR;;;WD)":                                    {Readers: "Everyone"},
		"O:SYD:P(A;;FA;;;SY)(A;;0x1301bf;;;AU)":                              {Readers: "Authenticated Users", Writers: "Authenticated Users", Anybody: true},
		"O:SYD:P(A;;FA;;;SY)(A;;0x1200a9;;;BU)(A;;FA;;;S-1-5-21-1-2-3-1001)": {Readers: "Users, S-1-5-21-1-2-3-1001", Writers: "S-1-5-21-1-2-3-1001"},
		"O:SYD:P(A;;FA;;;SY)(A;OICIIO;FA;;;WD)":                              {},
		"O:SYD:P(A;;FA;;;SY)(A;;FA;;;CO)(A;;FA;;;LS)":                        {},
	} {
		sd, err := windows.SecurityDescriptorFromString(list)
		if err != nil {
			t.Fatal(err)
		}
		got := accessIn(sd)
		if !got.Known || got.Foreign || got.Readers != want.Readers || got.Writers != want.Writers || got.Anybody != want.Anybody {
			t.Errorf("%s: %+v, want %+v", list, got, want)
		}
	}
	sd, err := windows.SecurityDescriptorFromString("O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;SY)")
	if err != nil {
		t.Fatal(err)
	}
	if a := accessIn(sd); a.Foreign == elevated() || a.Owner != "S-1-5-21-1-2-3-1001" {
		t.Errorf("a file of somebody else's: %+v", a)
	}
	if err := trusted(ownerOf(sd), owner{}); !errors.Is(err, ErrOwner) {
		t.Errorf("a file of somebody else's: %v", err)
	}
	if err := trusted(me(), owner{}); err != nil {
		t.Errorf("a file of mine: %v", err)
	}
}
