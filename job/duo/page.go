package duo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dls/job/record"
)

// ReadPage takes the answer body of a call to row apart. It calls each with the
// index of every record in body, in the order received; each returns the index
// after the record. next is metadata.next_offset in the form in which it is sent
// back, or "" when the answer has none.
//
// Where the answer is none of Duo's the error is a *BodyError, where Duo answered
// FAIL an *APIError; each may have been called before that shows. total is how many
// records Duo says the asked-for time holds, or 0 when it does not say.
func ReadPage(row *Endpoint, body []byte, each func(i int) (end int, err error)) (next string, total int, err error) {
	p := page{row: row, body: body, each: each}
	stat, err := answer(body, p.response)
	switch {
	case stat == "FAIL":
		return "", 0, failure(200, body)
	case err != nil:
		return "", 0, &BodyError{err}
	}
	return p.next, p.total, nil
}

// foresight is how much of an answer's end Foresee looks at.
const foresight = 1 << 10

// Foresee tells what ReadPage will say of next and total, without a look at the
// records: Duo's answers end in the metadata. It may be mistaken about an answer of
// another shape, and says "" and 0 where it finds nothing.
func Foresee(row *Endpoint, body []byte) (next string, total int) {
	const key = `"metadata":` // what stands within a text has its quotes escaped
	p := page{row: row, body: body[max(0, len(body)-foresight):]}
	at := bytes.LastIndex(p.body, []byte(key))
	if at < 0 {
		return "", 0
	}
	if _, err := p.metadata(at + len(key)); err != nil {
		return "", 0
	}
	return p.next, p.total
}

// page is an answer that is being read.
type page struct {
	row   *Endpoint
	body  []byte
	each  func(i int) (int, error)
	next  string
	total int
}

// answer walks Duo's envelope: it calls response with the index of the
// response, and returns stat.
func answer(body []byte, response func(i int) (int, error)) (stat string, err error) {
	found := false
	var wrong error
	end, err := record.Object(body, 0, func(key []byte, i int) (int, error) {
		switch {
		case string(key) == "response" && found, string(key) == "stat" && stat != "":
			wrong = fmt.Errorf("it has %s twice", key) // which of them is meant?
		case string(key) == "response":
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
	case len(bytes.TrimSpace(body[end:])) > 0:
		return stat, errors.New("something follows it")
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
func (p *page) response(i int) (int, error) {
	if p.row.Records == "" {
		return record.Array(p.body, i, p.each)
	}
	found := false
	end, err := record.Object(p.body, i, func(key []byte, i int) (int, error) {
		switch string(key) {
		case p.row.Records:
			if found {
				return 0, fmt.Errorf("the response has %s twice", p.row.Records)
			}
			found = true
			return record.Array(p.body, i, p.each)
		case "metadata":
			return p.metadata(i)
		}
		return record.Skip(p.body, i)
	})
	if err == nil && !found {
		err = fmt.Errorf("the response has no %s", p.row.Records)
	}
	return end, err
}

// metadata reads the metadata at i and returns the index after it.
func (p *page) metadata(i int) (int, error) {
	return record.Object(p.body, i, func(key []byte, i int) (int, error) {
		end, err := record.Skip(p.body, i)
		if err == nil && string(key) == "next_offset" {
			p.next, err = cursor(p.body[i:end])
		}
		if err == nil && string(key) == "total_objects" {
			// A number, or an object of which nobody has seen one.
			p.total, _ = strconv.Atoi(string(p.body[i:end]))
		}
		return end, err
	})
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
