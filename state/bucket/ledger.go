package bucket

import (
	"errors"
	"fmt"
	"io/fs"

	"dls/state"
)

// AppendLedger implements [state.Ledgers]: the object is replaced, on condition that it
// is the one that was read. The error is a *state.FencedError where another run has moved
// the stream: what lies behind at may be that one's, and count.
func (s *Store) AppendLedger(id state.ID, at int64, data []byte) error {
	name := id.LedgerFile()
	known, err := s.stream(id)
	if err != nil {
		return err
	}
	file, etag, err := s.client.get(s.ctx, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		now, err := s.client.version(s.ctx, id.File())
		if err != nil {
			return fmt.Errorf("write ledger: %w", err)
		}
		if known.fenced = known.fenced || now != known.etag; known.fenced {
			return &state.FencedError{Path: s.Path(id.File())}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && at > 0:
		return state.ErrLedger
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write ledger: %w", err)
	}
	whole, err := state.ExtendLedger(file, id, at, data)
	if err != nil {
		return err
	}
	if _, err := s.client.write(s.ctx, name, whole, condition{etag: etag}); errors.Is(err, errMoved) {
		known.fenced = true
		return &state.FencedError{Path: s.Path(id.File())}
	} else if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// ReadLedger implements [state.Ledgers].
func (s *Store) ReadLedger(id state.ID, n int64) ([]byte, error) {
	file, _, err := s.client.get(s.ctx, id.LedgerFile())
	if err == nil {
		file, err = state.LedgerEntries(file, id, n)
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return file, nil
}
