package pyyaml

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Kind is the type that PyYAML gives a node.
type Kind int

// The kinds, with the Python type of each.
const (
	Invalid   Kind = iota // PyYAML fails: an unknown tag, !!int abc, 2001-02-30, a lone = or <<
	Null                  // None
	Bool                  // bool
	Int                   // int
	Float                 // float
	String                // str
	Timestamp             // date or datetime
	Sequence              // list
	Mapping               // dict
	Other                 // !!binary, !!set, !!omap, !!pairs: bytes, set, lists of tuples
)

var kindNames = [...]string{"invalid", "null", "boolean", "integer", "float", "string", "timestamp", "list", "mapping", "other"}

// String returns the kind's name for messages, such as "integer".
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// KindOf returns the type of a parsed node, aliases followed. A plain scalar is
// resolved by PyYAML's rules; a quoted or tagged one keeps the type it was given.
func KindOf(n *yaml.Node) Kind {
	k, _ := read(n)
	return k
}

// Text returns the value of a String.
func Text(n *yaml.Node) (s string, ok bool) {
	_, v := read(n)
	s, ok = v.(string)
	return s, ok
}

// Int64 returns the value of an Int that fits; [KindOf] still says Int for one
// that does not.
func Int64(n *yaml.Node) (i int64, ok bool) {
	b, ok := BigInt(n)
	if !ok || !b.IsInt64() {
		return 0, false
	}
	return b.Int64(), true
}

// BigInt returns the value of an Int, which Python does not bound.
func BigInt(n *yaml.Node) (i *big.Int, ok bool) {
	_, v := read(n)
	i, ok = v.(*big.Int)
	return i, ok
}

// Float64 returns the value of a Float. It may be infinite or not a number.
func Float64(n *yaml.Node) (f float64, ok bool) {
	_, v := read(n)
	f, ok = v.(float64)
	return f, ok
}

// Boolean returns the value of a Bool.
func Boolean(n *yaml.Node) (b, ok bool) {
	_, v := read(n)
	b, ok = v.(bool)
	return b, ok
}

// read returns a node's kind, and its value where an accessor gives it out: nil,
// bool, *big.Int, float64, string or time.Time.
func read(n *yaml.Node) (Kind, any) {
	n = Resolve(n)
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.ShortTag()
	}
	switch n.Kind {
	case yaml.SequenceNode:
		switch tag {
		case "", "!!seq":
			return Sequence, nil
		case "!!omap", "!!pairs":
			return Other, nil
		}
	case yaml.MappingNode:
		switch tag {
		case "", "!!map":
			return Mapping, nil
		case "!!set":
			return Other, nil
		}
	case yaml.ScalarNode:
		if tag == "" && n.Style != 0 {
			return String, n.Value
		}
		if tag == "" {
			tag = implicitTag(n.Value)
		}
		return construct(tag, n.Value)
	}
	return Invalid, nil
}

// Plain returns the kind that PyYAML gives to s written plain, if s can be
// written plain at all.
func Plain(s string) Kind {
	k, _ := construct(implicitTag(s), s)
	return k
}

