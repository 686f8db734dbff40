package job_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"dls/job"
)

// Of what Duo and the servers say a run holds and tells what a reader needs: there may be
// thousands of streams, and a log file for years.
const (
	mostHeld = 16 << 10 // bytes of text that the error of a stream holds
	mostTold = 4 << 10  // characters of a message with its attributes
)

// judgeWords checks that the summary holds no more text than it needs.
func (sim *simulation) judgeWords(sum *job.Summary) {
	for _, r := range sum.Results {
		if n := held(reflect.ValueOf(&r.Err).Elem(), 0); n > mostHeld {
			sim.violation("the error of %s holds %d bytes of text", r.Name(), n)
		}
		if n := len(fmt.Sprint(r.Err)) + len(r.Hint()) + len(r.AccountName); n > mostTold {
			sim.violation("what is told of %s has %d bytes", r.Name(), n)
		}
	}
	for _, r := range sum.Runs {
		if len(r.Error) > mostTold {
			sim.violation("what is noted of the last run of %s has %d bytes", r.Endpoint, len(r.Error))
		}
	}
}

// judgeOutcome checks that what the run's exit code and its hints say is so: that nothing
// got through (1) or something did (3), and that the next run goes on from where this
// one ended.
func (sim *simulation) judgeOutcome(sum *job.Summary) {
	came, counts := false, false
	for _, s := range sim.streams {
		for _, k := range s.kinds {
			everywhere := k.sent != nil
			for _, i := range s.servers {
				everywhere = everywhere && slices.ContainsFunc(k.sent[i], func(d *simDelivery) bool { return d.run == sim.run && !d.session.confirmed.IsZero() })
				counts = counts || k.sent != nil && slices.ContainsFunc(k.sent[i], func(d *simDelivery) bool { return d.run == sim.run && d.version > 0 })
			}
			came = came || everywhere || len(k.kept) > 0
		}
	}
	done := len(sum.Failed()) < len(sum.Results) || len(sum.Results) == 0
	if got := sum.Through(); got && !done && !came {
		sim.violation("something is said to have got through, and nothing has")
	} else if !got && (done || counts && sim.plan.store == 0) { // a checkpoint may count that is said to have failed
		sim.violation("nothing is said to have got through, and something has")
	}
	for _, r := range sum.Failed() {
		hint := r.Hint()
		goesOn := strings.Contains(hint, "goes on from there") || strings.Contains(hint, "is checkpointed")
		if s := sim.find(r.Endpoint, r.Account); s != nil && goesOn && sim.forgetful != nil {
			sim.violation("the hint for %s is false, nothing is remembered: %s", r.Name(), hint)
		}
	}
}

// said checks a message of the run.
func (sim *simulation) said(text string) {
	if len(text) > mostTold {
		sim.violation("a message of %d bytes: %.80s …", len(text), text)
	}
}

var errorType = reflect.TypeFor[error]()

// held counts the bytes of the texts that an error holds, and the errors in it.
func held(v reflect.Value, depth int) (n int) {
	if depth > 20 {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Interface:
		if !v.IsNil() {
			return held(v.Elem(), depth+1)
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type().Implements(errorType) { // what else it points to is the run's
			return held(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Cap()
		}
		for i := range v.Len() {
			n += held(v.Index(i), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() != reflect.Interface || f.Type().Implements(errorType) {
				n += held(f, depth+1)
			}
		}
	}
	return n
}
