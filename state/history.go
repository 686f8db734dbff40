package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"dls/state/internal/bounds"
)

// RunPoint is what one run came to for one stream, as the history keeps it. Nothing
// is delivered or left out because of it: it is there to be drawn.
type RunPoint struct {
	// At is when the run ended.
	At time.Time
	// Endpoint and Account name the stream.
	Endpoint, Account string
	// Behind is how far the stream was behind when the run ended, or -1 when that was
	// not known.
	Behind time.Duration
	// Delivered counts the records that the run delivered.
	Delivered int
	// Outcome is how the run ended for the stream.
	Outcome Outcome
}

// The history is a file with a line for each run, and the file that was full before
// it.
const (
	historyPrefix, historySuffix = "dls_history", ".ndjson"
	historyOld                   = ".1"
	historyVersion               = 1
)

// historyMax is the size in bytes from which on a file of the history is full. Tests
// make it smaller.
var historyMax int64 = 1 << 20

// historyLine is a run as a line of the history.
type historyLine struct {
	Version int          `json:"v"`
	IKey    string       `json:"ikey"`
	At      int64        `json:"t"` // seconds since the epoch
	Streams []lineStream `json:"s"`
}

// lineStream is a stream of a run: endpoint, account, seconds behind, records, outcome.
type lineStream struct {
	Endpoint, Account string
	Behind            int64
	Delivered         int
	Outcome           Outcome
}

// MarshalJSON writes the stream as a list, for brevity.
func (r lineStream) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.Endpoint, r.Account, r.Behind, r.Delivered, r.Outcome})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *lineStream) UnmarshalJSON(data []byte) error {
	list := []any{&r.Endpoint, &r.Account, &r.Behind, &r.Delivered, &r.Outcome}
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list) != 5 {
		return errors.New("a stream of the history has five members")
	}
	return nil
}

// HistoryLine is a run as a line of the history.
func HistoryLine(ikey string, at time.Time, runs []StreamRun) ([]byte, error) {
	line := historyLine{Version: historyVersion, IKey: ikey, At: at.Unix()}
	for _, r := range runs {
		stream := lineStream{r.Endpoint, r.Account, -1, r.Delivered, r.Outcome}
		if until := r.DeliveredUntil(); !until.IsZero() {
			stream.Behind = int64(max(at.Sub(until), 0) / time.Second)
		}
		line.Streams = append(line.Streams, stream)
	}
	data, err := json.Marshal(line)
	return append(data, '\n'), err
}

// ParseHistory returns what the lines of a history tell of an integration key's streams.
// Lines that cannot be read are left out.
func ParseHistory(data []byte, ikey string) []RunPoint {
	var points []RunPoint
	for text := range bytes.Lines(data) {
		var line historyLine
		if json.Unmarshal(text, &line) != nil || line.Version != historyVersion || line.IKey != ikey {
			continue
		}
		for _, stream := range line.Streams {
			p := RunPoint{time.Unix(line.At, 0).UTC(), stream.Endpoint, stream.Account, time.Duration(stream.Behind) * time.Second, stream.Delivered, stream.Outcome}
			if stream.Behind < 0 {
				p.Behind = -1
			}
			points = append(points, p)
		}
	}
	return points
}

// SortHistory orders points by time, account and endpoint.
func SortHistory(points []RunPoint) {
	slices.SortStableFunc(points, func(a, b RunPoint) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Endpoint, b.Endpoint))
	})
}

// AppendHistory adds a run to the history of the suffix (see [RunsFile]), of which
// about two megabytes are kept: a fortnight of runs every five minutes for one
// account, a few runs for an MSP of thousands. A line that a crash cuts off is passed
// over when it is read.
func (d *Dir) AppendHistory(suffix, ikey string, at time.Time, runs []StreamRun) error {
	line, err := HistoryLine(ikey, at, runs)
	if err != nil {
		return err
	}
	name := historyPrefix + suffix + historySuffix
	if info, err := d.dir.Stat(name); err == nil && info.Size() >= historyMax {
		if err := d.dir.Rename(name, historyPrefix+suffix+historyOld+historySuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// A line that was cut off must not spoil the next one.
	return d.Append(name, append([]byte{'\n'}, line...))
}

// History returns what is kept of the last runs, ordered by time, of an integration
// key's streams. Files and lines that cannot be used are left out.
func (d *Dir) History(ikey string) ([]RunPoint, error) {
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	var points []RunPoint
	for _, name := range names {
		if !strings.HasPrefix(name, historyPrefix) || !strings.HasSuffix(name, historySuffix) {
			continue
		}
		data, _, err := d.dir.Read(name, int64(bounds.File))
		if err != nil {
			continue
		}
		points = append(points, ParseHistory(data, ikey)...)
	}
	SortHistory(points)
	return points, nil
}
