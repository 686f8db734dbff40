package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Legacy is where duologsync stopped on one stream.
type Legacy struct {
	// At is the time from which to ask again, inclusive: what duologsync adds to
	// the time of the last record is taken off again. Records of the last unit of
	// the file, a millisecond or a second, may have been delivered, all before At
	// were. A caller that asks in seconds rounds down.
	At time.Time
	// ID is the id of the last record delivered (txid, telephony_id, activity_id)
	// where the file names it, else "".
	ID string
}

// LegacyKind is what duologsync writes for an endpoint.
type LegacyKind int

const (
	LegacyAuth     LegacyKind = iota // auth: ["milliseconds","txid"]
	LegacyMillisID                   // activity, telephony: "milliseconds,id", plus one millisecond
	LegacyMillis                     // trustmonitor: milliseconds plus one
	LegacySeconds                    // adminaction: seconds plus one
)

// LegacyError is a checkpoint file of duologsync that cannot be trusted.
type LegacyError struct {
	// Problem says what is wrong with the file.
	Problem string
	// Hint says what to do about it.
	Hint string
}

// Error returns the problem, without the hint.
func (e *LegacyError) Error() string { return e.Problem }

// LegacyName is the name of duologsync's checkpoint file of a stream. The account
// is "" for a single account.
//
// In MSP mode duologsync has such a file for each child and endpoint but
// telephony, of which it has one, named as that of a single account. Telephony
// and activity it reads for the parent only, so these files say nothing of what
// a child's stream got.
func LegacyName(endpoint, account string) string {
	if account == "" {
		return endpoint + "_checkpoint_data.txt"
	}
	return endpoint + "_checkpoint_data_" + account + ".txt"
}

// maxLegacy bounds a checkpoint file of duologsync; real ones have 60 bytes.
const maxLegacy = 4096

// clockSlack is how far a checkpoint may be ahead of the time at which it was
// written, for clocks that differ. No two time zones are that close.
const clockSlack = 5 * time.Minute

// ParseLegacy reads a checkpoint file of duologsync, which is JSON. Every shape
// is read for every kind, since older versions wrote others for the same
// endpoint: ten digits are seconds, thirteen milliseconds. Where the shape is not
// the kind's own, one unit is taken off, so that At is never late.
//
// The time written is that of the file's last change, or the present where that
// is not known. No record is newer than the file that tells of it. One that says
// so was written by a host west of UTC (activity and telephony have a time that
// is off by the host's zone) or under a wrong clock, and using it would skip
// hours of records. The location of written is taken as that host's zone in the
// hint.
//
// An error is a *[LegacyError]. What cannot be seen here is a time that is off
// but not ahead of the file. East of UTC it is early, and records come twice.
// West of UTC it is late where the last record was older than the zone's offset
// when it was delivered. A caller can tell: among the records from At on is the
// one named ID, of the time At or a millisecond later; where it is not, the time
// is off.
func ParseLegacy(kind LegacyKind, data []byte, written time.Time) (Legacy, error) {
	number, id, pair, err := legacyParts(data)
	if err != nil {
		return Legacy{}, &LegacyError{err.Error(), legacyHint}
	}
	at, unit, ok := legacyTime(number)
	if !ok {
		return Legacy{}, &LegacyError{"it holds no time in seconds or milliseconds", legacyHint}
	}
	if !(kind == LegacyAuth && pair && unit == time.Millisecond) {
		at = at.Add(-unit)
	}
	if at.After(written.Add(clockSlack)) {
		return Legacy{}, ahead(kind, at, written)
	}
	return Legacy{At: at, ID: id}, nil
}

const legacyHint = "replace its content by the time from which to go on, in milliseconds since 1970-01-01 UTC, or remove it to begin at offset"

// ahead is the error of a time that lies after that of the file.
func ahead(kind LegacyKind, at, written time.Time) error {
	e := &LegacyError{
		Problem: fmt.Sprintf("it says %s, which is %s after it was written", at.UTC().Format(time.RFC3339), at.Sub(written).Round(time.Second)),
		Hint:    legacyHint,
	}
	if kind != LegacyMillisID {
		return e
	}
	e.Problem += ": duologsync ran in a time zone west of UTC, or the clock was wrong"
	// duologsync takes the UTC time of the record for one in the host's zone, so
	// the host's wall clock at the time in the file shows the record's UTC time.
	_, offset := at.In(written.Location()).Zone()
	right := at.Add(time.Duration(offset) * time.Second)
	if offset < 0 && !right.After(written.Add(clockSlack)) {
		e.Hint += fmt.Sprintf("; if duologsync ran in this host's time zone, that is %d", right.UnixMilli())
	}
	return e
}

// legacyParts takes the shapes apart: a number, "number", "number,id" or
// ["number","id"], which is a pair.
func legacyParts(data []byte) (number, id string, pair bool, err error) {
	switch {
	case len(data) > maxLegacy:
		return "", "", false, errors.New("it is too large")
	case len(bytes.TrimSpace(data)) == 0:
		return "", "", false, errors.New("it is empty")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return "", "", false, errors.New("it is cut off or damaged")
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", "", false, errors.New("it is damaged: something follows the checkpoint")
	}
	switch v := v.(type) {
	case nil:
		return "", "", false, errors.New("it holds null, not a checkpoint")
	case json.Number:
		return v.String(), "", false, nil
	case string:
		number, id, _ = strings.Cut(v, ",")
		return number, known(id), false, nil
	case []any:
		if len(v) != 2 {
			break
		}
		switch n := v[0].(type) {
		case json.Number:
			number = n.String()
		case string:
			number = n
		}
		switch s := v[1].(type) {
		case nil:
			return number, "", true, nil
		case string:
			return number, known(s), true, nil
		}
	}
	return "", "", false, errors.New("it holds no checkpoint that duologsync writes")
}

// known drops what duologsync writes for an id that a record does not have.
func known(id string) string {
	if id == "None" {
		return ""
	}
	return id
}

// legacyTime reads a time and tells its unit by its size.
func legacyTime(number string) (at time.Time, unit time.Duration, ok bool) {
	n, err := strconv.ParseUint(number, 10, 63)
	switch {
	case err != nil:
		return time.Time{}, 0, false
	case len(number) == 10 && n >= 1e9:
		return time.Unix(int64(n), 0).UTC(), time.Second, true
	case len(number) == 13 && n >= 1e12:
		return time.UnixMilli(int64(n)).UTC(), time.Millisecond, true
	}
	return time.Time{}, 0, false
}
