package audit

import "encoding/binary"

// Held is what Duo has of streams, to be held against their ledgers: the records by
// stream and hour. Add is safe for one goroutine at a time.
type Held struct{ rows sorter }

// Shown is one record that Duo has.
type Shown struct {
	// Stream is the number of its stream, Hour the hour and At the time of the record.
	Stream int
	Hour   int64
	At     int64
	// Page and Line say where its line is kept.
	Page, Line int
	// Key, Digest and Count are those of its mark; New tells that it is no new version
	// of another one.
	Key    [16]byte
	Digest uint64
	Count  int
	New    bool
}

const heldSize = 4 + 8 + 8 + 4 + 4 + 16 + 8 + 4 + 1

// NewHeld returns one without records.
func NewHeld(temp Temp) *Held { return &Held{sorter{size: heldSize, temp: temp}} }

// Close takes the temporary file away.
func (h *Held) Close() { h.rows.close() }

// Add adds a record, whose hour is known.
func (h *Held) Add(s Shown) error {
	var row [heldSize]byte
	b := binary.BigEndian.AppendUint32(row[:0], uint32(s.Stream))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Hour))
	b = binary.BigEndian.AppendUint64(b, uint64(s.At))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Page))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Line))
	b = append(b, s.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Digest)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Count))
	b = append(b, 0)
	if s.New {
		b[len(b)-1] = 1
	}
	return h.rows.add(b)
}

// Each calls f with each record, those of a stream and of an hour together.
func (h *Held) Each(f func(Shown) error) error {
	m := h.rows.sorted()
	for row := m.peek(); row != nil; row = m.peek() {
		s := Shown{
			Stream: int(binary.BigEndian.Uint32(row)), Hour: int64(binary.BigEndian.Uint64(row[4:])), At: int64(binary.BigEndian.Uint64(row[12:])),
			Page: int(binary.BigEndian.Uint32(row[20:])), Line: int(binary.BigEndian.Uint32(row[24:])), Key: [16]byte(row[28:]),
			Digest: binary.BigEndian.Uint64(row[44:]), Count: int(binary.BigEndian.Uint32(row[52:])), New: row[56] == 1,
		}
		m.advance()
		if err := f(s); err != nil {
			return err
		}
	}
	return m.err
}
