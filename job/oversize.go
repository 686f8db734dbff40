package job

import (
	"bytes"
	"fmt"
)

// kept is the records of a page that one server does not take.
type kept struct {
	lane    *lane
	records [][]byte
	reason  string // why, where the server says so
}

// keep writes records that a server does not take to a file in the checkpoint
// directory, once.
func (s *stream) keep(p *sent) error {
	for ; len(p.kept) > 0; p.kept = p.kept[1:] {
		k := p.kept[0]
		n := len(k.records)
		if s.run.store == nil {
			return &keepError{fmt.Errorf("the server does not take %s, and there is no checkpoint directory to keep what it does not take", counted(n, "record", "records"))}
		}
		name, datagrams := s.endpoint.Name+"_oversize.ndjson", k.lane.to.datagrams
		what := counted(n, "record is longer than the server takes; it is", "records are longer than the server takes; they are")
		if k.reason != "" {
			what = counted(n, "record that the server does not take", "records that the server does not take") + fmt.Sprintf(" (%s)", k.reason) + map[bool]string{true: " is", false: " are"}[n == 1]
		}
		if datagrams {
			name = s.endpoint.Name + "_udp_failed_ingestion_logs.txt"
			what = counted(n, "record is too long for a datagram; it is", "records are too long for a datagram; they are")
		}
		if err := s.run.store.Append(name, bytes.Join(k.records, nil)); err != nil {
			return &keepError{fmt.Errorf("keep records that the server does not take: %w", err)}
		}
		s.result.Oversize += n
		s.result.Kept = s.result.Kept || !datagrams
		s.run.log.Warn(fmt.Sprintf("%s in %q", what, s.run.store.Path(name)), "stream", s.result.Name())
	}
	return nil
}

// keepError is a record that could neither be sent nor kept.
type keepError struct{ error }

func (e *keepError) Unwrap() error { return e.error }
