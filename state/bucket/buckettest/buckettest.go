// Package buckettest is a model of an S3-compatible bucket with conditional writes, in
// this process, for the tests of those who use package bucket. It answers what that
// package asks, and fails as networks and stores do: see [Fault].
package buckettest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what becomes of a request. Its zero value is an answer in order.
type Fault struct {
	// Status, when set, is the answer; nothing is done.
	Status int
	// Lost has the request done and its answer lost.
	Lost bool
	// Late has the answer lost now, and the request done when [Server.Land] is called.
	Late bool
	// Stall has no answer come until the caller gives up; nothing is done.
	Stall bool
}

// Request is a request as a fault is chosen for it.
type Request struct {
	Method string
	// Key is the object's, or "" of a listing.
	Key string
	// N counts the requests, from 1.
	N int
}

// Server is the bucket. It is safe for concurrent use.
type Server struct {
	// Fault, when set, chooses what becomes of a request. Set it before the first use.
	Fault func(Request) Fault
	// Unconditional has conditions ignored, as stores do that do not know them.
	Unconditional bool
	// Written, when set, is told of each object that is written, in order.
	Written func(key string, data []byte)

	mu      sync.Mutex
	objects map[string]object
	late    []func()
	counts  map[string]int
	n       int
}

type object struct {
	data     []byte
	etag     string
	modified time.Time
}

// New returns an empty bucket.
func New() *Server {
	return &Server{objects: map[string]object{}, counts: map[string]int{}}
}

// Counts returns how many requests of each kind there were since the last call: GET,
// HEAD, PUT, LIST.
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	s.counts = map[string]int{}
	return counts
}

// Objects returns the content of each object.
func (s *Server) Objects() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte, len(s.objects))
	for key, o := range s.objects {
		all[key] = o.data
	}
	return all
}

// Put puts an object into the bucket; nil data takes it away.
func (s *Server) Put(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data == nil {
		delete(s.objects, key)
		return
	}
	s.put(key, data)
}

func (s *Server) put(key string, data []byte) string {
	sum := md5.Sum(data)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	s.objects[key] = object{data, etag, time.Now()}
	if s.Written != nil {
		s.Written(key, data)
	}
	return etag
}

// Land does the requests that were [Fault.Late].
func (s *Server) Land() {
	s.mu.Lock()
	late := s.late
	s.late = nil
	s.mu.Unlock()
	for _, do := range late {
		do()
	}
}

var errLost = errors.New("the answer is lost")

// RoundTrip implements [http.RoundTripper] without a network.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	w := httptest.NewRecorder()
	if err := s.serve(w, r); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// serve answers a request; the error is why there is no answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // path style
	kind := r.Method
	if key == "" {
		kind = "LIST"
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.n++
	s.counts[kind]++
	n := s.n
	s.mu.Unlock()
	var f Fault
	if s.Fault != nil {
		f = s.Fault(Request{Method: kind, Key: key, N: n})
	}
	switch {
	case f.Status != 0:
		refuse(w, f.Status, "Fault", "a fault of the test")
		return nil
	case f.Stall:
		<-r.Context().Done()
		return context.Cause(r.Context())
	case f.Late:
		again := r.Clone(context.WithoutCancel(r.Context()))
		s.mu.Lock()
		s.late = append(s.late, func() { s.answer(httptest.NewRecorder(), again, key, body) })
		s.mu.Unlock()
		return errLost
	}
	if f.Lost {
		s.answer(httptest.NewRecorder(), r, key, body)
		return errLost
	}
	s.answer(w, r, key, body)
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		refuse(w, http.StatusForbidden, "AccessDenied", "the request is not signed")
		return
	}
	o, there := s.objects[key]
	switch {
	case key == "" && r.Method == http.MethodGet:
		s.list(w, r)
	case r.Method == http.MethodPut:
		sum := md5.Sum(body)
		if told := r.Header.Get("Content-Md5"); told != "" && told != base64.StdEncoding.EncodeToString(sum[:]) {
			refuse(w, http.StatusBadRequest, "BadDigest", "the content is another")
			return
		}
		match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		switch {
		case s.Unconditional:
		case match != "" && !there:
			refuse(w, http.StatusNotFound, "NoSuchKey", "there is no such object")
			return
		case match != "" && match != o.etag, none == "*" && there:
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "at least one of the conditions does not hold")
			return
		}
		w.Header().Set("ETag", s.put(key, body))
	case !there:
		refuse(w, http.StatusNotFound, "NoSuchKey", "there is no such object")
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		w.Header().Set("ETag", o.etag)
		w.Header().Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(o.data) // the caller may have gone
		}
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// listing is an answer to ListObjectsV2.
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
}

type listed struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	prefix, after := q.Get("prefix"), q.Get("continuation-token")
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n > 0 && n < most {
		most = n
	}
	var result listing
	keys := slices.Sorted(maps.Keys(s.objects))
	i, _ := slices.BinarySearch(keys, max(prefix, after))
	for _, key := range keys[i:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if key == after {
			continue
		}
		if len(result.Contents) == most {
			result.IsTruncated, result.NextContinuationToken = true, result.Contents[most-1].Key
			break
		}
		o := s.objects[key]
		result.Contents = append(result.Contents, listed{key, o.modified.UTC().Format("2006-01-02T15:04:05.000Z"), o.etag, len(o.data)})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(result) // the caller may have gone
}
