package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"dls/state/once"
)

// A snapshot is one object with the content of the checkpoints of a share, so that a
// run need not read one object a stream. It is a cache: an entry is used only while
// the listing gives its stream the version that the entry has. It is a line for each
// stream: the name, the version and the checkpoint, which is one line itself.
type snapshot struct {
	once    once.Once
	entries map[string]entryAt
}

// entryAt is an entry of a snapshot.
type entryAt struct {
	etag string
	data []byte // part of the snapshot's, or nil
}

const (
	snapshotPrefix, snapshotSuffix = "dls_snapshot", ".gz"

	// stale is how many checkpoints a run reads or writes, beside the snapshot, before it
	// is worth writing another one.
	stale = 32
	// maxSnapshot bounds a snapshot in memory.
	maxSnapshot = 96 << 20
)

// cached returns a checkpoint's content of a version, or nil where no snapshot has it.
func (s *Store) cached(name, etag string) []byte {
	s.mu.Lock()
	if s.snapshot == nil {
		s.snapshot = new(snapshot)
	}
	snap := s.snapshot
	s.mu.Unlock()
	snap.once.Do(func() { snap.entries = s.loadSnapshot() })
	if e := snap.entries[name]; e.etag == etag && etag != "" {
		return e.data
	}
	return nil
}

// loadSnapshot reads the share's own snapshot, or those of all others where it has
// none: another N was at work. One that cannot be read is as one that is not there.
func (s *Store) loadSnapshot() map[string]entryAt {
	own := snapshotPrefix + s.suffix + snapshotSuffix
	all, err := s.client.list(s.ctx, snapshotPrefix)
	if err != nil {
		return nil
	}
	entries := map[string]entryAt{}
	for _, e := range all {
		if e.name == own && s.claimed {
			if s.readSnapshot(e.name, entries) == nil {
				return entries
			}
		}
	}
	for _, e := range all {
		if e.name != own || !s.claimed {
			_ = s.readSnapshot(e.name, entries)
		}
	}
	return entries
}

func (s *Store) readSnapshot(name string, entries map[string]entryAt) error {
	data, _, err := s.client.get(s.ctx, name)
	if err == nil {
		data, err = unpack(data)
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		head, rest, ok := bytes.Cut(line, []byte(" "))
		etag, checkpoint, ok2 := bytes.Cut(rest, []byte(" "))
		if ok && ok2 {
			entries[string(head)] = entryAt{string(etag), checkpoint}
		}
	}
	return nil
}

// saveSnapshot writes the share's snapshot where the one that is there has become
// stale.
func (s *Store) saveSnapshot() error {
	s.mu.Lock()
	var b bytes.Buffer
	fresh := 0
	for name, known := range s.streams {
		if !known.loaded {
			continue
		}
		data := known.data
		if data != nil {
			fresh++
		} else if s.snapshot != nil {
			if e := s.snapshot.entries[name]; e.etag == known.etag {
				data = e.data
			}
		}
		if len(data) == 0 || bytes.IndexByte(data, '\n') != len(data)-1 || strings.Contains(known.etag, " ") || b.Len()+len(data) > maxSnapshot {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s", name, known.etag, data)
	}
	name := snapshotPrefix + s.suffix + snapshotSuffix
	s.mu.Unlock()
	if fresh <= stale || s.ctx.Err() != nil {
		return nil
	}
	etag, err := s.client.version(s.ctx, name)
	if err != nil {
		return err
	}
	_, err = s.client.write(s.ctx, name, pack(b.Bytes()), condition{etag})
	if errors.Is(err, errMoved) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", s.Path(name), err)
	}
	return err
}
