package job

import (
	"testing"

	"dls/job/window"

	"github.com/google/go-cmp/cmp"
)

// By Duo's order, and not by what a text tells, a record is due, pending or neither. All
// up to 100 is delivered, and the page lies between 10 and what last is.
func TestPlace(t *testing.T) {
	const due, pends, unproved = isDue, isPending, isUnproved
	for _, tt := range []struct {
		name      string
		last      int64
		unordered bool
		times     []int64
		want      []place
	}{
		{name: "in order", last: 200, times: []int64{20, 100, 101, 150}, want: []place{due, due, pends, pends}},
		{name: "ahead of a page that is delivered", last: 100, times: []int64{20, 5000, 30}, want: []place{due, due, due}},
		{name: "ahead, and others follow", last: 200, times: []int64{20, 5000, 30, 150}, want: []place{due, due, due, pends}},
		{name: "ahead, behind what is pending", last: 200, times: []int64{20, 150, 5000}, want: []place{due, pends, pends}},
		{name: "ahead, at the end", last: 200, times: []int64{20, 5000}, want: []place{due, unproved}},
		{name: "no time, at the end", last: 200, times: []int64{20, -1}, want: []place{due, unproved}},
		{name: "no time, and others follow", last: 200, times: []int64{-1, 30}, want: []place{due, due}},
		{name: "long ago, and pending", last: 200, times: []int64{150, 3, 160}, want: []place{pends, pends, pends}},
		{name: "one of two is wrong", last: 200, times: []int64{150, 60, 160}, want: []place{unproved, unproved, pends}},
		{name: "in no order", last: 200, unordered: true, times: []int64{150, 60, -1, 100}, want: []place{pends, due, due, due}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := page{bounds: window.Span{Min: 10, Max: tt.last}, times: tt.times, owns: tt.times}
			p.order(!tt.unordered)
			var got []place
			for i := range tt.times {
				got = append(got, p.place(i, 100))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
