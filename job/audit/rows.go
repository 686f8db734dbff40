package audit

import (
	"bufio"
	"bytes"
	"container/heap"
	"io"
	"sort"
)

// File is a temporary file, which is gone when it is closed.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// Temp makes a temporary file.
type Temp func() (File, error)

// buffered is how many bytes of rows are kept in memory before they go to a file.
const buffered = 6 << 20

// sorter sorts rows of one size by their bytes. What does not fit into memory goes to a
// temporary file, in runs that are sorted. It is not safe for concurrent use.
type sorter struct {
	size int // of a row
	temp Temp

	rows []byte
	n    int64
	file File
	runs []int64 // where each run in the file ends
}

// add adds a row.
func (s *sorter) add(row []byte) error {
	s.rows = append(s.rows, row...)
	s.n++
	if len(s.rows)+s.size <= buffered {
		return nil
	}
	return s.spill()
}

// spill writes what is in memory to the file.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := s.temp()
		if err != nil {
			return err
		}
		s.file = f
	}
	s.sort()
	var at int64
	if n := len(s.runs); n > 0 {
		at = s.runs[n-1]
	}
	if _, err := s.file.WriteAt(s.rows, at); err != nil {
		return err
	}
	s.runs = append(s.runs, at+int64(len(s.rows)))
	s.rows = s.rows[:0]
	return nil
}

func (s *sorter) sort() { sort.Sort(&rows{s.rows, s.size, make([]byte, s.size)}) }

// close gives the memory and the file back.
func (s *sorter) close() {
	s.rows = nil
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// sorted returns the rows in order, any number of times. None may be added meanwhile.
func (s *sorter) sorted() *merge {
	s.sort()
	m := new(merge)
	m.runs = append(m.runs, &run{size: s.size, in: bytes.NewReader(s.rows)})
	from := int64(0)
	for _, to := range s.runs {
		m.runs = append(m.runs, &run{size: s.size, in: bufio.NewReaderSize(io.NewSectionReader(s.file, from, to-from), 32<<10)})
		from = to
	}
	left := m.runs[:0]
	for _, r := range m.runs {
		if r.next(m) {
			left = append(left, r)
		}
	}
	m.runs = left
	heap.Init(m)
	return m
}

// rows sorts rows in place.
type rows struct {
	b    []byte
	size int
	tmp  []byte
}

func (r *rows) at(i int) []byte    { return r.b[i*r.size : (i+1)*r.size] }
func (r *rows) Len() int           { return len(r.b) / r.size }
func (r *rows) Less(i, j int) bool { return bytes.Compare(r.at(i), r.at(j)) < 0 }
func (r *rows) Swap(i, j int) {
	copy(r.tmp, r.at(i))
	copy(r.at(i), r.at(j))
	copy(r.at(j), r.tmp)
}

// merge reads sorted runs as one. It is a heap of them.
type merge struct {
	runs []*run
	err  error
}

// run is one sorted run.
type run struct {
	size int
	in   io.Reader
	row  []byte
}

// next reads the next row, and tells whether there is one.
func (r *run) next(m *merge) bool {
	if r.row == nil {
		r.row = make([]byte, r.size)
	}
	_, err := io.ReadFull(r.in, r.row)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return err == nil
}

// peek returns the next row, or nil. It is valid until the next advance.
func (m *merge) peek() []byte {
	if m.err != nil || len(m.runs) == 0 {
		return nil
	}
	return m.runs[0].row
}

// advance goes to the row after the next one.
func (m *merge) advance() {
	if m.runs[0].next(m) {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
}

func (m *merge) Len() int           { return len(m.runs) }
func (m *merge) Less(i, j int) bool { return bytes.Compare(m.runs[i].row, m.runs[j].row) < 0 }
func (m *merge) Swap(i, j int)      { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }
func (m *merge) Push(x any)         { m.runs = append(m.runs, x.(*run)) }
func (m *merge) Pop() any {
	last := m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	return last
}
