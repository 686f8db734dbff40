// Package flat turns JSON records, one a line, into a table with one column for
// each member, as spreadsheets and data tools read it.
//
// Start with [NewCSV]. A nested member's column is its path (access_device.ip), a
// list is one cell that holds its JSON text, and numbers keep the text that they
// came with. The columns are known only when the last record is, so the records
// wait in a file; memory does not grow with them.
package flat

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// MaxColumns is how many columns a table may have.
const MaxColumns = 2000

// ErrColumns is a table that would have more than [MaxColumns] columns.
var ErrColumns = fmt.Errorf("the records have more than %d different members: JSON holds them better", MaxColumns)

// CSV takes records and writes a table of them. Not for concurrent use.
type CSV struct {
	spool   *os.File
	out     *bufio.Writer
	columns map[string]bool
}

// NewCSV returns a table without records, which are kept in a file of mode 0600 in
// dir until [CSV.Close]. An empty dir is the system's.
func NewCSV(dir string) (*CSV, error) {
	f, err := os.CreateTemp(dir, ".dls-pull-*.tmp")
	if err != nil {
		return nil, err
	}
	return &CSV{spool: f, out: bufio.NewWriterSize(f, 64<<10), columns: map[string]bool{}}, nil
}

// Close takes the file away.
func (c *CSV) Close() error {
	return errors.Join(c.spool.Close(), os.Remove(c.spool.Name()))
}

// Write takes whole records, each a JSON object on a line of its own.
func (c *CSV) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		cells, err := parse(line)
		if err != nil {
			return 0, err
		}
		for _, cell := range cells {
			c.columns[cell.column] = true
		}
		if len(c.columns) > MaxColumns {
			return 0, ErrColumns
		}
	}
	return c.out.Write(lines)
}

// leading are the columns that come first, where they are there at all: when, what
// and who. The others follow in alphabetical order.
var leading = []string{"isotimestamp", "timestamp", "ts", "child_account_id", "eventtype"}

// WriteTo writes the table: a line of names, then a line for each record in the
// order in which they came. Without a record it writes nothing.
func (c *CSV) WriteTo(w io.Writer) (int64, error) {
	if len(c.columns) == 0 {
		return 0, nil
	}
	if err := c.out.Flush(); err != nil {
		return 0, err
	}
	if _, err := c.spool.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	var names []string
	for name := range c.columns {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if i, j := rank(a), rank(b); i != j {
			return i - j
		}
		return strings.Compare(a, b)
	})
	at := map[string]int{}
	for i, name := range names {
		at[name] = i
	}
	count := &counter{w: w}
	table := csv.NewWriter(count)
	row := make([]string, len(names))
	for i, name := range names {
		row[i] = harmless(name)
	}
	if err := table.Write(row); err != nil {
		return count.n, err
	}
	in := bufio.NewReaderSize(c.spool, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			cells, err := parse(line)
			if err != nil {
				return count.n, err
			}
			clear(row)
			for _, cell := range cells {
				row[at[cell.column]] = harmless(cell.text)
			}
			if err := table.Write(row); err != nil {
				return count.n, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return count.n, err
		}
	}
	table.Flush()
	return count.n, table.Error()
}

func rank(name string) int {
	if i := slices.Index(leading, name); i >= 0 {
		return i
	}
	return len(leading)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// number is what begins like a formula and is none: a number, or a telephone's.
var number = regexp.MustCompile(`^[+-][0-9][0-9 ().-]*$`)

// harmless keeps a spreadsheet from taking a cell for a formula, which a foreign
// text could be made to be: an apostrophe goes before it.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && !number.MatchString(text) {
		return "'" + text
	}
	return text
}

// cell is a member of a record with its path.
type cell struct{ column, text string }

// maxDepth is how deep objects are taken apart; what lies deeper is one cell.
const maxDepth = 4

// parse takes a record apart. Of members with the same name the last one counts.
func parse(line []byte) ([]cell, error) {
	var cells []cell
	if err := object(&cells, "", line, 1); err != nil {
		return nil, fmt.Errorf("a record cannot be put into a table: %w", err)
	}
	return cells, nil
}

func object(cells *[]cell, path string, data []byte, depth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		column := path + name.(string)
		switch {
		case value[0] == '{' && depth < maxDepth:
			if err := object(cells, column+".", value, depth+1); err != nil {
				return err
			}
		case value[0] == '"':
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
			*cells = append(*cells, cell{column, text})
		case string(value) == "null":
			*cells = append(*cells, cell{column, ""})
		default:
			*cells = append(*cells, cell{column, string(value)})
		}
	}
	return nil
}
