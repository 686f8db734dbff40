package job

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"dls/sinks"
)

// forbidden is a receiver that a firewall forbids, with the number of a disk that
// does.
type forbidden struct{}

func (forbidden) ID() string { return "siem" }

func (forbidden) MaxRecord() int { return 0 }

func (forbidden) Open(context.Context) (sinks.Session, error) {
	return nil, fmt.Errorf("deliver: %w", syscall.EACCES)
}

func (forbidden) Check(context.Context) (sinks.Report, error) {
	return sinks.Report{}, fmt.Errorf("check: %w", syscall.EACCES)
}

// A receiver is no checkpoint directory.
func TestHintOfReceiver(t *testing.T) {
	s := &stream{run: new(run)}
	for name, err := range map[string]error{
		"deliver": s.deliverTo(context.Background(), forbidden{}, []byte("{}\n")),
		"reach":   s.reach(context.Background(), forbidden{}),
	} {
		if hint := Hint(err); !errors.Is(err, syscall.EACCES) || hint != "" {
			t.Errorf("%s: %v, hint %q", name, err, hint)
		}
	}
}
