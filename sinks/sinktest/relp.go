package sinktest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// RELPAnswer is what a [RELPServer] does with a syslog command.
type RELPAnswer int

// The answers of a RELP server.
const (
	RELPTake        RELPAnswer = iota // keeps the message, answers 200
	RELPRefuse                        // answers 500
	RELPSilent                        // keeps the message, answers nothing, goes on
	RELPEnd                           // ends the connection without an answer
	RELPTakeAndEnd                    // keeps the message, ends the connection without an answer
	RELPCut                           // keeps the message, ends the connection in the middle of the answer
	RELPServerClose                   // announces the end by serverclose, then ends the connection
	RELPGarbage                       // answers what is no frame
	RELPWrongTxnr                     // answers a command that was never given
)

// RELPServer is a server of RELP that takes nothing but what the specification
// (doc/relp.md of librelp) has. The zero value behaves well.
type RELPServer struct {
	// Answer tells what to do with the n-th message of a connection, from 0. Nil: take it.
	Answer func(n int, message []byte) RELPAnswer
	// Offers are what open is answered with; those of librelp when empty.
	Offers string
	// Code is what open is answered with; 200 when empty.
	Code string
	// NoClose leaves close unanswered.
	NoClose bool
}

const relpOffers = "relp_version=0\nrelp_software=sinktest\ncommands=syslog"

// Behave is the server as the behaviour of a [Receiver], whose lines are the
// messages' text without its header of RFC 5424.
func (s *RELPServer) Behave(c *Conn) {
	s.Serve(c.stream, func(message []byte) {
		if text, ok := CutRFC5424(message); ok {
			message = text
		}
		c.receiver.add([][]byte{append(bytes.Clone(message), '\n')})
	})
}

// Serve serves one connection to its end. Each message that is taken is given to
// store before it is answered. The error says what the client did against the
// specification; nil: it closed in order, or the server ended the connection.
func (s *RELPServer) Serve(conn net.Conn, store func(message []byte)) error {
	defer conn.Close()
	in := bufio.NewReader(conn)
	opened := false
	for txnr, messages := 1, 0; ; txnr++ {
		n, command, data, err := readFrame(in)
		switch {
		case err == io.EOF:
			return errors.New("the connection ended without close")
		case err != nil:
			return err
		case n != txnr:
			return fmt.Errorf("txnr %d after %d", n, txnr-1)
		case opened == (command == "open"):
			return fmt.Errorf("command %q, with a session open: %t", command, opened)
		}
		answer := func(data string) { fmt.Fprintf(conn, "%d rsp %d %s\n", n, len(data), data) }
		switch command {
		case "open":
			if offers := string(data); !strings.HasPrefix(offers, "relp_version=") || !strings.Contains(offers, "\ncommands=syslog") {
				return fmt.Errorf("offers %q", offers)
			}
			code, offers := s.Code, s.Offers
			if code == "" {
				code = "200 OK"
			}
			if offers == "" {
				offers = relpOffers
			}
			opened = true
			answer(code + "\n" + offers)
		case "close":
			if !s.NoClose {
				fmt.Fprintf(conn, "%d rsp 0\n0 serverclose 0\n", n)
			}
			return nil
		case "syslog":
			do := RELPTake
			if s.Answer != nil {
				do = s.Answer(messages, data)
			}
			messages++
			switch do {
			case RELPTake, RELPSilent, RELPTakeAndEnd, RELPCut:
				store(data)
			}
			switch do {
			case RELPTake:
				answer("200 OK")
			case RELPRefuse:
				answer("500 not today")
			case RELPCut:
				fmt.Fprintf(conn, "%d rsp 6 200", n)
				return nil
			case RELPServerClose:
				io.WriteString(conn, "0 serverclose 0\n")
				return nil
			case RELPEnd, RELPTakeAndEnd:
				return nil
			case RELPGarbage:
				io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			case RELPWrongTxnr:
				fmt.Fprintf(conn, "%d rsp 6 200 OK\n", n+1000)
			}
		default:
			return fmt.Errorf("command %q", command)
		}
	}
}

// readFrame reads one frame of a client, by other means than the client.
func readFrame(in *bufio.Reader) (txnr int, command string, data []byte, err error) {
	head := make([]string, 3)
	for i := range head {
		for {
			c, err := in.ReadByte()
			if err != nil {
				return 0, "", nil, err
			}
			if c == ' ' && i < 2 {
				break
			}
			if c == ' ' || c == '\n' {
				in.UnreadByte()
				break
			}
			head[i] += string(c)
		}
	}
	size := 0
	if _, err := fmt.Sscanf(strings.Join(head, " "), "%d %s %d", &txnr, &command, &size); err != nil {
		return 0, "", nil, fmt.Errorf("header %q: %w", head, err)
	}
	if size > 0 {
		if c, _ := in.ReadByte(); c != ' ' {
			return 0, "", nil, fmt.Errorf("%q before the data", c)
		}
		data = make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			return 0, "", nil, err
		}
	}
	if c, err := in.ReadByte(); c != '\n' {
		return 0, "", nil, fmt.Errorf("%q after the data: %w", c, err)
	}
	return txnr, command, data, nil
}
