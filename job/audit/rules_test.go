package audit_test

import (
	"strings"
	"testing"

	"dls/job/audit"

	"github.com/google/go-cmp/cmp"
)

// What it takes to be found.
func TestRules(t *testing.T) {
	const (
		id    = "1f6e1807-9e80-4ad0-8b37-0e1b4a1c7c9e"
		other = "2f6e1807-9e80-4ad0-8b37-0e1b4a1c7c9e"
		iso   = "2026-11-20T08:00:00.351346+00:00"
		near  = "2026-11-20T08:00:00.351999+00:00"
		ms    = 1795161600351
	)
	one := audit.Wanted{ID: id, Time: iso, At: ms}
	const later = "2026-11-20T08:00:01.000001+00:00"
	two := audit.Wanted{ID: other, Time: later, At: 1795161601000, Line: 3}
	sibling := audit.Wanted{ID: id, Time: near, At: ms, Line: 1}
	whole := audit.Wanted{ID: id, Time: "2026-11-20T08:00:00+00:00", At: 1795161600000, Line: 2}
	admin := audit.Wanted{At: 1795161600000, Raw: []byte(`{"action":"a","description":null,"object":"o","timestamp":1795161600,"username":"u"}`), External: strings.Repeat("ab", 20)}
	child := admin
	child.Account = "DACHILD0000000000001"
	both := []audit.Wanted{one, sibling}
	for _, c := range []struct {
		name   string
		want   []audit.Wanted
		text   string
		lost   []int  // the lines of those not found
		reason string // why
	}{
		{name: "id and time", want: []audit.Wanted{one}, text: id + " " + iso, reason: "the rule"},
		{name: "id alone", want: []audit.Wanted{one}, text: id, lost: []int{0}, reason: "telephony carries auth's txid"},
		{name: "time alone", want: []audit.Wanted{one}, text: iso, lost: []int{0}, reason: "two records may share a time"},
		{name: "on two lines", want: []audit.Wanted{one}, text: id + "\n" + iso, lost: []int{0}, reason: "one line is one record"},
		{name: "longer id", want: []audit.Wanted{one}, text: id + "0 " + iso, lost: []int{0}, reason: "another id"},
		{name: "within a word", want: []audit.Wanted{one}, text: "x" + id + " " + iso, lost: []int{0}, reason: "another id"},
		{name: "milliseconds", want: []audit.Wanted{one}, text: "rt=1795161600351 externalId=" + id, reason: "as CEF writes it"},
		{name: "other milliseconds", want: []audit.Wanted{one}, text: "rt=1795161600352 externalId=" + id, lost: []int{0}, reason: "another time"},
		{name: "another zone", want: []audit.Wanted{one}, text: id + " 2026-11-20 09:00:00.351 +0100"[:24] + " 2026-11-20T09:00:00.351+0100", reason: "the same instant"},
		{name: "seconds", want: []audit.Wanted{one, whole}, text: id + " 1795161600 " + iso, lost: []int{2}, reason: "whole seconds stand for no exact time"},
		{name: "fractions of seconds", want: []audit.Wanted{one}, text: "1795161600.351346 " + id, reason: "as Splunk has _time"},
		{name: "two of one millisecond", want: both, text: id + " " + iso + "\n" + id + " " + near, reason: "each has its line"},
		{name: "one of one millisecond", want: both, text: id + " " + iso + "\n" + id + " " + iso, lost: []int{1}, reason: "a duplicate stands for no other record"},
		{name: "CEF of one millisecond", want: both, text: id + " 1795161600351", lost: []int{0}, reason: "one line, one record"},
		{name: "two spellings in a line", want: both, text: id + " 1795161600351 " + iso, lost: []int{1}, reason: "one line, one record"},
		{name: "as often as there are", want: []audit.Wanted{one, {ID: id, Time: iso, At: ms, Line: 1}}, text: id + " " + iso, lost: []int{1}, reason: "one line, one record"},
		{name: "escaped JSON", want: []audit.Wanted{one}, text: `{"message":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}"}`, reason: "Elastic's event.original"},
		{name: "torn JSON", want: []audit.Wanted{one}, text: `{"isotimestamp":"` + iso + `","txid":"` + id + `","user":{"na`, lost: []int{0}, reason: "the rest of the record is missing"},
		{name: "torn within", want: []audit.Wanted{one}, text: `{"message":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\",\"us"}`, lost: []int{0}, reason: "the SIEM cut it"},
		{name: "torn cell", want: []audit.Wanted{one}, text: `"{""txid"":""` + id + `"",""isotimestamp"":""` + iso + `"",""us`, lost: []int{0}, reason: "the table is cut"},
		{name: "torn, then whole", want: []audit.Wanted{one}, text: `{"access_device":{"bro<134>x {"isotimestamp":"` + iso + `","txid":"` + id + `"}`, reason: "the newline is what was cut"},
		{name: "broken text within", want: []audit.Wanted{one}, text: `{"action":"{\"x","txid":"` + id + `","isotimestamp":"` + iso + `"}`, reason: "Duo's texts may be broken JSON"},
		{name: "surfaced", want: []audit.Wanted{one}, text: `{"sekey":"SE","surfaced_auth":{"txid":"` + id + `","isotimestamp":"` + iso + `"}}`, lost: []int{0}, reason: "Trust Monitor's event is no authentication"},
		{name: "surfaced, torn", want: []audit.Wanted{one}, text: `{"sekey":"SE","surfaced_auth": {"txid":"` + id + `","isotimestamp":"` + iso + `"},"state":"ne`, lost: []int{0}, reason: "part of an event that is cut"},
		{name: "surfaced, torn within", want: []audit.Wanted{one}, text: `{"message":"{\"sekey\":\"SE\",\"surfaced_auth\":{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"},\"sta"}`, lost: []int{0}, reason: "part of an event that is cut"},
		{name: "surfaced, torn in a cell", want: []audit.Wanted{one}, text: `"{""sekey"":""SE"",""surfaced_auth"":{""txid"":""` + id + `"",""isotimestamp"":""` + iso + `""},""sta`, lost: []int{0}, reason: "part of an event that is cut"},
		{name: "surfaced, flat", want: []audit.Wanted{one}, text: `{"sekey":"SE","duo.surfaced_auth.txid":"` + id + `","duo.surfaced_auth.isotimestamp":"` + iso + `"}`, lost: []int{0}, reason: "Trust Monitor's event is no authentication"},
		{name: "surfaced, in columns", want: []audit.Wanted{one}, text: "sekey,surfaced_auth.txid,surfaced_auth.isotimestamp\nSE," + id + "," + iso, lost: []int{0}, reason: "Trust Monitor's event is no authentication"},
		{name: "surfaced, in a column", want: []audit.Wanted{one}, text: "sekey,surfaced_auth\nSE,\"{\"\"txid\"\":\"\"" + id + "\"\",\"\"isotimestamp\"\":\"\"" + iso + "\"\"}\"", lost: []int{0}, reason: "Trust Monitor's event is no authentication"},
		{name: "surfaced, as a pair", want: []audit.Wanted{one}, text: `sekey=SE surfaced_auth={"txid":"` + id + `","isotimestamp":"` + iso + `"}`, lost: []int{0}, reason: "Trust Monitor's event is no authentication"},
		{name: "beside surfaced columns", want: []audit.Wanted{one}, text: "txid,isotimestamp,surfaced_auth.txid\n" + id + "," + iso + ",", reason: "an export of several logs"},
		{name: "torn, then another", want: []audit.Wanted{one}, text: `{"a":{"b":1},"c":"x{"isotimestamp":"` + iso + `","txid":"` + id + `"}`, reason: "the newline is what was cut"},
		{name: "members", want: []audit.Wanted{admin}, text: `{"username": "u", "x": {}, "timestamp": 1795161600, "object": "o", "action": "a"}`, reason: "order, spacing and null are no matter"},
		{name: "other members", want: []audit.Wanted{admin}, text: `{"username": "v", "timestamp": 1795161600, "object": "o", "action": "a"}`, lost: []int{0}, reason: "another record"},
		{name: "externalId", want: []audit.Wanted{admin}, text: "externalId=" + strings.Repeat("ab", 20), reason: "the hash is the whole record's"},
		{name: "torn externalId", want: []audit.Wanted{admin}, text: "externalId=" + strings.Repeat("ab", 19), lost: []int{0}, reason: "torn"},
		{name: "of a child", want: []audit.Wanted{child}, text: `{"username": "u", "timestamp": 1795161600, "object": "o", "action": "a"}`, lost: []int{0}, reason: "equal records of two accounts are two"},
		{name: "CEF of a child", want: []audit.Wanted{child}, text: "CEF:0|externalId=" + strings.Repeat("ab", 20) + " cs6Label=child_account_id cs6=DACHILD0000000000001", reason: "whole"},
		{name: "torn CEF of a child", want: []audit.Wanted{child}, text: "CEF:0|externalId=" + strings.Repeat("ab", 20) + " cs6Label=child_account_id cs6=DACHILD", lost: []int{0}, reason: "torn"},
		{name: "CSV", want: []audit.Wanted{admin}, text: "timestamp,username,action,object,description\n1795161600,u,a,o,", reason: "the columns are named"},
		{name: "odd id", want: []audit.Wanted{{ID: "a b:é", Time: iso, At: ms}}, text: `{"txid":"a b:\u00e9","ts":"` + iso + `"}`, reason: "an id may be any text"},
		{name: "no time", want: []audit.Wanted{{ID: id, At: -1}}, text: id + " x", reason: "it tells none"},
		{name: "forged in a name", want: []audit.Wanted{one}, text: `{"isotimestamp":"2026-11-20T09:00:00.000001+00:00","txid":"` + other + `","user":{"name":"` + id + ` ` + iso + `"}}`, lost: []int{0}, reason: "a record is no other, whatever its texts hold"},
		{name: "forged as members", want: []audit.Wanted{one}, text: `{"isotimestamp":"2026-11-20T09:00:00.000001+00:00","txid":"` + other + `","user":{"name":"` + id + `"},"access_device":{"hostname":"` + iso + `"}}`, lost: []int{0}, reason: "a record is no other, whatever its texts hold"},
		{name: "forged as JSON", want: []audit.Wanted{one}, text: `{"isotimestamp":"2026-11-20T09:00:00.000001+00:00","txid":"` + other + `","user":{"name":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}"}}`, lost: []int{0}, reason: "a record is no other, whatever its texts hold"},
		{name: "forged in a record that is exported as a text", want: []audit.Wanted{one}, text: `{"result":{"_raw":"{\"isotimestamp\":\"2026-11-20T09:00:00.000001+00:00\",\"txid\":\"` + other + `\",\"user\":\"` + id + ` ` + iso + `\"}"}}`, lost: []int{0}, reason: "a record is no other, whatever its texts hold"},
		{name: "forged beside a record that is exported as a text", want: []audit.Wanted{one, two}, text: `{"user":"{\"isotimestamp\":\"` + iso + `\",\"txid\":\"` + id + `\"}","_raw":"{\"isotimestamp\":\"` + later + `\",\"txid\":\"` + other + `\"}"}`, lost: []int{0, 3}, reason: "which of them it is cannot be told"},
		{name: "forged in a description", want: []audit.Wanted{one, admin}, text: `{"action":"a","description":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}","object":"o","timestamp":1795161600,"username":"u"}`, lost: []int{0, 0}, reason: "a record without an id is no other"},
		{name: "forged administrator", want: []audit.Wanted{admin}, text: `{"isotimestamp":"` + iso + `","txid":"` + other + `","x":"{\"username\":\"u\",\"timestamp\":1795161600,\"object\":\"o\",\"action\":\"a\"}"}`, lost: []int{0}, reason: "a record is no other"},
		{name: "forged in CEF", want: []audit.Wanted{one}, text: `CEF:0|Duo Security|x|1|a|b|3|rt=1795165200000 suser=` + id + ` msg={"txid":"` + id + `","isotimestamp":"` + iso + `"} duser=externalId\=` + id + ` rt\=1795161600351 externalId=` + other, lost: []int{0}, reason: "no value of CEF holds a key"},
		{name: "forged in a column", want: []audit.Wanted{one}, text: "txid,isotimestamp,user.name,host\n" + other + ",2026-11-20T09:00:00.000001+00:00," + id + "," + iso, lost: []int{0}, reason: "the columns are named"},
		{name: "forged where the id is named", want: []audit.Wanted{one}, text: `{"duo":{"auth":{"txid":"` + other + `"}},"user":{"name":"` + id + `"},"reason":"` + iso + `"}`, lost: []int{0}, reason: "the id is named"},
		{name: "a wrapper that looks like an administrator's", want: []audit.Wanted{one, admin}, text: `{"timestamp":1795161600,"action":"deny","username":"x","message":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}"}`, lost: []int{0}, reason: "the record is in it"},
		{name: "forged beside a record", want: []audit.Wanted{one, two}, text: `{"note":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}","duo":{"txid":"` + other + `","isotimestamp":"` + later + `"}}`, lost: []int{0}, reason: "the record is the one that stands in no text"},
		{name: "a JSON text beside a named id", want: []audit.Wanted{one}, text: `{"duo":{"txid":"` + other + `"},"message":"{\"txid\":\"` + id + `\",\"isotimestamp\":\"` + iso + `\"}"}`, lost: []int{0}, reason: "the id is named"},
		{name: "two records in words", want: []audit.Wanted{one, two}, text: id + " " + iso + " " + other + " " + later, lost: []int{0, 3}, reason: "one line, one record"},
		{name: "two records that were one line each", want: []audit.Wanted{one, two}, text: `{"txid":"` + id + `","isotimestamp":"` + iso + `"}{"txid":"` + other + `","isotimestamp":"` + later + `"}`, reason: "the newline is what was cut"},
		{name: "an id with a name of its own", want: []audit.Wanted{one}, text: `{"result":{"duo.txid":"` + id + `","duo.isotimestamp":"` + iso + `"}}`, reason: "members are renamed"},
		{name: "Sentinel's types", want: []audit.Wanted{one}, text: "txid_g,isotimestamp_t,user_s\n" + id + ",2026-11-20T08:00:00.351Z,x", reason: "columns are renamed"},
		{name: "seconds of its own, and the time beside", want: []audit.Wanted{one}, text: `{"@timestamp":"2026-11-20T08:00:00.351Z","duo":{"txid":"` + id + `","timestamp":1795161600}}`, reason: "the time is elsewhere"},
		{name: "telephony with auth's id", want: []audit.Wanted{one}, text: `{"telephony_id":"` + other + `","ts":"` + iso + `","txid":"` + id + `"}`, lost: []int{0}, reason: "it is the telephony's record, even of the same instant"},
		{name: "other id", want: []audit.Wanted{one}, text: other + " " + iso, lost: []int{0}, reason: "another record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := audit.New(temp(t))
			defer x.Close()
			for _, w := range c.want {
				if err := x.Add(w); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := x.Look(t.Context(), strings.NewReader(c.text)); err != nil {
				t.Fatal(err)
			}
			r, err := x.Result()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var lost []int
			_ = r.Each(func(m audit.Missing) error { lost = append(lost, m.Line); return nil })
			if diff := cmp.Diff(c.lost, lost); diff != "" {
				t.Errorf("%s: lost (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// Whatever a line holds, looking ends, and finds no more than the line has room for.
func FuzzLook(f *testing.F) {
	const id, iso = "1f6e1807-9e80-4ad0-8b37-0e1b4a1c7c9e", "2026-11-20T08:00:00.351346+00:00"
	for _, seed := range []string{
		`{"txid":"` + id + `","isotimestamp":"` + iso + `"}`, `"{""txid"":""` + id + `""}"`, `{"m":"{\"a\":\"` + id + `\"}"}`,
		"a,b\n\"x\ny\",1\n", "CEF:0|a externalId=" + id, "{\"\\", "\x1f\x8b", "{\"a\":{\"{\\\"", "1795161600.351 2026-11-20 08:00:00,1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x := audit.New(temp(t))
		defer x.Close()
		for _, w := range []audit.Wanted{
			{ID: id, Time: iso, At: 1795161600351, Account: "DA"},
			{ID: "odd id", Time: iso, At: 1795161600351},
			{At: 1, Raw: []byte(`{"action":"a","timestamp":1,"username":"u"}`), External: strings.Repeat("a", 40)},
		} {
			if err := x.Add(w); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = x.Look(t.Context(), strings.NewReader(text))
		r, err := x.Result()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Found > 0 && !strings.HasPrefix(text, "\x1f\x8b") && len(text) < 12 {
			t.Errorf("%q: %d found", text, r.Found)
		}
	})
}
