package audit

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/job/record"
)

// The bounds of what is looked at in one line.
const (
	maxDepth  = 4   // texts within texts
	maxWords  = 256 // ids, and times: a line that has more holds more than one record
	maxLevel  = 16  // objects within objects
	maxGroups = 1 << 16
	minID     = 6 // shorter ids are looked for as whole texts only
	maxID     = 255
)

// lineReader finds what may be the ids and the times of a record in a line, whatever
// its form. What stands in a JSON text that is cut off does not count: a torn line
// is no record.
//
// Who writes into a record, such as with a name or a title, must not make its line stand
// for another record. So an object that has an id and a time as its members, and a line of
// CEF, is that record and no other, whatever its texts hold. In what is neither, such as
// columns of a table, every word may be an id; there a line stands for one record at most.
type lineReader struct {
	lengths  [maxID + 1]bool // of the ids that are wanted
	texts    bool            // ids are wanted that are no words
	members  bool            // records without an id are wanted
	accounts map[string]bool // those of child accounts; empty where there are none

	ids    []word
	times  []instant
	groups []group   // what says itself which record it is
	owns   []instant // the times of groups
	frames []bool    // which texts are torn
	names  []string  // the columns of a table whose rows may be records without an id
	kinds  []kind    // those of its columns; nil where there is no table
}

// group is an object, a line of CEF or a row, that names its id, or is a record without one.
type group struct {
	id       []byte
	from, to int      // where its own times stand in owns
	exact    bool     // it tells all, with a time of more than whole seconds: what else the line holds is no matter
	key      [16]byte // of a record without an id
	depth    int      // how many texts it stands in
}

// name tells it from others.
func (g *group) name() string {
	if g.id == nil {
		return string(g.key[:])
	}
	return string(g.id)
}

// kind is what a member or a column holds.
type kind byte

const (
	isOther   kind = iota
	isTime         // the record's own time
	isTxID         // the ids, those last that other logs' records have, too
	isID           // an id
	isForeign      // another log's record
)

var kinds = map[string]kind{
	"txid": isTxID, "telephony_id": isID, "activity_id": isID, "sekey": isID, "externalId": isID, "externalid": isID, "ExternalID": isID,
	"isotimestamp": isTime, "timestamp": isTime, "ts": isTime, "surfaced_timestamp": isTime, "rt": isTime, "receipttime": isTime, "ReceiptTime": isTime,
}

// kindOf tells what a member or a column of a name holds. An export may put the names of
// objects before it, and the letter of a type behind.
func kindOf(name []byte) kind {
	if bytes.Contains(name, surfaced) {
		return isForeign
	}
	if i := bytes.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	k, known := kinds[string(name)]
	if n := len(name) - 2; !known && n > 0 && name[n] == '_' && bytes.IndexByte([]byte("sgtd"), name[n+1]) >= 0 {
		k = kinds[string(name[:n])]
	}
	return k
}

// word is what may be an id.
type word struct {
	text  []byte
	frame int // the text in which it stands outside of every object, or -1
}

// instant is a time.
type instant struct {
	text  []byte
	ms    int64
	whole bool // of seconds: good for a record that tells nothing more exact
	frame int
}

// reset forgets the line before.
func (r *lineReader) reset() {
	r.ids, r.times, r.groups, r.owns, r.frames = r.ids[:0], r.times[:0], r.groups[:0], r.owns[:0], r.frames[:0]
}

// read reads a line.
func (r *lineReader) read(line []byte) {
	r.reset()
	r.text(line, 0)
	r.whole()
}

// named tells whether an object that stands in no text, or a row, names an id.
func (r *lineReader) named(id []byte) bool {
	return id != nil && slices.ContainsFunc(r.groups, func(g group) bool { return g.depth == 0 && bytes.Equal(g.id, id) })
}

// whole leaves out what stands in texts that are torn.
func (r *lineReader) whole() {
	torn := func(frame int) bool { return frame >= 0 && r.frames[frame] }
	ids, times := r.ids[:0], r.times[:0]
	for _, w := range r.ids {
		if !torn(w.frame) {
			ids = append(ids, w)
		}
	}
	for _, t := range r.times {
		if !torn(t.frame) {
			times = append(times, t)
		}
	}
	r.ids, r.times = ids, times
}

