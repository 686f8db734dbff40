package duo

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dls/job/record"
)

// readAll returns the records and the cursor of an answer.
func readAll(row *Endpoint, body []byte) (records []string, next string, err error) {
	meta, err := ReadPage(row, body, func(i int) (int, error) {
		end, err := record.Skip(body, i)
		if err == nil {
			records = append(records, string(body[i:end]))
		}
		return end, err
	})
	return records, meta.Cursor, err
}

func TestReadPage(t *testing.T) {
	for _, tt := range []struct {
		name, row, body string
		records         []string
		next            string
	}{
		{"cursor as a pair", "auth", `{"stat":"OK","response":{"authlogs":[{"txid":"a"},{"txid":"b"}],"metadata":{"next_offset":["1597671838335","1f6e1807"],"total_objects":2}}}`,
			[]string{`{"txid":"a"}`, `{"txid":"b"}`}, "1597671838335,1f6e1807"},
		{"cursor as one text", "activity", `{"stat":"OK","response":{"items":[{}],"metadata":{"next_offset":"1666714065304,5bf1a860","total_objects":3}}}`,
			[]string{"{}"}, "1666714065304,5bf1a860"},
		{"pair with a number", "auth", `{"stat":"OK","response":{"authlogs":[],"metadata":{"next_offset":[1597671838335,"1f6e1807"]}}}`, nil, "1597671838335,1f6e1807"},
		{"offset as text", "trustmonitor", `{"stat":"OK","response":{"events":[],"metadata":{"next_offset":"200"}}}`, nil, "200"},
		{"offset as number", "trustmonitor", `{"stat":"OK","response":{"events":[],"metadata":{"next_offset":200}}}`, nil, "200"},
		{"cursor null", "auth", `{"stat":"OK","response":{"authlogs":[],"metadata":{"next_offset":null,"total_objects":94}}}`, nil, ""},
		{"cursor missing", "telephony", `{"stat":"OK","response":{"items":[],"metadata":{"total_objects":0}}}`, nil, ""},
		{"cursor empty", "telephony", `{"stat":"OK","response":{"items":[],"metadata":{"next_offset":""}}}`, nil, ""},
		{"empty list for a cursor", "auth", `{"stat":"OK","response":{"authlogs":[],"metadata":{"next_offset":[]}}}`, nil, ""},
		{"no metadata", "telephony", `{"stat":"OK","response":{"items":[]}}`, nil, ""},
		{"empty metadata", "trustmonitor", `{"stat":"OK","response":{"events":[{}],"metadata":{}}}`, []string{"{}"}, ""},
		{"total as object", "activity", `{"stat":"OK","response":{"items":[],"metadata":{"total_objects":{"relation":"eq","value":3},"next_offset":"1,a"}}}`, nil, "1,a"},
		{"total as text", "activity", `{"stat":"OK","response":{"items":[],"metadata":{"total_objects":"3"}}}`, nil, ""},
		{"metadata first", "activity", `{"response":{"metadata":{"next_offset":"1,a"},"items":[{"x":1}]},"stat":"OK"}`, []string{`{"x":1}`}, "1,a"},
		{"metadata beside the response is not ours", "activity", `{"stat":"OK","metadata":{"next_offset":5},"response":{"items":[]}}`, nil, ""},
		{"bare list", "adminaction", `{"response":[{"timestamp":1},{"timestamp":1}],"stat":"OK"}`, []string{`{"timestamp":1}`, `{"timestamp":1}`}, ""},
		{"empty bare list", "adminaction", `{"response": [ ], "stat": "OK"}`, nil, ""},
		{"spaces and unknown keys", "telephony", " {\n\"x\": [1,{}], \"stat\" : \"OK\", \"response\": { \"more\": null, \"items\": [ {\"a\" : 1} , {} ] } }\n", []string{`{"a" : 1}`, "{}"}, ""},
		{"times of all kinds", "activity", `{"stat":"OK","response":{"items":[{"ts":"2020-09-29T15:06:14+00:00"},{"ts":"2020-09-29T15:06:14.123456+00:00"},{"ts":1601391974},{"ts":null},{}]}}`,
			[]string{`{"ts":"2020-09-29T15:06:14+00:00"}`, `{"ts":"2020-09-29T15:06:14.123456+00:00"}`, `{"ts":1601391974}`, `{"ts":null}`, "{}"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records, next, err := readAll(Named(tt.row), []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.records, records); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if next != tt.next {
				t.Errorf("cursor %q, want %q", next, tt.next)
			}
			if foreseen := Foresee(Named(tt.row), []byte(tt.body)).Cursor; foreseen != next && !strings.Contains(tt.name, "not ours") {
				t.Errorf("cursor %q was foreseen, want %q", foreseen, next)
			}
		})
	}
}