// PyYAML's implicit resolvers (yaml/resolver.py), in its order.
var resolvers = []struct {
	tag string
	re  *regexp.Regexp
}{
	{"!!bool", regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)},
	{"!!float", regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?` +
		`|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*` +
		`|[-+]?\.(?:inf|Inf|INF)` +
		`|\.(?:nan|NaN|NAN))$`)},
	{"!!int", regexp.MustCompile(`^(?:[-+]?0b[0-1_]+` +
		`|[-+]?0[0-7_]+` +
		`|[-+]?(?:0|[1-9][0-9_]*)` +
		`|[-+]?0x[0-9a-fA-F_]+` +
		`|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)},
	{"!!merge", regexp.MustCompile(`^<<$`)},
	{"!!null", regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)},
	{"!!timestamp", regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}` +
		`|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?` +
		`(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$`)},
	{"!!value", regexp.MustCompile(`^=$`)},
}

func implicitTag(s string) string {
	for _, r := range resolvers {
		if r.re.MatchString(s) {
			return r.tag
		}
	}
	return "!!str"
}

var bools = map[string]bool{"yes": true, "true": true, "on": true, "no": false, "false": false, "off": false}

// construct does what SafeConstructor does with a scalar of a tag.
func construct(tag, s string) (Kind, any) {
	switch tag {
	case "!!str":
		return String, s
	case "!!null":
		return Null, nil
	case "!!bool":
		if b, ok := bools[strings.ToLower(s)]; ok {
			return Bool, b
		}
	case "!!int":
		if i, ok := parseInt(s); ok {
			return Int, i
		}
	case "!!float":
		if f, ok := parseFloat(s); ok {
			return Float, f
		}
	case "!!timestamp":
		if t, ok := parseTime(s); ok {
			return Timestamp, t
		}
	case "!!binary":
		return Other, nil
	}
	return Invalid, nil
}

// maxDigits is Python's bound on the text of a decimal integer. Here it holds
// for every base, and for floats.
const maxDigits = 4300

func parseInt(s string) (*big.Int, bool) {
	s = strings.ReplaceAll(s, "_", "")
	neg, s := cutSign(s)
	if s == "" || len(s) > maxDigits {
		return nil, false
	}
	var i *big.Int
	var ok bool
	switch {
	case strings.HasPrefix(s, "0b"):
		i, ok = pyInt(s[2:], 2)
	case strings.HasPrefix(s, "0x"):
		i, ok = pyInt(s[2:], 16)
	case s[0] == '0':
		i, ok = pyInt(strings.TrimPrefix(s, "0o"), 8)
	case strings.Contains(s, ":"):
		i, ok = new(big.Int), true
		for part := range strings.SplitSeq(s, ":") {
			digit, isInt := pyInt(part, 10)
			if !isInt {
				return nil, false
			}
			i.Add(i.Mul(i, big.NewInt(60)), digit)
		}
	default:
		i, ok = pyInt(s, 10)
	}
	if !ok {
		return nil, false
	}
	if neg {
		i.Neg(i)
	}
	return i, true
}

// pyInt is Python's int(s, base) of a text without underscores: blanks around
// it and a sign are allowed.
func pyInt(s string, base int) (*big.Int, bool) {
	return new(big.Int).SetString(strings.TrimSpace(s), base)
}

func cutSign(s string) (neg bool, rest string) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[0] == '-', s[1:]
	}
	return false, s
}

func parseFloat(s string) (float64, bool) {
	s = strings.ToLower(strings.ReplaceAll(s, "_", ""))
	neg, s := cutSign(s)
	if s == "" || len(s) > maxDigits {
		return 0, false
	}
	var f float64
	var ok bool
	switch {
	case s == ".inf":
		f, ok = pyFloat("inf")
	case s == ".nan":
		f, ok = pyFloat("nan")
	case strings.Contains(s, ":"):
		// The order of Python's sum, so that the last bit is Python's too.
		parts := strings.Split(s, ":")
		base := 1.0
		for i := len(parts) - 1; i >= 0; i-- {
			digit, isFloat := pyFloat(parts[i])
			if !isFloat {
				return 0, false
			}
			f += digit * base
			base *= 60
		}
		ok = true
	default:
		f, ok = pyFloat(s)
	}
	if neg {
		f = -f
	}
	return f, ok
}

// pyFloat is Python's float(s) of a lower-case text without underscores.
func pyFloat(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "x") {
		return 0, false // Go's hexadecimal floats
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && err.(*strconv.NumError).Err == strconv.ErrRange {
		return f, true // infinity, as in Python
	}
	return f, err == nil
}

var timestamp = regexp.MustCompile(`^([0-9]{4})-([0-9][0-9]?)-([0-9][0-9]?)` +
	`(?:(?:[Tt]|[ \t]+)([0-9][0-9]?):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?` +
	`(?:[ \t]*(?:Z|([-+])([0-9][0-9]?)(?::([0-9]{2}))?))?)?$`)

// parseTime returns the value of a Timestamp, cut to microseconds. A date is its
// midnight, and a time without a zone is taken as UTC (in Python it has none).
func parseTime(s string) (time.Time, bool) {
	m := timestamp.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	num := func(s string) int { n, _ := strconv.Atoi(s); return n }
	year, month, day := num(m[1]), num(m[2]), num(m[3])
	hour, minute, second := num(m[4]), num(m[5]), num(m[6])
	micro := num((m[7] + "000000")[:6])
	offset := time.Duration(num(m[9]))*time.Hour + time.Duration(num(m[10]))*time.Minute
	t := time.Date(year, time.Month(month), day, hour, minute, second, micro*1000, time.UTC)
	// time.Date moves what is out of range into the next unit, where Python fails.
	if year < 1 || int(t.Month()) != month || t.Day() != day || t.Hour() != hour || t.Minute() != minute || t.Second() != second || offset >= 24*time.Hour {
		return time.Time{}, false
	}
	if m[8] == "-" {
		offset = -offset
	}
	return t.Add(-offset), true
}