// isWord marks the bytes of words.
var isWord = func() (t [256]bool) {
	for c := range t {
		t[c] = '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_'
	}
	return t
}()

func digit(c byte) bool { return '0' <= c && c <= '9' }

// text reads a text that may hold JSON objects.
func (r *lineReader) text(b []byte, depth int) {
	frame := len(r.frames)
	r.frames = append(r.frames, false)
	if bytes.Contains(b, cefMark) {
		r.cef(b, depth)
		return
	}
	torn := false
	for i := 0; i < len(b); {
		c := b[i]
		if c == '{' && (torn || memberOf(b[:i])) {
			// An object within one that is cut off is part of it; the next record begins with one
			// of its own.
			if end, err := record.Skip(b, i); err == nil && nested(b[:i]) {
				i = end
				continue
			}
		}
		if c == '{' {
			if end, ok := r.open(b, i, depth); ok {
				i = end
				continue
			} else if end < 0 {
				torn = true
				r.frames[frame] = true
			}
			i++
			continue
		}
		if !isWord[c] {
			i++
			continue
		}
		if torn {
			i++
			continue
		}
		i = r.word(b, i, frame)
	}
}

// open reads the object that may begin at b[i]. It returns the index behind it and
// true; or -1 where it is cut off, and 0 where there is none.
func (r *lineReader) open(b []byte, i, depth int) (end int, ok bool) {
	j := i + 1
	for j < len(b) && bytes.IndexByte(spaces, b[j]) >= 0 {
		j++
	}
	switch {
	case j >= len(b):
		return -1, false // a line ends in its own brace, or is cut
	case b[j] == '}':
		return j + 1, true
	case b[j] == '"' && j+1 < len(b) && b[j+1] == '"' && depth < maxDepth: // a cell of a table
		inner, end, whole := undouble(b, i)
		r.text(inner, depth+1)
		if !whole {
			return -1, false
		}
		return end, true
	case b[j] == '\\' && j+1 < len(b) && b[j+1] == '"' && depth < maxDepth: // a text within a text
		inner, end := unescape(b[i:])
		r.text(inner, depth+1)
		return i + end, true
	case b[j] != '"':
		return 0, false
	}
	end, err := record.Skip(b, i)
	if err != nil {
		return -1, false
	}
	r.object(b[i:end], depth, 0)
	return end, true
}

// spaces are what may stand between the tokens of JSON.
var spaces = []byte(" \t\r\n")

// surfaced is the member of Trust Monitor's events that holds a whole record of another
// log. What exports it may make several members of it, whose names begin with its name.
var surfaced = []byte("surfaced_auth")

// nested tells whether an object that follows a text is part of another one.
func nested(before []byte) bool {
	before = bytes.TrimRight(before, string(spaces))
	return memberOf(before) || len(before) > 0 && bytes.IndexByte([]byte(":,["), before[len(before)-1]) >= 0
}

// memberOf tells whether an object that follows a text is that of surfaced.
func memberOf(before []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(before, " \t\r\n:=\"\\"), surfaced)
}

// own adds the time of a value to those of a group.
func (r *lineReader) own(g *group, v []byte) {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || !digit(v[0]) {
		return
	}
	if t, _, ok := readTime(v, 0); ok {
		r.owns = append(r.owns, t)
		g.to = len(r.owns)
		g.exact = g.exact || !t.whole
	}
}

// text of a value: that of a string, a number as it is written, and nothing else.
func textOf(v []byte) []byte {
	switch {
	case len(v) >= 2 && v[0] == '"' && bytes.IndexByte(v, '\\') < 0:
		return v[1 : len(v)-1]
	case len(v) > 0 && v[0] == '"':
		return []byte(record.Text(v))
	case len(v) > 0 && (digit(v[0]) || v[0] == '-'):
		return v
	}
	return nil
}

