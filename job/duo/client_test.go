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

func TestGetBounds(t *testing.T) {
	body := new(endless)
	c, err := duo.New(duo.Options{Transport: body})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(context.Background(), "api-test.example", "/", nil, nil, nil)
	if _, ok := errors.AsType[*duo.BodyError](err); !ok {
		t.Errorf("%v, want a *BodyError", err)
	}
	if body.read > 256<<20 {
		t.Errorf("%d bytes read", body.read)
	}
}
