package duo

import (
	"errors"
	"fmt"
	"strings"

	"dls/job/endpoint"
	"dls/job/record"
)

// Entry is one record of a page.
type Entry struct {
	// Raw is the record's JSON text. It aliases the page's body.
	Raw []byte
	// ID holds the JSON texts of the row's id fields, nil where a field is absent.
	// They alias the page's body.
	ID [2][]byte
	// At is the record's time in milliseconds since the epoch, or -1 when the
	// record tells none that can be read.
	At int64
}

// Page is one answer of a log endpoint.
type Page struct {
	// Entries are the records, in the order received.
	Entries []Entry
	// Next is metadata.next_offset in the form in which it is sent back, or ""
	// when the answer has none.
	Next string
}

// Read takes the answer body of a call to row apart. The slices of the page alias
// body; the page's own slice of entries is used again. Where the answer is none
// of Duo's the error is a *BodyError, where Duo answered FAIL an *APIError.
func (p *Page) Read(row *endpoint.Endpoint, body []byte) error {
	p.Entries, p.Next = p.Entries[:0], ""
	stat, err := answer(body, func(i int) (int, error) { return p.response(row, body, i) })
	switch {
	case stat == "FAIL":
		return failure(200, body)
	case err != nil:
		return &BodyError{err}
	}
	return nil
}

// answer walks Duo's envelope: it calls response with the index of the
// response, and returns stat.
func answer(body []byte, response func(i int) (int, error)) (stat string, err error) {
	found := false
	var wrong error
	_, err = record.Object(body, 0, func(key []byte, i int) (int, error) {
		if string(key) == "response" {
			found = true
			end, err := response(i)
			if err == nil {
				return end, nil
			}
			// The answer may yet say FAIL, and then its response has any shape.
			wrong = err
		}
		end, err := record.Skip(body, i)
		if err == nil && string(key) == "stat" {
			stat = record.Text(body[i:end])
		}
		return end, err
	})
	switch {
	case err != nil:
		return stat, err
	case stat == "FAIL":
		return stat, nil
	case stat != "OK":
		return stat, errors.New("it has no stat")
	case !found:
		return stat, errors.New("it has no response")
	}
	return stat, wrong
}

// response reads the response at i and returns the index after it.
func (p *Page) response(row *endpoint.Endpoint, body []byte, i int) (int, error) {
	if row.Records == "" {
		return p.records(row, body, i)
	}
	found := false
	end, err := record.Object(body, i, func(key []byte, i int) (int, error) {
		switch string(key) {
		case row.Records:
			found = true
			return p.records(row, body, i)
		case "metadata":
			return record.Object(body, i, func(key []byte, i int) (int, error) {
				end, err := record.Skip(body, i)
				if err == nil && string(key) == "next_offset" {
					p.Next, err = cursor(body[i:end])
				}
				return end, err
			})
		}
		return record.Skip(body, i)
	})
	if err == nil && !found {
		err = fmt.Errorf("the response has no %s", row.Records)
	}
	return end, err
}

// cursor reads next_offset in each of the shapes that Duo has used: a list of
// strings, a string, a number, null.
func cursor(value []byte) (string, error) {
	if string(value) == "null" {
		return "", nil
	}
	if value[0] != '[' {
		s := record.Text(value)
		if s == "" && string(value) != `""` {
			return "", errors.New("next_offset has an unknown shape")
		}
		return s, nil
	}
	var parts []string
	_, err := record.Array(value, 0, func(i int) (int, error) {
		end, err := record.Skip(value, i)
		if err != nil {
			return 0, err
		}
		s := record.Text(value[i:end])
		if s == "" {
			return 0, errors.New("next_offset has an unknown shape")
		}
		parts = append(parts, s)
		return end, nil
	})
	return strings.Join(parts, ","), err
}

// records reads the list of records at i and returns the index after it.
func (p *Page) records(row *endpoint.Endpoint, body []byte, i int) (int, error) {
	p.Entries = p.Entries[:0]
	return record.Array(body, i, func(start int) (int, error) {
		e := Entry{At: -1}
		var times [2][]byte
		end, err := record.Object(body, start, func(key []byte, i int) (int, error) {
			end, err := record.Skip(body, i)
			if err != nil {
				return 0, err
			}
			for k, name := range row.ID {
				if string(key) == name {
					e.ID[k] = body[i:end]
				}
			}
			for k, name := range row.Times {
				if string(key) == name {
					times[k] = body[i:end]
				}
			}
			return end, nil
		})
		if err != nil {
			return 0, err
		}
		for _, text := range times {
			if t, ok := record.Time(text, row.TimeUnit.Duration()); ok {
				e.At = t.Truncate(row.AskUnit.Duration()).UnixMilli()
				break
			}
		}
		e.Raw = body[start:end]
		p.Entries = append(p.Entries, e)
		return end, nil
	})
}
