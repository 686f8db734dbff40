package cef_test

import (
	"testing"

	"dls/cef"
)

func BenchmarkAppend(b *testing.B) {
	for _, endpoint := range []string{"auth", "telephony", "adminaction", "activity"} {
		b.Run(endpoint, func(b *testing.B) {
			f, m, record := cef.New("1.2.3"), cef.For(endpoint), []byte(records[endpoint])
			b.SetBytes(int64(len(record)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = f.Append(dst[:0], m, record, "DA0EXAMPLE0EXAMPLE0B"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func TestAllocations(t *testing.T) {
	f := cef.New("1.2.3")
	dst := make([]byte, 0, 4096)
	for endpoint, record := range records {
		m, record := cef.For(endpoint), []byte(record)
		if n := testing.AllocsPerRun(100, func() { f.Append(dst, m, record, "DA0EXAMPLE0EXAMPLE0B") }); n > 0 {
			t.Errorf("%s: %v allocations for each record", endpoint, n)
		}
	}
}
