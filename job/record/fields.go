package record

// Extra is a member that is added to each record: at its end, or in place of a
// member of that name, as assigning to a Python dictionary does.
type Extra struct {
	key, value []byte // as they are written, key with its quotes
}

// NewExtra returns the member key: value with a string as value.
func NewExtra(key, value string) Extra {
	return Extra{appendQuoted(nil, key), appendQuoted(nil, value)}
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		dst = appendRune(dst, r)
	}
	return append(dst, '"')
}

// Fields are members of a record that the caller wants to see. Values[k] is set
// to the text of the member Names[k], nil where there is none; it aliases the
// source.
type Fields struct {
	Names  []string
	Values [4][]byte
}

// Scan fills in the values of want from the JSON object that begins at src[i] and
// returns the index after it, like [Writer.Append] without a line. It is less
// strict: it finds where values end and does not look into them.
func Scan(src []byte, i int, want *Fields) (end int, err error) {
	clear(want.Values[:])
	return Object(src, i, func(key []byte, i int) (int, error) {
		end, err := Skip(src, i)
		if err != nil {
			return 0, err
		}
		for k, name := range want.Names {
			if string(key) == name {
				want.Values[k] = src[i:end]
			}
		}
		return end, nil
	})
}
