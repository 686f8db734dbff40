package flat

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func table(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	c, err := NewCSV(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if _, err := c.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	n, err := c.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes, %v; wrote %d", n, err, b.Len())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return b.String()
}

func TestCSV(t *testing.T) {
	got := table(t,
		`{"txid": "a", "timestamp": 1795161600, "access_device": {"ip": "10.0.0.1", "location": {"city": "Ann \"A\" Arbor"}}, "groups": ["x", "y"], "credits": 2.50}`,
		`{"timestamp": 1795161601, "eventtype": "administrator", "txid": null, "ok": true, "user": "a,b\nc"}`,
	)
	want := `timestamp,eventtype,access_device.ip,access_device.location.city,credits,groups,ok,txid,user
1795161600,,10.0.0.1,"Ann ""A"" Arbor",2.50,"[""x"", ""y""]",,a,
1795161601,administrator,,,,,true,,"a,b
c"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := table(t); got != "" {
		t.Errorf("no records: %q", got)
	}
}

// A foreign text does not become a formula of who opens the table.
func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "@SUM(A1)": "'@SUM(A1)", "+1+cmd": "'+1+cmd", "-x": "'-x", "\t=1": "'\t=1",
		"+1 555 (0100)": "+1 555 (0100)", "-5": "-5", "": "", "a=b": "a=b", "é": "é",
	} {
		if got := harmless(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTooManyColumns(t *testing.T) {
	c, err := NewCSV(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b strings.Builder
	for i := range MaxColumns + 1 {
		fmt.Fprintf(&b, `"m%d": 1, `, i)
	}
	if _, err := c.Write([]byte("{" + strings.TrimSuffix(b.String(), ", ") + "}\n")); !errors.Is(err, ErrColumns) {
		t.Errorf("got %v", err)
	}
}

// FuzzCSV holds that whatever is taken is a table that can be read.
func FuzzCSV(f *testing.F) {
	f.Add(`{"a": {"b": [1]}, "c": "=1"}`)
	f.Add(`{"": ""}`)
	f.Add(`{"a": 1, "a": 2}`)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "\n") {
			t.Skip()
		}
		if cells, err := parse([]byte(line)); err != nil || len(cells) == 0 {
			t.Skip()
		}
		rows, err := csv.NewReader(strings.NewReader(table(t, line))).ReadAll()
		if len(rows) < 2 && (len(rows) == 0 || len(rows[0]) == 1) { // a lone empty cell is an empty line, which readers pass over
			t.Skip()
		}
		if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
			t.Errorf("%q, %v", rows, err)
		}
	})
}
