package job

import (
	"context"
	"time"
)

// share is how many pages a stream delivers before it lets others have its slot.
const share = 4

// turn makes sure that the stream has a slot, and tells its servers that a page is on
// its way. After some pages it lets others have the slot.
func (s *stream) turn(ctx context.Context) error {
	if s.slot != nil && s.feed.Last {
		s.release()
	}
	if s.slot == nil {
		s.flight.land()
		slot, err := s.run.line.wait(ctx, s)
		if err != nil {
			return err
		}
		s.hold(slot)
	}
	s.pages++
	s.feed.Last = s.pages >= share && s.run.line.crowded()
	s.expect()
	return nil
}

// hold takes a slot, release gives it back.
func (s *stream) hold(slot *slot) {
	s.slot, s.feed.Buffers, s.pages = slot, &slot.Buffers, 0
	slot.page.use(s.lines)
}

func (s *stream) release() {
	if s.slot != nil {
		s.feed.Close()
		s.feed.Buffers = nil
		slot := s.slot
		s.slot = nil
		slot.trim(s.lines)
		s.run.line.leave(slot)
	}
}

// Sleep and Await implement [feed.Waiter]: what is confirmed meanwhile is committed.
// Sleep lets others have the slot.
func (s *stream) Sleep(ctx context.Context, d time.Duration) error {
	if err := s.rest(ctx, d); err != nil {
		return err
	}
	return s.turn(ctx)
}

// rest waits for d without a slot.
func (s *stream) rest(ctx context.Context, d time.Duration) error {
	s.release()
	s.flight.land()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-s.flight.undecided():
			if err := s.commit(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *stream) Await(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-s.flight.undecided():
			if err := s.commit(); err != nil {
				return err
			}
		}
	}
}
