package duosim

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var kindNames = []string{Auth, Telephony, Activity, AdminAction, TrustMonitor}

func TestGenerate(t *testing.T) {
	fieldsOf := map[string]struct{ id, time string }{
		Auth: {"txid", "isotimestamp"}, Telephony: {"telephony_id", "ts"}, Activity: {"activity_id", "ts"},
		AdminAction: {"", "isotimestamp"}, TrustMonitor: {"sekey", ""},
	}
	from := now.Add(-time.Hour + 123456*time.Microsecond)
	for _, kind := range kindNames {
		t.Run(kind, func(t *testing.T) {
			g := Generator{Seed: 7, Jitter: true}
			records := g.Generate(kind, 1000, from, 731*time.Millisecond)
			again := g.Generate(kind, 1000, from, 731*time.Millisecond)
			if !slices.EqualFunc(records, again, func(a, b Record) bool {
				return a.At.Equal(b.At) && a.ID == b.ID && bytes.Equal(a.Raw, b.Raw)
			}) {
				t.Error("the same generator made other records")
			}
			ids := make(map[string]bool)
			size, equal, whole := 0, 0, 0
			for i, r := range records {
				size += len(r.Raw)
				ids[r.ID] = true
				if i > 0 && r.At.Before(records[i-1].At) {
					t.Fatalf("record %d is older than the one before", i)
				}
				if i > 0 && r.At.Equal(records[i-1].At) {
					equal++
				}
				if r.At.Nanosecond() == 0 {
					whole++
				}
				if bytes.Contains(r.Raw, []byte("@@")) {
					t.Fatalf("a mark is left in %s", r.Raw)
				}
				var got map[string]any
				if err := json.Unmarshal(r.Raw, &got); err != nil {
					t.Fatalf("%v in %s", err, r.Raw)
				}
				f := fieldsOf[kind]
				if f.id != "" && got[f.id] != r.ID {
					t.Fatalf("id %q, want %q", got[f.id], r.ID)
				}
				if f.time != "" {
					at, err := time.Parse("2006-01-02T15:04:05-07:00", got[f.time].(string))
					if err != nil || !at.Equal(r.At) {
						t.Fatalf("time %v (%v), want %v", got[f.time], err, r.At)
					}
				}
				if seconds, ok := got["timestamp"]; ok && seconds != float64(r.At.Unix()) {
					t.Fatalf("timestamp %v, want %v", seconds, r.At.Unix())
				}
				if ms, ok := got["surfaced_timestamp"]; ok && ms != float64(r.At.UnixMilli()) {
					t.Fatalf("surfaced_timestamp %v, want %v", ms, r.At.UnixMilli())
				}
				if canon := marshalAgain(t, r.Raw); canon != string(r.Raw) {
					t.Fatalf("keys are not in order:\n%s\n%s", r.Raw, canon)
				}
			}
			if kind != AdminAction && len(ids) != len(records) {
				t.Errorf("%d ids of %d records", len(ids), len(records))
			}
			if equal == 0 || whole == 0 {
				t.Errorf("%d equal times, %d whole seconds", equal, whole)
			}
			t.Logf("%d bytes a record", size/len(records))
		})
	}
}

// marshalAgain writes a record as compact JSON with sorted keys, numbers as they
// were.
func marshalAgain(t *testing.T, raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one value in %s", raw)
	}
	return marshal(v)
}

func TestStyles(t *testing.T) {
	const compact = `{"a":["x, y: z","Zoë \"ß\" 📱",{"b":null}],"u":"https://a/\\/"}`
	for _, test := range []struct {
		name  string
		style Style
		want  string
	}{
		{"compact", Style{}, compact},
		{"spaced", Style{Spaced: true}, `{"a": ["x, y: z", "Zoë \"ß\" 📱", {"b": null}], "u": "https://a/\\/"}`},
		{"ASCII", Style{ASCII: true}, `{"a":["x, y: z","Zo\u00eb \"\u00df\" \ud83d\udcf1",{"b":null}],"u":"https://a/\\/"}`},
		{"slashes", Style{Slashes: true}, `{"a":["x, y: z","Zoë \"ß\" 📱",{"b":null}],"u":"https:\/\/a\/\\\/"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, string(test.style.append(nil, compact))); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("server", func(t *testing.T) {
		s := newSim()
		s.Style = Style{Spaced: true, ASCII: true, WholeSeconds: true}
		s.SetBacklog(parent, Auth, Backlog{N: 100, From: now.Add(-time.Hour), Step: 10 * time.Millisecond})
		body := get(t, s, parent, Auth, lastDay())
		if !strings.HasPrefix(body, `{"response": {"authlogs": [{"access_device": {"browser": `) {
			t.Errorf("body is %.100s", body)
		}
		if i := strings.IndexFunc(body, func(r rune) bool { return r > 127 }); i >= 0 {
			t.Errorf("not ASCII: %.20q", body[i:])
		}
		for r := range s.Visible(parent, Auth) {
			if r.At.Nanosecond() != 0 {
				t.Fatalf("a time of %v", r.At)
			}
		}
		if n := len(decode(t, body).records); n != 100 {
			t.Errorf("%d records, want 100", n)
		}
	})
}

// A style changes the text and not the value.
func FuzzStyle(f *testing.F) {
	for _, kind := range kindNames {
		f.Add(string(Generate(kind, 1, now, 0)[0].Raw), true, true, true)
	}
	f.Add(`{"\u2028\ud800":"\\\"/é😀","":[1,2.50,-0e1,true]}`, false, true, true)
	f.Fuzz(func(t *testing.T, text string, spaced, ascii, slashes bool) {
		if !json.Valid([]byte(text)) {
			t.Skip()
		}
		styled := Style{Spaced: spaced, ASCII: ascii, Slashes: slashes}.append(nil, text)
		if want, got := marshalAgain(t, []byte(text)), marshalAgain(t, styled); want != got {
			t.Errorf("%s became %s", want, got)
		}
	})
}

// Whatever is asked, the answer is JSON of the Admin API.
func FuzzQuery(f *testing.F) {
	f.Add("mintime=1795334400000&maxtime=1795420680000&limit=3&sort=ts:asc&next_offset=1795334400000,x")
	f.Add("mintime=1795334400000&maxtime=1795420680000&next_offset=1795334400000&next_offset=x")
	f.Add("mintime=1795334400&offset=7")
	f.Add("%zz")
	s := newSim()
	for _, kind := range kindNames {
		s.Add(parent, kind, Generate(kind, 20, now.Add(-time.Hour), time.Second)...)
	}
	s.ForgetCalls = true
	f.Fuzz(func(t *testing.T, query string) {
		for _, kind := range kindNames {
			r := newRequest(s, parent, kind, nil)
			r.URL.RawQuery = query
			signRequest(r, r.URL.Query(), now)
			status, body := serve(s, r)
			var got struct{ Stat string }
			if err := json.Unmarshal([]byte(body), &got); err != nil || (got.Stat == "OK") != (status == 200) {
				t.Errorf("%s: %d %s", kind, status, body)
			}
		}
	})
}
