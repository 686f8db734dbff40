package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine is the longest line, and the longest element of an array, that is looked at.
const maxLine = 4 << 20

// FormError is a file that holds no lines that could be looked through.
type FormError struct{ Is, Hint string }

func (e *FormError) Error() string { return "it is " + e.Is }

// forms are what files begin with that are none of lines.
var forms = []struct {
	at    int
	magic string
	is    FormError
}{
	{0, "\xff\xfe", utf16}, {0, "\xfe\xff", utf16},
	{0, "\x1f\x8b", FormError{"compressed twice", "unpack it once: gunzip -c FILE | dls audit ... --against -"}},
	{0, "\x28\xb5\x2f\xfd", FormError{"compressed by zstd", "unpack it: zstd -dc FILE | dls audit ... --against -"}},
	{0, "PK\x03\x04", FormError{"a zip archive, or a workbook", "unpack it: unzip -p FILE | dls audit ... --against -; save a workbook as CSV"}},
	{0, "\xfd7zXZ\x00", FormError{"compressed by xz", "unpack it: xz -dc FILE | dls audit ... --against -"}},
	{0, "BZh", FormError{"compressed by bzip2", "unpack it: bzip2 -dc FILE | dls audit ... --against -"}},
	{0, "PAR1", FormError{"Parquet", "export lines of JSON, or CSV"}},
	{257, "ustar", FormError{"a tar archive", "unpack it: tar -xOf FILE | dls audit ... --against -"}},
}

var (
	utf16  = FormError{"UTF-16", "save it as UTF-8; in PowerShell: Get-Content FILE | Out-File -Encoding utf8 NEW"}
	pretty = FormError{"JSON over several lines", "make lines of its records: jq -c '.[]', '.hits.hits[]', '.results[]' or where they stand in it"}
)

// form is why a file that begins so holds no lines, or nil.
func form(head []byte) error {
	for _, f := range forms {
		if len(head) >= f.at+len(f.magic) && string(head[f.at:f.at+len(f.magic)]) == f.magic {
			return &f.is
		}
	}
	if len(head) >= 4 && (head[0] == 0) != (head[1] == 0) && (head[0] == 0) == (head[2] == 0) && (head[1] == 0) == (head[3] == 0) {
		return &utf16 // without its mark
	}
	head = bytes.TrimPrefix(head, bom)
	if len(head) > 1 && head[0] == '{' && (head[1] == '\n' || head[1] == '\r') {
		return &pretty
	}
	return nil
}

var bom = []byte("\xef\xbb\xbf")

// Seen is what a file was made up of.
type Seen struct {
	// Lines counts its lines, or elements. Long counts those of them that are longer than
	// any record and were not looked at, Several those that could be one of several records
	// and prove none.
	Lines, Long, Several int
}

// Look reads a file once, line by line, or element by element where it is a JSON array, and
// notes which records stand in it. One that is compressed by gzip is read as what it holds.
// The error is ctx's cause, a *FormError, or that of reading; what stands before it is noted.
func (x *Index) Look(ctx context.Context, file io.Reader) (seen Seen, err error) {
	if err := x.prepare(); err != nil {
		return seen, err
	}
	x.lines.names, x.lines.kinds = nil, nil
	in := bufio.NewReaderSize(until{ctx, file}, 256<<10)
	if head, _ := in.Peek(2); string(head) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return seen, err
		}
		in = bufio.NewReaderSize(until{ctx, z}, 256<<10)
	}
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return seen, err
	}
	if err := form(head); err != nil {
		return seen, err
	}
	if isArray(head) {
		return x.lookArray(ctx, in)
	}
	t := table{index: x}
	for buf := []byte(nil); ; {
		line, long, err := readLine(in, &buf)
		if len(line) == 0 && !long && err != nil {
			if err == io.EOF {
				err = t.flush()
			}
			seen.Several = t.several
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

// isArray tells whether a file is a JSON array of objects.
func isArray(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, bom), " \t\r\n")
	if len(head) == 0 || head[0] != '[' {
		return false
	}
	head = bytes.TrimLeft(head[1:], " \t\r\n")
	return len(head) > 0 && (head[0] == '{' || head[0] == ']')
}

