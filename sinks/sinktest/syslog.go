package sinktest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ReadCounted reads messages of syslog that are framed by their length (RFC 6587,
// section 3.4.1) to the end of the sender's stream, then ends its own and closes.
// The lines are the messages' text without the header of RFC 5424.
func ReadCounted(c *Conn) {
	in := bufio.NewReader(c.stream)
	for {
		message, err := readCounted(in)
		if errors.Is(err, io.EOF) {
			c.close()
			return
		}
		text, ok := CutRFC5424(message)
		if err != nil || !ok {
			c.reset()
			return
		}
		c.receiver.add([][]byte{append(bytes.Clone(text), '\n')})
	}
}

// readCounted reads one message. The end of the stream before it is io.EOF.
func readCounted(in *bufio.Reader) ([]byte, error) {
	if _, err := in.Peek(1); err != nil {
		return nil, err
	}
	size := 0
	for digits := 0; ; digits++ {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return nil, errors.New("the stream ended in a length")
		case c == ' ' && digits > 0:
			message := make([]byte, size)
			if _, err := io.ReadFull(in, message); err != nil {
				return nil, errors.New("the stream ended in a message")
			}
			return message, nil
		case c < '0' || c > '9' || digits == 7 || digits == 0 && c == '0':
			return nil, fmt.Errorf("%q in a length", c)
		}
		size = size*10 + int(c-'0')
	}
}

// CutRFC5424 returns the text of a message without its header, structured data
// and byte order mark. It reports whether the message has the form of RFC 5424 as
// dls writes it: no structured data.
func CutRFC5424(message []byte) (text []byte, ok bool) {
	fields := bytes.SplitN(message, []byte{' '}, 8)
	if len(fields) != 8 || !bytes.HasPrefix(fields[0], []byte{'<'}) || !bytes.HasSuffix(fields[0], []byte(">1")) || string(fields[6]) != "-" {
		return nil, false
	}
	return bytes.TrimPrefix(fields[7], []byte("\xEF\xBB\xBF")), true
}