func TestForesee(t *testing.T) {
	for _, tt := range []struct {
		name, body, next string
		total            int
	}{
		{"long records", `{"stat":"OK","response":{"authlogs":[{"a":"` + strings.Repeat("x", 5000) + `"}],"metadata":{"next_offset":["1","a"],"total_objects":7}}}`, "1,a", 7},
		{"with spaces", `{"response": {"authlogs": [], "metadata" : {"next_offset": ["1", "a"], "total_objects": 7}}, "stat": "OK"}`, "1,a", 7},
		{"a text", `{"response": {"authlogs": [{"a": "metadata"}]}}`, "", 0},
		{"far away", `{"response":{"metadata":{"next_offset":["1","a"],"total_objects":7},"authlogs":["` + strings.Repeat("x", 5000) + `"]}}`, "", 0},
		{"within a text", `{"response":{"authlogs":["\"metadata\":{\"next_offset\":\"1,a\"}"]},"stat":"OK"}`, "", 0},
		{"cut", `{"response":{"authlogs":[],"metadata":{"next_offset":["1","a`, "", 0},
		{"no object", `{"response":{"authlogs":[],"metadata":7}}`, "", 0},
		{"nothing", ``, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if meta := Foresee(Named("auth"), []byte(tt.body)); meta.Cursor != tt.next || meta.Total != tt.total {
				t.Errorf("%+v, want %q, %d", meta, tt.next, tt.total)
			}
		})
	}
}

// Odd metadata keeps back no record.
func TestReadPageOddMetadata(t *testing.T) {
	for _, metadata := range []string{`null`, `7`, `[]`, `{"next_offset":{}}`, `{"next_offset":true}`, `{"next_offset":["1",null]}`, `{"next_offset":[["1","a"]]}`,
		`{"next_offset":"` + strings.Repeat("1", 5000) + `"}`, `{"next_offset":[` + strings.Repeat(`"1",`, 2000) + `"a"]}`} {
		body := `{"stat":"OK","response":{"authlogs":[{"txid":"a"}],"metadata":` + metadata + `}}`
		n := 0
		meta, err := ReadPage(Named("auth"), []byte(body), func(i int) (int, error) { n++; return record.Skip([]byte(body), i) })
		if want := (Meta{Unreadable: true}); meta != want || err != nil || n != 1 {
			t.Errorf("%s: %+v, error %v, %d records, want %+v and one", metadata, meta, err, n, want)
		}
		if meta := Foresee(Named("auth"), []byte(body)); meta.Cursor != "" {
			t.Errorf("%s: cursor %q was foreseen", metadata, meta.Cursor)
		}
	}
}

// What stands twice says nothing, and a number that is none of records counts none.
func TestReadPageDoubled(t *testing.T) {
	for response, want := range map[string]Meta{
		`"metadata":{"next_offset":"1,a","next_offset":null,"total_objects":2}`:              {Unreadable: true, Total: 2},
		`"metadata":{"next_offset":"1,a","total_objects":2},"metadata":{"next_offset":null}`: {Unreadable: true},
		`"metadata":{"next_offset":"1,a","total_objects":99999999999999999999}`:              {Cursor: "1,a"},
		`"metadata":{"next_offset":"1,a","total_objects":-5}`:                                {Cursor: "1,a"},
		`"metadata":{"next_offset":"1,a","total_objects":1e9}`:                               {Cursor: "1,a"},
	} {
		body := `{"stat":"OK","response":{"authlogs":[],` + response + `}}`
		meta, err := ReadPage(Named("auth"), []byte(body), func(int) (int, error) { return 0, nil })
		if meta != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", response, meta, err, want)
		}
	}
}