// record tells whether an object is a record by its own members: one with an id, or one of
// those without.
func (r *lineReader) record(b []byte, depth int) (g group, named bool) {
	g.from, g.to, g.depth = len(r.owns), len(r.owns), depth
	var m memberSet
	rank := isOther
	_, _ = record.Object(b, 0, func(name []byte, i int) (int, error) {
		end, err := record.Skip(b, i)
		if err != nil {
			return 0, err
		}
		v := b[i:end]
		switch k := kindOf(name); k {
		case isTime:
			r.own(&g, textOf(v))
		case isTxID, isID:
			if text := textOf(v); len(text) > 0 && k > rank {
				g.id, rank = text, k
			}
		}
		if v[0] != '{' && v[0] != '[' {
			m.putRaw(name, v)
		}
		return end, nil
	})
	if g.id != nil {
		return g, true
	}
	r.owns, g.to = r.owns[:g.from], g.from
	g.key, named = m.key()
	g.exact = m.seen&ofRecord == ofRecord
	return g, named
}

// object reads a whole object.
func (r *lineReader) object(b []byte, depth, level int) {
	g, named := r.record(b, depth)
	if named && len(r.groups) < maxGroups {
		r.groups = append(r.groups, g)
	}
	if named && g.exact {
		return
	}
	for i := 1; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			end, err := record.Skip(b, i)
			if err != nil {
				return
			}
			s := b[i:end]
			j := end
			for j < len(b) && (b[j] == ':' || bytes.IndexByte(spaces, b[j]) >= 0) {
				j++
			}
			if j > end && bytes.Contains(s, surfaced) {
				if v, err := record.Skip(b, j); err == nil {
					end = v
				}
			} else {
				r.string(s[1:len(s)-1], depth)
			}
			i = end
		case c == '{' && level < maxLevel:
			end, err := record.Skip(b, i)
			if err != nil {
				return
			}
			r.object(b[i:end], depth, level+1)
			i = end
		case isWord[c]:
			i = r.word(b, i, -1)
		default:
			i++
		}
	}
}

// string reads what stands between the quotes of a string.
func (r *lineReader) string(s []byte, depth int) {
	if len(s) < minID && !r.texts {
		return
	}
	if depth < maxDepth && (bytes.IndexByte(s, '{') >= 0 || bytes.Contains(s, cefMark)) {
		inner, _ := unescape(s)
		r.text(inner, depth+1)
		return
	}
	if r.texts && len(s) > 0 && len(s) <= maxID {
		text := record.Text(append(append([]byte{'"'}, s...), '"'))
		if r.lengths[min(len(text), maxID)] && len(r.ids) < maxWords {
			r.ids = append(r.ids, word{[]byte(text), -1})
		}
	}
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\\':
			i += 2
		case isWord[c]:
			i = r.word(s, i, -1)
		default:
			i++
		}
	}
}

// word reads the word or the time that begins at b[i], and returns the index behind.
func (r *lineReader) word(b []byte, i, frame int) int {
	if digit(b[i]) {
		if t, end, ok := readTime(b, i); ok {
			if len(r.times) < maxWords {
				t.frame = frame
				r.times = append(r.times, t)
			}
			return end
		}
	}
	end := i + 1
	for end < len(b) && isWord[b[end]] {
		end++
	}
	if n := end - i; n <= maxID && r.lengths[n] && len(r.ids) < maxWords {
		r.ids = append(r.ids, word{b[i:end], frame})
	}
	return end
}