// lookArray looks through JSON arrays, whatever their lines: each element is as a line.
func (x *Index) lookArray(ctx context.Context, in *bufio.Reader) (seen Seen, err error) {
	if head, _ := in.Peek(len(bom)); bytes.Equal(head, bom) {
		_, _ = in.Discard(len(bom))
	}
	limited := &elementReader{in: in}
	d := json.NewDecoder(limited)
	wrong := func(err error) error {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errors.New("its end is missing")
		}
		return fmt.Errorf("it is a JSON array, and at byte %d: %w", d.InputOffset(), err)
	}
	for {
		limited.left = maxElement
		open, err := d.Token()
		if err == io.EOF {
			return seen, nil
		}
		if err != nil || open != json.Delim('[') {
			return seen, wrong(cmp.Or(err, errors.New("no array")))
		}
		for d.More() {
			if ctx.Err() != nil {
				return seen, context.Cause(ctx)
			}
			limited.left = maxElement
			var element json.RawMessage
			if err := d.Decode(&element); err != nil {
				return seen, wrong(err)
			}
			seen.Lines++
			if len(element) > maxLine {
				seen.Long++
				continue
			}
			x.lines.read(element)
			several, err := x.observe()
			if err != nil {
				return seen, err
			}
			if several {
				seen.Several++
			}
		}
		if _, err := d.Token(); err != nil {
			return seen, wrong(err)
		}
	}
}

// maxElement is how far an array is read for its next element.
const maxElement = 2 * maxLine

// elementReader keeps an element from taking all memory.
type elementReader struct {
	in   io.Reader
	left int
}

// Read reads no more than what is left.
func (r *elementReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errors.New("an element is longer than any record")
	}
	n, err := r.in.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// until reads until ctx ends: a line may have no end.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// table reads lines that may be rows of a table, in which a cell may have several lines.
type table struct {
	index   *Index
	several int      // how many lines could be one of several records
	names   int      // how many columns it has, 0 for none
	open    [][]byte // the lines of a row whose last cell is not closed yet
	size    int      // of those lines
}

// begin takes the first line, which names the columns of a table.
func (t *table) begin(line []byte) {
	names, err := cells(bytes.TrimPrefix(line, bom))
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
	begins := t.open == nil
	if t.names == 0 || closed && begins {
		return t.read(line)
	}
	t.open, t.size = append(t.open, bytes.Clone(line)), t.size+len(line)
	if begins || closed && t.size <= maxLine { // what a cell holds may look like a row
		return nil
	}
	row := bytes.Join(t.open, []byte{'\n'})
	if values, err := cells(row); err == nil && len(values) == t.names {
		t.open, t.size = nil, 0
		return t.read(row)
	}
	if closed {
		return t.flush()
	}
	t.open = t.open[:len(t.open)-1] // a row that was cut: this line begins one of its own
	if err := t.flush(); err != nil {
		return err
	}
	return t.line(line)
}

// flush reads the lines of a row that is none by themselves.
func (t *table) flush() error {
	open := t.open
	t.open, t.size = nil, 0
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
	if values, err := t.cells(line); err == nil {
		x.lines.row(values)
	} else {
		x.lines.read(line)
	}
	several, err := x.observe()
	if several {
		t.several++
	}
	return err
}

// cells are those of a row; the error tells that a line is none.
func (t *table) cells(line []byte) ([]string, error) {
	if t.names == 0 {
		return nil, csv.ErrFieldCount
	}
	values, err := cells(line)
	if err == nil && len(values) != t.names {
		err = csv.ErrFieldCount
	}
	return values, err
}

func cells(line []byte) ([]string, error) { return csv.NewReader(bytes.NewReader(line)).Read() }

// readLine reads a line without its end. buf is used again.
func readLine(in *bufio.Reader, buf *[]byte) (line []byte, long bool, err error) {
	*buf = (*buf)[:0]
	for {
		part, err := in.ReadSlice('\n')
		if len(*buf) == 0 && !long { // a file that was truncated while it was written begins with them
			part = bytes.TrimLeft(part, "\x00")
		}
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
