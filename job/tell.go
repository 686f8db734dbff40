package job

import (
	"fmt"
	"time"

	"dls/job/window"
)

// warn tells the user, once, what a page has shown.
func (s *stream) warn(w *window.Window, step window.Step) {
	if g := w.Gap(); g != (window.Gap{}) {
		s.gap = g
	}
	if step.NoCursor {
		s.once("cursor", "Duo's answer has no cursor that can be used: going on by the times that its records tell")
	}
	if step.SteppedOver != 0 {
		s.run.log.Warn(fmt.Sprintf("more records than Duo shows lie in the second %s, and Duo shows no others of it: going on with the next second",
			text(step.SteppedOver)), "stream", s.result.Name())
	}
}

// conclude warns of what can be said in one line when the stream is done.
func (s *stream) conclude() {
	if s.gap != (window.Gap{}) {
		some := map[bool]string{true: "some of "}[s.gap.Partly]
		s.run.log.Warn(fmt.Sprintf("Duo keeps records for 180 days: %sthose from %s to %s can no longer be had", some, text(s.gap.From), text(s.gap.To)), "stream", s.result.Name())
	}
	if n := s.result.Untimed; n > 0 && s.run.collect == nil { // an audit moves none
		s.run.log.Warn(counted(n, "new record tells", "new records tell")+" no time, or one outside the time asked for, and cannot move the checkpoint", "stream", s.result.Name())
	}
}

// once logs a warning of its kind once a run.
func (s *stream) once(kind, msg string) {
	if s.warned == nil {
		s.warned = map[string]bool{}
	}
	if !s.warned[kind] {
		s.warned[kind] = true
		s.run.log.Warn(msg, "stream", s.result.Name())
	}
}

// text writes a time in milliseconds since the epoch for people.
func text(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
