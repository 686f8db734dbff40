package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const turnsPrefix, turnsSuffix = "dls_turns", ".json"

// turnsForm is the form of a file of turns: when the first call of each stream was
// made, by the name of its checkpoint, in milliseconds since the epoch.
type turnsForm struct {
	Version int              `json:"version"`
	IKey    string           `json:"ikey"`
	Turns   map[string]int64 `json:"turns"`
}

// Turns returns when each stream's last turn began, by the name of its checkpoint
// file, as far as is known. Files that cannot be used are left out, and the error names
// the first of them: only the order of streams depends on them.
func (n Notes) Turns(ikey string) (map[string]time.Time, error) {
	names, err := n.files.Names()
	if err != nil {
		return nil, err
	}
	turns := map[string]time.Time{}
	var wrong error
	more := 0
	for _, name := range names {
		if !strings.HasPrefix(name, turnsPrefix) || !strings.HasSuffix(name, turnsSuffix) {
			continue
		}
		f, err := n.loadTurns(name)
		if err != nil {
			if wrong != nil {
				more++
			} else {
				wrong = fmt.Errorf("turns %q: %w", n.files.Path(name), err)
			}
			continue
		}
		if f.IKey != ikey {
			continue
		}
		for stream, ms := range f.Turns {
			if t := time.UnixMilli(ms); t.After(turns[stream]) {
				turns[stream] = t
			}
		}
	}
	if more > 0 {
		wrong = fmt.Errorf("%w; and %d more such files cannot be used", wrong, more)
	}
	return turns, wrong
}

func (n Notes) loadTurns(name string) (turnsForm, error) {
	var f turnsForm
	data, err := n.files.ReadFile(name)
	if err != nil {
		return f, err
	}
	if json.Unmarshal(data, &f) != nil || f.Version != 1 {
		return f, errors.New("it is damaged")
	}
	return f, nil
}

// SaveTurns notes when turns began. The caller holds the lock under which nobody else
// writes this suffix, which is that of the last runs.
func (n Notes) SaveTurns(suffix, ikey string, turns map[string]time.Time) error {
	f := turnsForm{Version: 1, IKey: ikey, Turns: make(map[string]int64, len(turns))}
	for stream, t := range turns {
		f.Turns[stream] = t.UnixMilli()
	}
	name := turnsPrefix + suffix + turnsSuffix
	data, err := json.Marshal(f)
	if err == nil {
		err = n.files.Replace(name, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write turns %q: %w", n.files.Path(name), err)
	}
	return nil
}