// readTime reads the time that begins at b[i]: one of RFC 3339 or near it, or seconds or
// milliseconds since the epoch.
func readTime(b []byte, i int) (t instant, end int, ok bool) {
	rest := b[i:]
	if len(rest) >= 19 && rest[4] == '-' && rest[7] == '-' && rest[13] == ':' && rest[16] == ':' && (rest[10] == 'T' || rest[10] == ' ' || rest[10] == 't') {
		return readDate(b, i)
	}
	n := 0
	for n < len(rest) && n <= 13 && digit(rest[n]) {
		n++
	}
	if n != 10 && n != 13 || n < len(rest) && isWord[rest[n]] {
		return t, 0, false
	}
	v, err := strconv.ParseInt(string(rest[:n]), 10, 64)
	if err != nil {
		return t, 0, false
	}
	if n == 13 {
		return instant{text: rest[:n], ms: v}, i + n, true
	}
	if n+4 <= len(rest) && rest[n] == '.' && digit(rest[n+1]) && digit(rest[n+2]) && digit(rest[n+3]) {
		fraction, _ := strconv.Atoi(string(rest[n+1 : n+4])) // three digits
		end := n + 4
		for end < len(rest) && digit(rest[end]) {
			end++
		}
		return instant{text: rest[:end], ms: v*1000 + int64(fraction)}, i + end, true
	}
	return instant{text: rest[:n], ms: v * 1000, whole: true}, i + n, true
}

// readDate reads a time that begins with a date.
func readDate(b []byte, i int) (t instant, end int, ok bool) {
	s := b[i:]
	number := func(from, to int) int {
		n := 0
		for _, c := range s[from:to] {
			if !digit(c) {
				return -1 << 20
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return t, 0, false
	}
	end = 19
	ms := 0
	if end+1 < len(s) && (s[end] == '.' || s[end] == ',') && digit(s[end+1]) {
		end++
		scale := 100
		for end < len(s) && digit(s[end]) {
			ms += int(s[end]-'0') * scale
			scale /= 10
			end++
		}
	}
	offset := 0
	switch {
	case end < len(s) && (s[end] == 'Z' || s[end] == 'z'):
		end++
	case end+3 <= len(s) && (s[end] == '+' || s[end] == '-') && digit(s[end+1]) && digit(s[end+2]):
		offset = number(end+1, end+3) * 60
		sign := s[end]
		end += 3
		if end < len(s) && s[end] == ':' && end+3 <= len(s) && digit(s[end+1]) && digit(s[end+2]) {
			offset += number(end+1, end+3)
			end += 3
		} else if end+2 <= len(s) && digit(s[end]) && digit(s[end+1]) {
			offset += number(end, end+2)
			end += 2
		}
		if sign == '-' {
			offset = -offset
		}
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).UnixMilli() + int64(ms) - int64(offset)*60_000
	return instant{text: s[:end], ms: at}, i + end, true
}

// undouble returns the rest of a table's cell from b[i] on, with doubled quotes as one,
// the index behind the cell's closing quote, and whether there is one.
func undouble(b []byte, i int) (inner []byte, end int, whole bool) {
	inner = make([]byte, 0, len(b)-i)
	for i < len(b) {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return append(inner, b[i:]...), len(b), false
		}
		inner = append(inner, b[i:i+n]...)
		i += n + 1
		if i < len(b) && b[i] == '"' {
			inner = append(inner, '"')
			i++
			continue
		}
		return inner, i, true
	}
	return inner, len(b), false
}

// unescape takes one level of JSON's escapes off a text up to a quote that has none, and
// returns the index of that.
func unescape(b []byte) (inner []byte, end int) {
	inner = make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return inner, i
		case c != '\\' || i+1 == len(b):
			inner = append(inner, c)
		default:
			i++
			switch b[i] {
			case 'u': // no id, no time and no brace is written so
				if i+5 <= len(b) {
					if v, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 16); err == nil {
						inner = append(inner, string(rune(v))...)
						i += 4
						continue
					}
				}
				inner = append(inner, ' ')
			case 'n', 'r', 't', 'b', 'f':
				inner = append(inner, ' ')
			default:
				inner = append(inner, b[i])
			}
		}
	}
	return inner, len(b)
}

var (
	cefMark  = []byte("CEF:0|")
	cefChild = []byte(" cs6Label=child_account_id cs6=")
)

