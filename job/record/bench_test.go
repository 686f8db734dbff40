package record_test

import (
	"testing"
	"time"

	"dls/job/duosim"
	"dls/job/record"
)

// Records of 256 templates each, which is more unlike than real ones are.
func BenchmarkWriter(b *testing.B) {
	for _, style := range []struct {
		name string
		duosim.Style
	}{{"compact", duosim.Style{}}, {"spaced", duosim.Style{Spaced: true}}} {
		for _, kind := range []string{duosim.Auth, duosim.Activity, duosim.Telephony} {
			b.Run(style.name+"/"+kind, func(b *testing.B) {
				records := duosim.Generator{Style: style.Style}.Generate(kind, 1000, time.Unix(1795335330, 123e6), 1234567*time.Microsecond)
				w := record.NewWriter([]string{"txid", "isotimestamp", "timestamp"}, record.NewExtra("eventtype", "authentication"), record.NewExtra("host", "api-12345678.duosecurity.com"))
				dst := make([]byte, 0, 10000)
				size := 0
				for _, r := range records {
					size += len(r.Raw)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					for _, r := range records {
						var err error
						if dst, _, err = w.Append(dst[:0], r.Raw, 0); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
