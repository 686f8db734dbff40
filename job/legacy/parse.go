package legacy

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

// position is where duologsync stopped on one stream.
type position struct {
	// At is the time from which to ask again, inclusive: what duologsync adds to
	// the time of the last record is taken off again. Records of the last unit of
	// the file, a millisecond or a second, may have been delivered, all before At
	// were. A caller that asks in seconds rounds down.
	At time.Time
	// ID is the id of the last record delivered (txid, telephony_id, activity_id)
	// where the file names it, else "".
	ID string
}

// kind is what duologsync writes for an endpoint.
type kind int

const (
	pairKind     kind = iota // auth: ["milliseconds","txid"]
	millisIDKind             // activity, telephony: "milliseconds,id", plus one millisecond
	millisKind               // trustmonitor: milliseconds plus one
	secondsKind              // adminaction: seconds plus one
)

// kinds are the kinds of the endpoints.
var kinds = map[string]kind{
	"auth": pairKind, "activity": millisIDKind, "telephony": millisIDKind,
	"trustmonitor": millisKind, "adminaction": secondsKind,
}

// Error is a checkpoint file of duologsync that cannot be trusted.
type Error struct {
	// Problem says what is wrong with the file.
	Problem string
	// Hint says what to do about it.
	Hint string
}

// Error returns the problem, without the hint.
func (e *Error) Error() string { return e.Problem }

// maxFile bounds a checkpoint file of duologsync; real ones have 60 bytes.
const maxFile = 4096

// clockSlack is how far a checkpoint may be ahead of the time at which it was
// written, for clocks that differ. No two time zones are that close.
const clockSlack = 5 * time.Minute

// parse reads a checkpoint file of duologsync, which is JSON. Every shape is read
// for every kind, since older versions wrote others for the same endpoint: ten
// digits are seconds, thirteen milliseconds. Where the shape is not the kind's own,
// one unit is taken off, so that the time is never late.
//
// The time written is that of the file's last change, or the present where that
// is not known. No record is newer than the file that tells of it: a position
// beyond is returned with the *[Error], which says so and takes the location of
// written for the zone of duologsync's host. Beside any other error the position is
// empty.
func parse(k kind, data []byte, written time.Time) (position, error) {
	number, id, pair, err := parts(data)
	if err != nil {
		return position{}, &Error{err.Error(), hint}
	}
	at, unit, ok := numberTime(number)
	if !ok {
		return position{}, &Error{"it holds no time in seconds or milliseconds", hint}
	}
	if !(k == pairKind && pair && unit == time.Millisecond) {
		at = at.Add(-unit)
	}
	p := position{at, id}
	if at.After(written.Add(clockSlack)) {
		return p, ahead(k, at, written)
	}
	return p, nil
}

const hint = "replace its content by the time from which to go on, in milliseconds since 1970-01-01 UTC, or remove it to begin at offset"

// ahead is the error of a time that lies after that of the file.
func ahead(k kind, at, written time.Time) error {
	e := &Error{
		Problem: fmt.Sprintf("it says %s, which is %s after it was written", at.UTC().Format(time.RFC3339), at.Sub(written).Round(time.Second)),
		Hint:    hint,
	}
	if k != millisIDKind {
		return e
	}
	e.Problem += ": duologsync ran in a time zone west of UTC, or the clock was wrong"
	if right := hostTime(at, written.Location()); right.Before(at) && !right.After(written.Add(clockSlack)) {
		e.Hint += fmt.Sprintf("; if duologsync ran in this host's time zone, that is %d", right.UnixMilli())
	}
	return e
}

// parts takes the shapes apart: a number, "number", "number,id" or
// ["number","id"], which is a pair.
func parts(data []byte) (number, id string, pair bool, err error) {
	switch {
	case len(data) > maxFile:
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

// numberTime reads a time and tells its unit by its size.
func numberTime(number string) (at time.Time, unit time.Duration, ok bool) {
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