// What is no page of Duo's is an error, which tells a refusal from a broken
// answer: only the latter is tried again.
func TestReadPageRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, row, body string
		fail            *APIError // nil: a *BodyError
	}{
		{"empty", "auth", "", nil},
		{"text", "auth", "It works!\n", nil},
		{"HTML", "auth", "<html></html>", nil},
		{"null", "auth", "null", nil},
		{"list", "auth", "[]", nil},
		{"cut in a record", "auth", `{"stat":"OK","response":{"authlogs":[{"txid":"a"},{"tx`, nil},
		{"cut before the end", "auth", `{"stat":"OK","response":{"authlogs":[]}`, nil},
		{"text after the end", "auth", `{"stat":"OK","response":{"authlogs":[]}}x`, nil},
		{"no stat", "auth", `{"response":{"authlogs":[]}}`, nil},
		{"unknown stat", "auth", `{"stat":"MAYBE","response":{"authlogs":[]}}`, nil},
		{"no response", "auth", `{"stat":"OK"}`, nil},
		{"no list", "auth", `{"stat":"OK","response":{"metadata":{}}}`, nil},
		{"another endpoint's list", "auth", `{"stat":"OK","response":{"items":[]}}`, nil},
		{"list twice", "auth", `{"stat":"OK","response":{"authlogs":[{}],"authlogs":[]}}`, nil},
		{"response twice", "auth", `{"response":{"authlogs":[{}]},"stat":"OK","response":{"authlogs":[]}}`, nil},
		{"stat twice", "auth", `{"stat":"FAIL","response":{"authlogs":[{}]},"stat":"OK"}`, nil},
		{"list null", "auth", `{"stat":"OK","response":{"authlogs":null}}`, nil},
		{"response a text", "auth", `{"stat":"OK","response":"pong"}`, nil},
		{"response an object in place of a list", "adminaction", `{"stat":"OK","response":{}}`, nil},
		{"FAIL", "auth", `{"code":40002,"message":"Invalid request parameters","message_detail":"limit","stat":"FAIL"}`,
			&APIError{Status: 200, Code: 40002, Message: "Invalid request parameters", Detail: "limit"}},
		{"FAIL with long texts", "auth", `{"stat":"FAIL","code":40301,"message":"` + strings.Repeat("m", 1<<20) + `","message_detail":"d"}`,
			&APIError{Status: 200, Code: 40301, Detail: "d"}},
		{"FAIL with a code of another shape", "auth", `{"stat":"FAIL","code":[4],"message":{"a":1}}`, &APIError{Status: 200}},
		{"FAIL with a response", "auth", `{"response":"","code":50001,"message":"x","stat":"FAIL"}`, &APIError{Status: 200, Code: 50001, Message: "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readAll(Named(tt.row), []byte(tt.body))
			api, _ := errors.AsType[*APIError](err)
			_, broken := errors.AsType[*BodyError](err)
			if diff := cmp.Diff(tt.fail, api); diff != "" || broken != (tt.fail == nil) {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
			if want := tt.fail == nil || tt.fail.Code == 0 || tt.fail.Code >= 50000; Temporary(err) != want {
				t.Errorf("temporary %v, want %v: %v", Temporary(err), want, err)
			}
		})
	}
}

// An answer either is refused, or is JSON of which encoding/json reads as many
// records and says the same.
func FuzzReadPage(f *testing.F) {
	for _, body := range []string{
		`{"stat":"OK","response":{"items":[{"ts":"a"},{}],"metadata":{"next_offset":"1,a"}}}`,
		`{"stat":"OK","response":{"items":[],"metadata":{"next_offset":["1","a"]}}}`,
		`{"stat":"OK","response":{"items":[1,"x",null,[]],"metadata":{"next_offset":1e3}}}`,
		`{"response":{"metadata":{},"items":[{}]},"stat":"OK"}`,
		`{"code":40002,"message":"m","stat":"FAIL"}`,
		`{"stat":"OK","response":{"items":[{"a":"\ud800"}]}}`,
		`{"\u0073tat":"OK","response":{"items":[]}}`, "", "[", "{", `{"stat":"OK","response":{"items":[`,
	} {
		f.Add([]byte(body))
	}
	row := Named("activity")
	f.Fuzz(func(t *testing.T, body []byte) {
		records, next, err := readAll(row, body)
		Foresee(row, body) // may say anything
		if err != nil {
			_, api := errors.AsType[*APIError](err)
			_, broken := errors.AsType[*BodyError](err)
			if api == broken {
				t.Errorf("error %v is neither a refusal nor a broken answer", err)
			}
			return
		}
		if next != "" && len(next) > len(body) {
			t.Errorf("the cursor has %d bytes, the answer %d", len(next), len(body))
		}
		if !json.Valid(body) {
			return // what is in strings is not looked into
		}
		for _, r := range records {
			if !json.Valid([]byte(r)) {
				t.Errorf("record %q is not JSON", r)
			}
		}
		var answer struct {
			Response struct {
				Items []json.RawMessage `json:"items"`
			} `json:"response"`
		}
		if json.Unmarshal(body, &answer) == nil && len(answer.Response.Items) < len(records) {
			t.Errorf("%d records, encoding/json sees %d", len(records), len(answer.Response.Items))
		}
	})
}
