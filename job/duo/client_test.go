package duo_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"dls/job/duo"
)

// endless is a body of blanks that never ends, and the transport that brings it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	return len(p), nil
}

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(e), Request: r}, nil
}

// A body is bounded also where what came of it is not kept.
func TestGetBounds(t *testing.T) {
	for name, arrived := range map[string]func([]byte) []byte{
		"all of it kept":       nil,
		"all of it taken away": func(body []byte) []byte { return body[:0] },
	} {
		body := new(endless)
		c, err := duo.New(duo.Options{Transport: body})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(context.Background(), "api-test.example", "/", nil, nil, arrived)
		if _, ok := errors.AsType[*duo.BodyError](err); !ok {
			t.Errorf("%s: %v, want a *BodyError", name, err)
		}
		if body.read > 256<<20 {
			t.Errorf("%s: %d bytes read", name, body.read)
		}
	}
}
