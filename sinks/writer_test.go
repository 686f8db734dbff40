package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"dls/sinks"
)

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	s := sinks.NewWriter(&out)
	for _, lines := range []string{"a\n", "", "b\nc\n"} {
		if err := deliver(t.Context(), s, []byte(lines)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "a\nb\nc\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := deliver(t.Context(), s, []byte("d")); err == nil {
		t.Error("no error for a record without its newline")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := deliver(ctx, s, []byte("e\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if got, want := out.String(), "a\nb\nc\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWriterFaults(t *testing.T) {
	full := errors.New("no space left")
	for _, tt := range []struct {
		name string
		w    writerFunc
		want error
	}{
		{"error", func(p []byte) (int, error) { return 1, full }, full},
		{"short", func(p []byte) (int, error) { return len(p) - 1, nil }, io.ErrShortWrite},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := deliver(t.Context(), sinks.NewWriter(tt.w), []byte("a\n"))
			if _, permanent := errors.AsType[*sinks.PermanentError](err); !permanent || !errors.Is(err, tt.want) {
				t.Errorf("error %v, want a permanent one of %v", err, tt.want)
			}
		})
	}
}
