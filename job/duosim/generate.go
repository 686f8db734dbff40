package duosim

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Generator makes realistic records. Equal generators make equal records.
type Generator struct {
	Seed  uint64
	Style Style
	// Jitter spreads the times within their steps, to the microsecond. One in
	// sixteen is then the time of the record before, and one in sixteen a whole
	// second where the step has one.
	Jitter bool
}

// Generate is [Generator.Generate] of the zero Generator.
func Generate(kind string, n int, from time.Time, step time.Duration) []Record {
	return Generator{}.Generate(kind, n, from, step)
}

// Generate returns n records of an endpoint. Record i has the time from + i*step,
// so that a step of zero gives equal times; the administrator log cuts it to
// seconds, the others to microseconds. Ids are random: their order is not that
// of the records. It panics when kind is none of the endpoints with records.
func (g Generator) Generate(kind string, n int, from time.Time, step time.Duration) []Record {
	k := kindOf(kind, g.Style)
	unit := time.Microsecond
	if g.Style.WholeSeconds || endpointNamed(kind).seconds {
		unit = time.Second
	}
	records := make([]Record, n)
	for i := range records {
		at := g.at(i, from, step).Truncate(unit)
		r := mix(g.Seed ^ k.seed ^ mix(uint64(at.UnixNano())^mix(uint64(i))))
		v := values{at: at, id: newUUID(r, mix(r)), serial: i}
		records[i] = Record{At: at, ID: k.id(v), Raw: k.append(nil, v, mix(r+1))}
	}
	return records
}

func (g Generator) at(i int, from time.Time, step time.Duration) time.Time {
	t := from.Add(time.Duration(i) * step)
	if !g.Jitter || step <= 0 {
		return t
	}
	r := mix(g.Seed + uint64(i))
	switch r % 16 {
	case 0:
		if i > 0 {
			return g.at(i-1, from, step)
		}
	case 1:
		if whole := t.Add(step - 1).Truncate(time.Second); !whole.Before(t) {
			return whole
		}
	}
	return t.Add(time.Duration(mix(r) % uint64(step)))
}

// values is what makes a record of a template.
type values struct {
	at     time.Time
	id     uuid
	serial int
}

type uuid [16]byte

// newUUID makes a random UUID (RFC 9562, version 4) of two numbers. The first 48
// bits are those of hi.
func newUUID(hi, lo uint64) uuid {
	var u uuid
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func (u uuid) append(dst []byte) []byte {
	for i, part := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// other returns a second id, for records with two.
func (u uuid) other() uuid {
	return newUUID(mix(binary.BigEndian.Uint64(u[:8])), mix(binary.BigEndian.Uint64(u[8:])))
}

// key appends an id as Duo's keys are: two letters and 18 more characters.
func (u uuid) key(dst []byte, prefix string) []byte {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	dst = append(dst, prefix...)
	for i := range 18 {
		dst = append(dst, alphabet[(int(u[i%16])+i*7)%len(alphabet)])
	}
	return dst
}

// field is a place in a template that differs in each record. In the JSON of a
// template it is a text @@name@@, or a whole text "@@#name@@" for a number.
var (
	mark   = regexp.MustCompile(`"@@#\w+@@"|@@\w+@@`)
	fields = map[string]func([]byte, values) []byte{
		"id":  func(dst []byte, v values) []byte { return v.id.append(dst) },
		"id2": func(dst []byte, v values) []byte { return v.id.other().append(dst) },
		"se":  func(dst []byte, v values) []byte { return v.id.key(dst, "SE") },
		"n":   func(dst []byte, v values) []byte { return strconv.AppendInt(dst, int64(v.serial), 10) },
		"s":   func(dst []byte, v values) []byte { return strconv.AppendInt(dst, v.at.Unix(), 10) },
		"ms":  func(dst []byte, v values) []byte { return strconv.AppendInt(dst, v.at.UnixMilli(), 10) },
		// Duo leaves a fraction of zero out.
		"iso": func(dst []byte, v values) []byte {
			if v.at.Nanosecond() == 0 {
				return v.at.UTC().AppendFormat(dst, "2006-01-02T15:04:05+00:00")
			}
			return v.at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000+00:00")
		},
		"isoms": func(dst []byte, v values) []byte {
			return v.at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000+00:00")
		},
	}
)

// template is a rendered record with holes: literal, field, literal, … literal.
type template struct {
	literals [][]byte
	fields   []func([]byte, values) []byte
}

func newTemplate(text []byte) template {
	var t template
	end := 0
	for _, m := range mark.FindAllIndex(text, -1) {
		t.literals = append(t.literals, text[end:m[0]])
		t.fields = append(t.fields, fields[strings.Trim(string(text[m[0]:m[1]]), `"@#`)])
		end = m[1]
	}
	t.literals = append(t.literals, text[end:])
	return t
}

func (t template) append(dst []byte, v values) []byte {
	for i, f := range t.fields {
		dst = append(dst, t.literals[i]...)
		dst = f(dst, v)
	}
	return append(dst, t.literals[len(t.fields)]...)
}

// templates is how many different records a kind has, besides ids and times.
const templates = 256

// kind makes the records of one endpoint in one style.
type kind struct {
	templates []template
	idField   string // the field that is the record's id, or empty
	seed      uint64 // makes its ids differ from those of other kinds
}

func (k *kind) append(dst []byte, v values, choice uint64) []byte {
	return k.templates[choice%templates].append(dst, v)
}

func (k *kind) id(v values) string {
	if k.idField == "" {
		return ""
	}
	return string(fields[k.idField](nil, v))
}

// kinds are made on first use: most tests need one or two.
var kinds sync.Map // kindKey → func() *kind

type kindKey struct {
	name  string
	style Style
}

func kindOf(name string, style Style) *kind {
	shape, ok := shapes[name]
	if !ok {
		panic(fmt.Sprintf("duosim: %q has no records", name))
	}
	style.WholeSeconds = false // of no effect on templates
	made, _ := kinds.LoadOrStore(kindKey{name, style}, sync.OnceValue(func() *kind {
		k := &kind{idField: shape.id, seed: hashText(name)}
		random := rand.New(rand.NewPCG(1, 2))
		for i := range templates {
			k.templates = append(k.templates, newTemplate(style.append(nil, marshal(shape.record(dice{random}, i)))))
		}
		return k
	}))
	return made.(func() *kind)()
}

// marshal returns compact JSON with the keys in alphabetical order, which is
// Duo's.
func marshal(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the shapes have no values that fail
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func hashText(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// mix is a hash of a number (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
