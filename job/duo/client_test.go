package duo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// answers is a transport that answers every call with a text.
type answers string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(string(a))), Request: r}, nil
}

// What no call may be made of says why, and stops nobody else.
func TestChildren(t *testing.T) {
	list := `{"stat":"OK","response":[
		{"account_id":"DA1","api_hostname":"api-2.duo.example","name":"` + strings.Repeat("é", 100000) + `"},
		{"account_id":"DA2","api_hostname":"169.254.169.254","name":"two"},
		{"account_id":"DA3","api_hostname":"api.other.example:8443","name":"three"},
		{"account_id":"DA4","api_hostname":"api.evil.example"},
		{"account_id":"DA5","api_hostname":"api-2.duo.example/x"},
		{"account_id":"DA6"},
		{"account_id":"../\u001b[31m\u202e","api_hostname":"api-2.duo.example"},
		{"account_id":"DA1","api_hostname":"169.254.169.254"},
		null]}`
	c, err := duo.New(duo.Options{Transport: answers(list)})
	if err != nil {
		t.Fatal(err)
	}
	children, err := c.Children(t.Context(), "api-1.duo.example", []string{"other.example"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, child := range children {
		got = append(got, fmt.Sprintf("%s %s %v", child.ID, child.Host, child.Wrong))
		if len(child.Name) > 1000 {
			t.Errorf("%s: a name of %d bytes is kept", child.ID, len(child.Name))
		}
	}
	const outside = "lies outside the domain of account.hostname, and is not called"
	want := []string{
		"DA1 api-2.duo.example <nil>",
		`DA2 169.254.169.254 its API host "169.254.169.254" ` + outside,
		"DA3 api.other.example:8443 <nil>",
		`DA4 api.evil.example its API host "api.evil.example" ` + outside,
		"DA5  " + duo.ErrNoHost.Error(),
		"DA6  " + duo.ErrNoHost.Error(),
		`../?[31m? api-2.duo.example account_id "../?[31m?" has not the form of Duo's`,
		`DA1 169.254.169.254 its API host "169.254.169.254" ` + outside,
		"  entry 9 of Duo's list of child accounts has no account_id",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A list of more accounts than anybody has is none.
func TestChildrenTooMany(t *testing.T) {
	for n, ok := range map[int]bool{100_000: true, 100_001: false} {
		c, err := duo.New(duo.Options{Transport: answers(`{"stat":"OK","response":[` + strings.Repeat("{},", n-1) + `{}]}`)})
		if err != nil {
			t.Fatal(err)
		}
		children, err := c.Children(t.Context(), "api-1.duo.example", nil)
		if _, broken := errors.AsType[*duo.BodyError](err); broken == ok || ok && len(children) != n {
			t.Errorf("%d: %d children, error %v", n, len(children), err)
		}
	}
}
