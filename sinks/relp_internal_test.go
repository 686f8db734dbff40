package sinks

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

// What is no frame is refused; what is one is written again as the same frame, up
// to zeros before its numbers; nothing is read beyond it.
func FuzzRELPFrame(f *testing.F) {
	for _, s := range []string{
		"1 rsp 6 200 OK\n", "0 serverclose 0\n", "999999999 rsp 0\n", "007 rsp 01 x\nrest", "1 rsp 85 200 OK\nrelp_version=0\n", "",
		"1000000000 rsp 0\n", "1 rsp 999999999 x\n", "1 rsp 0 \n", "1 rsp 1\n\n", "1  0\n", " 1 rsp 0\n", "-1 rsp 0\n", "1 r5p 0\n", "HTTP/1.1 400\r\n",
		"1 abcdefghijklmnopqrstuvwxyzabcdefg 0\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReader(bytes.NewReader(data))
		frame, err := readRELPFrame(in)
		if err != nil {
			if !errors.Is(err, errNotRELP) && err != io.ErrUnexpectedEOF && !(err == io.EOF && len(data) == 0) {
				t.Errorf("error %v", err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		rest, _ := io.ReadAll(in)
		read := data[:len(data)-len(rest)]
		if len(frame.command) > relpMaxName || len(frame.data) > relpMaxAnswer || frame.txnr > relpMaxTxnr {
			t.Errorf("out of bounds: %d %q %d", frame.txnr, frame.command, len(frame.data))
		}
		again := appendRELPFrame(nil, frame.txnr, frame.command, frame.data)
		if len(again) > len(read) || !bytes.HasSuffix(read, frame.end()) {
			t.Errorf("read %q, wrote %q", read, again)
		}
		second, err := readRELPFrame(bufio.NewReader(bytes.NewReader(again)))
		if err != nil || second.txnr != frame.txnr || second.command != frame.command || !bytes.Equal(second.data, frame.data) {
			t.Errorf("%q was read again as %+v, %v", again, second, err)
		}
	})
}

// end returns what a frame ends with.
func (f relpFrame) end() []byte { return append(bytes.Clone(f.data), '\n') }

func TestRELPTxnrBeginsAgain(t *testing.T) {
	s := &relpSession{txnr: relpMaxTxnr - 1}
	if a, b := s.next(), s.next(); a != relpMaxTxnr || b != 1 {
		t.Errorf("%d, then %d", a, b)
	}
}
