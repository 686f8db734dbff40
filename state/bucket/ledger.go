package bucket

import (
	"errors"
	"fmt"
	"io/fs"

	"dls/state"
)

// AppendLedger implements [state.Ledgers]: the object is replaced, on condition that it
// is the one that was read.
func (s *Store) AppendLedger(id state.ID, at int64, data []byte) error {
	name := id.LedgerFile()
	file, etag, err := s.client.get(s.ctx, name)
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
	if _, err := s.client.write(s.ctx, name, whole, condition{etag: etag}); err != nil {
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
