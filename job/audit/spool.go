package audit

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

// Spool keeps the lines of pages, compressed, in a temporary file, so that those of
// records that turn out to be missing can be had without another call to Duo. Put is
// safe for concurrent use.
type Spool struct {
	temp Temp

	mu   sync.Mutex
	file File
	ends []int64 // where each page ends in the file

	page  int // the page whose lines are at hand, plus one
	lines []byte
	index []int // where its lines end
}

// NewSpool returns a spool without pages.
func NewSpool(temp Temp) *Spool { return &Spool{temp: temp} }

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is one that there is
	return w
}}

// Put keeps the lines of a page, and returns its number.
func (s *Spool) Put(lines []byte) (page int, err error) {
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	if _, err := w.Write(lines); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := s.temp()
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	at := s.begin(len(s.ends))
	if _, err := s.file.WriteAt(b.Bytes(), at); err != nil {
		return 0, err
	}
	s.ends = append(s.ends, at+int64(b.Len()))
	return len(s.ends) - 1, nil
}

func (s *Spool) begin(page int) int64 {
	if page == 0 {
		return 0
	}
	return s.ends[page-1]
}

// Line returns a line of a page. It is valid until the next call.
func (s *Spool) Line(page, line int) ([]byte, error) {
	if s.page != page+1 {
		in := flate.NewReader(io.NewSectionReader(s.file, s.begin(page), s.ends[page]-s.begin(page)))
		b := bytes.NewBuffer(s.lines[:0])
		if _, err := b.ReadFrom(in); err != nil {
			return nil, err
		}
		s.page, s.lines, s.index = page+1, b.Bytes(), s.index[:0]
		end := 0
		for line := range bytes.Lines(s.lines) {
			end += len(line)
			s.index = append(s.index, end)
		}
	}
	if line >= len(s.index) {
		return nil, io.ErrUnexpectedEOF
	}
	begin := 0
	if line > 0 {
		begin = s.index[line-1]
	}
	return s.lines[begin:s.index[line]], nil
}

// Close takes the file away.
func (s *Spool) Close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}
