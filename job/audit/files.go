package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// maxLine is the longest line that is looked at.
const maxLine = 4 << 20

// ErrUTF16 is a file that is no text of bytes: PowerShell writes such.
var ErrUTF16 = errors.New("it is UTF-16: save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)")

// Seen is what a file was made up of.
type Seen struct {
	// Lines counts its lines, Long those of them that are longer than any record and
	// were not looked at.
	Lines, Long int
}

// Look reads a file once, line by line, and notes which records stand in it. One that
// is compressed by gzip is read as what it holds. The error is ctx's cause, or that of
// reading; what stands before it is noted.
func (x *Index) Look(ctx context.Context, file io.Reader) (seen Seen, err error) {
	if err := x.prepare(); err != nil {
		return seen, err
	}
	in := bufio.NewReaderSize(file, 256<<10)
	if head, _ := in.Peek(2); string(head) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return seen, err
		}
		in = bufio.NewReaderSize(z, 256<<10)
	}
	if head, _ := in.Peek(2); string(head) == "\xff\xfe" || string(head) == "\xfe\xff" {
		return seen, ErrUTF16
	}
	t := table{index: x}
	for buf := []byte(nil); ; {
		if seen.Lines%1024 == 0 && ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		line, long, err := readLine(in, &buf)
		if len(line) == 0 && !long && err != nil {
			if err == io.EOF {
				err = t.flush()
			}
			return seen, err
		}
		seen.Lines++
		if long {
			seen.Long++
			continue
		}
		if seen.Lines == 1 {
			t.begin(line)
		}
		if err := t.line(line); err != nil {
			return seen, err
		}
	}
}

// table reads lines that may be rows of a table, in which a cell may have several lines.
type table struct {
	index *Index
	names int      // how many columns it has, 0 for none
	open  [][]byte // the lines of a row whose last cell is not closed yet
}

// maxOpen is how many lines a row may have.
const maxOpen = 256

// begin takes the first line, which names the columns of a table.
func (t *table) begin(line []byte) {
	t.index.lines.names, t.index.lines.others = nil, nil
	names, err := cells(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
	if err != nil || len(names) < 2 {
		return
	}
	for _, n := range names {
		if n == "" || len(n) > 100 || strings.ContainsAny(n, `{}:"|=`) {
			return
		}
	}
	t.names = len(names)
	t.index.lines.columns(names)
}

// line takes a line.
func (t *table) line(line []byte) error {
	closed := bytes.Count(line, []byte{'"'})%2 == 0
	switch {
	case t.names == 0 || closed && t.open == nil:
		return t.read(line)
	case !closed && t.open == nil, closed && len(t.open) < maxOpen:
		t.open = append(t.open, bytes.Clone(line))
		return nil
	}
	t.open = append(t.open, bytes.Clone(line))
	row := bytes.Join(t.open, []byte{'\n'})
	if values, err := cells(row); err != nil || len(values) != t.names {
		return t.flush()
	}
	t.open = nil
	return t.read(row)
}

// flush reads the lines of a row that is none by themselves.
func (t *table) flush() error {
	open := t.open
	t.open = nil
	for _, line := range open {
		if err := t.read(line); err != nil {
			return err
		}
	}
	return nil
}

// read notes what a line says.
func (t *table) read(line []byte) error {
	x := t.index
	x.lines.read(x.lines.without(line))
	if x.lines.members && x.lines.names != nil {
		if values, err := cells(line); err == nil {
			x.lines.cells(values)
		}
	}
	return x.observe()
}

func cells(line []byte) ([]string, error) { return csv.NewReader(bytes.NewReader(line)).Read() }

// readLine reads a line without its end. buf is used again.
func readLine(in *bufio.Reader, buf *[]byte) (line []byte, long bool, err error) {
	*buf = (*buf)[:0]
	for {
		part, err := in.ReadSlice('\n')
		if err == nil && len(*buf) == 0 {
			return bytes.TrimRight(part, "\r\n"), long, nil // it lies in the reader's own memory
		}
		if len(*buf)+len(part) > maxLine {
			long = true
			*buf = (*buf)[:0]
		} else if !long {
			*buf = append(*buf, part...)
		}
		if err != bufio.ErrBufferFull {
			return bytes.TrimRight(*buf, "\r\n"), long, err
		}
	}
}
