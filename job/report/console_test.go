package report

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// speak logs one of each kind.
func speak(h slog.Handler) {
	log := slog.New(h)
	log.Debug("detail")
	log.Info("fetched 3", "stream", "auth")
	log.Warn("slow", "in", "2s", "because", errors.New("limited"))
	log.WithGroup("x").With("stream", "auth of DA1").Error("refused", "hint", "check the port\nand the host")
	log.Error("two\nlines\n", "hint", "")
	log.Info("foreign \x1b[2J\u009b2J\u202Etext\r\x00 tab\tend\u00e9")
}

func TestConsoleForPeople(t *testing.T) {
	var b bytes.Buffer
	speak(NewConsole(&b, slog.LevelInfo))
	want := `dls: auth: fetched 3
dls: warning: slow (in 2s, because limited)
dls: error: auth of DA1: refused
dls: hint: check the port
dls: hint: and the host
dls: error: two
dls: error: lines
dls: foreign ?[2J?2J?text?? tab endé
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConsoleForTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if runtime.GOOS == "windows" {
		t.Skip("there is no systemd")
	}
	t.Setenv("JOURNAL_STREAM", identity(t, f))
	speak(NewConsole(f, slog.LevelDebug))
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `<7>detail
<6>auth: fetched 3
<4>slow (in 2s, because limited)
<3>auth of DA1: refused
<3>hint: check the port
<3>hint: and the host
<3>two
<3>lines
<6>foreign ?[2J?2J?text?? tab endé
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The variable is inherited by programs whose stderr goes elsewhere.
func TestJournalIsElsewhere(t *testing.T) {
	dir := t.TempDir()
	journal, err := os.Create(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	other, err := os.Create(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if runtime.GOOS == "windows" {
		t.Skip("there is no systemd")
	}
	good := identity(t, journal)
	for _, tt := range []struct {
		name   string
		f      *os.File
		stream string
		want   bool
	}{
		{"journal", journal, good, true},
		{"no systemd", journal, "", false},
		{"elsewhere", other, good, false},
		{"device only", journal, strings.Split(good, ":")[0], false},
		{"nonsense", journal, "x:y", false},
	} {
		if got := isJournal(tt.f, tt.stream); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	gone, err := os.Create(filepath.Join(dir, "gone"))
	if err != nil {
		t.Fatal(err)
	}
	stream := identity(t, gone)
	gone.Close()
	if isJournal(gone, stream) {
		t.Error("a closed file is the journal")
	}
	t.Setenv("JOURNAL_STREAM", good)
	var b bytes.Buffer
	slog.New(NewConsole(&b, slog.LevelInfo)).Info("here")
	if b.String() != "dls: here\n" {
		t.Errorf("not a file: %q", b.String())
	}
}

// identity is what systemd puts into $JOURNAL_STREAM.
func identity(t *testing.T, f *os.File) string {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", numbers(info)...)
}
