package duo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dls/job/record"
)

// Meta is what an answer says beside its records.
type Meta struct {
	// Cursor is metadata.next_offset in the form in which it is sent back, or ""
	// when the answer has none that can be read.
	Cursor string
	// Unreadable tells that the metadata, or what stands there as next_offset, has no
	// shape that Duo is known to use.
	Unreadable bool
	// Total is how many records Duo says the asked-for time holds, or 0 when it does
	// not say.
	Total int
}

// ReadPage takes the answer body of a call to an endpoint apart. It calls each with the
// index of every record in body, in the order received; each returns the index
// after the record. Odd metadata is no error: the records count without it.
//
// Where the answer is none of Duo's the error is a *BodyError, where Duo answered
// FAIL an *APIError; each may have been called before that shows.
func ReadPage(endpoint *Endpoint, body []byte, each func(i int) (end int, err error)) (Meta, error) {
	p := page{endpoint: endpoint, body: body, each: each}
	stat, err := answer(body, p.response)
	switch {
	case stat == "FAIL":
		return Meta{}, failure(200, body)
	case err != nil:
		return Meta{}, &BodyError{err}
	}
	return p.meta, nil
}

// foresight is how much of an answer's end Foresee looks at.
const foresight = 1 << 10

// Foresee tells what ReadPage will say of the metadata, without a look at the
// records: Duo's answers end in it. It may be mistaken about an answer of another
// shape, and says nothing where it finds none.
func Foresee(endpoint *Endpoint, body []byte) Meta {
	const key, space = `"metadata"`, " \t\r\n" // what stands within a text has its quotes escaped
	p := page{endpoint: endpoint, body: body[max(0, len(body)-foresight):]}
	at := bytes.LastIndex(p.body, []byte(key))
	if at < 0 {
		return Meta{}
	}
	value, found := bytes.CutPrefix(bytes.TrimLeft(p.body[at+len(key):], space), []byte(":"))
	value = bytes.TrimLeft(value, space)
	if !found || len(value) == 0 {
		return Meta{}
	}
	if _, err := p.metadata(len(p.body) - len(value)); err != nil {
		return Meta{}
	}
	return p.meta
}

// page is an answer that is being read.
type page struct {
	endpoint *Endpoint
	body     []byte
	each     func(i int) (int, error)
	meta     Meta
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
	if p.endpoint.Records == "" {
		return record.Array(p.body, i, p.each)
	}
	found, told := false, 0
	p.meta.Unreadable = p.endpoint.Cursor == Offset // nothing but the metadata tells whether there is more
	end, err := record.Object(p.body, i, func(key []byte, i int) (int, error) {
		switch string(key) {
		case p.endpoint.Records:
			if found {
				return 0, fmt.Errorf("the response has %s twice", p.endpoint.Records)
			}
			found = true
			return record.Array(p.body, i, p.each)
		case "metadata":
			told++
			return p.metadata(i)
		}
		return record.Skip(p.body, i)
	})
	if err == nil && !found {
		err = fmt.Errorf("the response has no %s", p.endpoint.Records)
	}
	if told > 1 { // which of them is meant?
		p.meta = Meta{Unreadable: true}
	}
	return end, err
}

// metadata reads the metadata at i and returns the index after it. What is no object
// tells nothing.
func (p *page) metadata(i int) (int, error) {
	end, err := record.Skip(p.body, i)
	if err != nil {
		return 0, err
	}
	p.meta = Meta{}
	if p.body[i] != '{' {
		p.meta.Unreadable = true
		return end, nil
	}
	cursors := 0
	end, err = record.Object(p.body, i, func(key []byte, i int) (int, error) {
		end, err := record.Skip(p.body, i)
		if err == nil && string(key) == "next_offset" {
			cursors++
			p.meta.Cursor, p.meta.Unreadable = cursor(p.body[i:end])
		}
		if err == nil && string(key) == "total_objects" {
			// A number, or an object of which nobody has seen one.
			if n, wrong := strconv.Atoi(string(p.body[i:end])); wrong == nil {
				p.meta.Total = max(n, 0)
			}
		}
		return end, err
	})
	if cursors > 1 {
		p.meta.Cursor, p.meta.Unreadable = "", true
	}
	return end, err
}

// cursor reads next_offset in each of the shapes that Duo has used: a list of
// strings, a string, a number, null.
func cursor(value []byte) (text string, unreadable bool) {
	if string(value) == "null" {
		return "", false
	}
	if len(value) > maxText {
		return "", true
	}
	if value[0] != '[' {
		text = record.Text(value)
		return text, text == "" && string(value) != `""`
	}
	var parts []string
	_, err := record.Array(value, 0, func(i int) (int, error) {
		end, err := record.Skip(value, i)
		if err != nil {
			return 0, err
		}
		part := record.Text(value[i:end])
		unreadable = unreadable || part == ""
		parts = append(parts, part)
		return end, nil
	})
	if err != nil || unreadable {
		return "", true
	}
	return strings.Join(parts, ","), false
}