// cef reads a line of CEF, in whose values no "=" stands as it is. Where a line is cut, and
// another follows, the last one counts.
func (r *lineReader) cef(b []byte, depth int) {
	if r.cutCEF(b) {
		return
	}
	g := group{id: cefValue(b, "externalId="), from: len(r.owns), to: len(r.owns), depth: depth}
	if g.id == nil {
		return
	}
	r.own(&g, cefValue(b, "rt="))
	g.exact = true // a record that tells no time has none
	r.groups = append(r.groups, g)
}

// cefValue is the last value of a key.
func cefValue(b []byte, key string) []byte {
	for {
		i := bytes.LastIndex(b, []byte(key))
		if i <= 0 {
			return nil
		}
		if c := b[i-1]; c != ' ' && c != '|' {
			b = b[:i]
			continue
		}
		v := b[i+len(key):]
		n := 0
		for n < len(v) && v[n] != ' ' && v[n] != '"' {
			n++
		}
		return v[:n]
	}
}

// cutCEF tells whether a line of CEF is cut off: where there are child accounts each line
// ends with one.
func (r *lineReader) cutCEF(b []byte) bool {
	if len(r.accounts) == 0 {
		return false
	}
	i := bytes.LastIndex(b, cefChild)
	if i < 0 {
		return true
	}
	rest := b[i+len(cefChild):]
	n := 0
	for n < len(rest) && isWord[rest[n]] {
		n++
	}
	return !r.accounts[string(rest[:n])]
}

// columns takes the first line of a table, which names its columns.
func (r *lineReader) columns(names []string) {
	has := map[string]bool{}
	r.names, r.kinds = nil, make([]kind, len(names))
	for i, n := range names {
		has[n] = true
		if r.kinds[i] = kindOf([]byte(n)); r.kinds[i] == isOther {
			r.kinds[i] = kindOf([]byte(strings.ToLower(n)))
		}
	}
	if has["action"] && has["timestamp"] {
		r.names = names
	}
}

// row reads a row of a table.
func (r *lineReader) row(cells []string) {
	r.reset()
	g := group{from: 0}
	rank := isOther
	for i, k := range r.kinds {
		if cells[i] == "" {
			continue
		}
		if k == isTime {
			r.own(&g, []byte(cells[i]))
		}
		if k > rank && (k == isTxID || k == isID) {
			g.id, rank = []byte(cells[i]), k
		}
	}
	if g.id == nil && r.members && r.names != nil {
		var m memberSet
		for i, name := range r.names {
			m.put(name, cells[i])
		}
		if key, ok := m.key(); ok {
			r.groups = append(r.groups, group{key: key, exact: true})
			return
		}
	}
	if g.id != nil {
		r.groups = append(r.groups, g)
	}
	if g.exact && g.id != nil {
		return
	}
	if g.id == nil {
		r.owns = r.owns[:0]
	}
	for i, k := range r.kinds {
		if k != isForeign {
			r.text([]byte(cells[i]), 1)
		}
	}
	r.whole()
}

// memberNames are the members by which a record without an id is known, and the child
// account's id.
var memberNames = [...]string{"timestamp", "username", "action", "object", "description", "child_account_id"}

// ofRecord are those that Duo writes into each such record.
const ofRecord = 1<<5 - 1

// memberSet is what is known of an object's members. Null, empty and missing are one:
// what exports it may drop them.
type memberSet struct {
	text [len(memberNames)]string
	seen uint8
}

func (m *memberSet) put(name, text string) {
	for k, n := range memberNames {
		if n == name {
			m.text[k] = text
			m.seen |= 1 << k
		}
	}
}

func (m *memberSet) putRaw(name, value []byte) {
	for k, n := range memberNames {
		if n == string(name) {
			m.seen |= 1 << k
			switch {
			case string(value) == "null":
			case value[0] == '"':
				m.text[k] = record.Text(value)
			default:
				m.text[k] = string(value)
			}
		}
	}
}

// key is the key of a record of these members, where they are enough to be one.
func (m *memberSet) key() (key [16]byte, ok bool) {
	if m.seen&1 == 0 || m.seen&4 == 0 || bits.OnesCount8(m.seen) < 3 || m.text[0] == "" {
		return key, false
	}
	return membersKey(m), true
}
