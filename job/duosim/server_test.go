package duosim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	parent = "DAPARENT000000000001"
	child  = "DACHILD0000000000001"
	other  = "DAOTHER0000000000001"
	ikey   = "DITEST00000000000001"
	skey   = "0123456789abcdef0123456789abcdef01234567"
)

// now is the clock of the tests.
var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func newSim() *Server {
	s := New(
		Account{ID: parent, Name: "Orchard", Host: "api-parent01.duosecurity.com", Ikey: ikey, Skey: skey, MSP: true},
		Account{ID: child, Name: "Zoë & Söhne", Host: "api-child001.duosecurity.com", Parent: parent},
		Account{ID: other, Name: "Other", Host: "api-other001.duosecurity.com", Ikey: "DIOTHER0000000000001", Skey: "other"},
	)
	s.Now = func() time.Time { return now }
	return s
}

// newRequest makes a call as a client does: to the host of account, signed with
// version 2 and SHA-512. For a child account it adds account_id.
func newRequest(s *Server, account, endpoint string, params url.Values) *http.Request {
	e := endpointNamed(endpoint)
	if account == child {
		params.Set("account_id", account)
	}
	r := httptest.NewRequest(e.method, "https://"+s.Host(account)+e.path+"?"+params.Encode(), nil)
	r.RequestURI = ""
	signRequest(r, params, s.Now())
	return r
}

func signRequest(r *http.Request, params url.Values, at time.Time) {
	date := at.Format(time.RFC1123Z)
	c := canonical{date: date, method: r.Method, host: r.Host, path: r.URL.Path, params: params}
	r.Header.Set("Date", date)
	r.Header.Set("Authorization", basic(ikey, c.signatures(skey)[1]))
}

func basic(ikey, signature string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(ikey+":"+signature))
}

// serve answers a call without a network.
func serve(s *Server, r *http.Request) (status int, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func get(t *testing.T, s *Server, account, endpoint string, params url.Values) string {
	t.Helper()
	status, body := serve(s, newRequest(s, account, endpoint, params))
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	return body
}

// page is a decoded answer.
type page struct {
	records []string // as received
	next    any      // next_offset, or the text "absent"
	total   any
}

func decode(t *testing.T, body string) page {
	t.Helper()
	var envelope struct {
		Response json.RawMessage `json:"response"`
		Stat     string          `json:"stat"`
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil || envelope.Stat != "OK" {
		t.Fatalf("not a good answer (%v): %.300s", err, body)
	}
	var list []json.RawMessage
	p := page{next: "absent"}
	if json.Unmarshal(envelope.Response, &list) != nil {
		var response struct {
			Authlogs, Items, Events []json.RawMessage
			Metadata                map[string]any
		}
		if err := json.Unmarshal(envelope.Response, &response); err != nil {
			t.Fatal(err)
		}
		list = slices.Concat(response.Authlogs, response.Items, response.Events)
		p.total = response.Metadata["total_objects"]
		if next, ok := response.Metadata["next_offset"]; ok {
			p.next = next
		}
	}
	for _, raw := range list {
		p.records = append(p.records, string(raw))
	}
	return p
}

func visible(s *Server, account, endpoint string) []string {
	var all []string
	for r := range s.Visible(account, endpoint) {
		all = append(all, string(r.Raw))
	}
	return all
}

func millis(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }

// lastDay is the window of the parameter tests.
func lastDay() url.Values {
	return url.Values{"mintime": {millis(now.Add(-24 * time.Hour))}, "maxtime": {millis(now)}}
}

func TestErrors(t *testing.T) {
	set := func(pairs ...string) func(url.Values) {
		return func(p url.Values) {
			for i := 0; i < len(pairs); i += 2 {
				p.Set(pairs[i], pairs[i+1])
			}
		}
	}
	del := func(key string) func(url.Values) { return func(p url.Values) { p.Del(key) } }
	old := millis(now.Add(-180*24*time.Hour - time.Millisecond))
	type want struct {
		status, code int
		detail       string
	}
	for _, test := range []struct {
		name     string
		endpoint string
		change   func(url.Values)
		quirks   Quirks
		want     want
	}{
		{"no mintime", Auth, del("mintime"), Quirks{}, want{400, 40001, "mintime"}},
		{"no maxtime", Auth, del("maxtime"), Quirks{}, want{400, 40001, "maxtime"}},
		{"mintime in seconds", Activity, set("mintime", "1795334400"), Quirks{}, want{400, 40002, "'mintime' must be a timestamp in milliseconds"}},
		{"maxtime is text", Activity, set("maxtime", "now"), Quirks{}, want{400, 40002, "'maxtime' must be a timestamp in milliseconds"}},
		{"equal times", Telephony, set("mintime", millis(now)), Quirks{}, want{400, 40002, "'maxtime' must be strictly greater than 'mintime'"}},
		{"limit 0", Auth, set("limit", "0"), Quirks{}, want{400, 40002, "limit"}},
		{"limit 1001", Auth, set("limit", "1001"), Quirks{}, want{400, 40002, "limit"}},
		{"limit 1001 cut", Auth, set("limit", "1001"), Quirks{LimitCut: true}, want{200, 0, ""}},
		{"limit is text", Auth, set("limit", "all"), Quirks{}, want{400, 40002, "limit"}},
		{"sort", Auth, set("sort", "asc"), Quirks{}, want{400, 40002, "sort"}},
		{"cursor without id", Auth, set("next_offset", "1795334400000"), Quirks{}, want{400, 40002, "next_offset"}},
		{"swapped cursor", Auth, func(p url.Values) { p["next_offset"] = []string{"id", "1795334400000"} }, Quirks{}, want{400, 40002, "next_offset"}},
		{"pair on activity", Activity, func(p url.Values) { p["next_offset"] = []string{"1795334400000", "id"} }, Quirks{}, want{400, 40002, "next_offset"}},
		{"filter", Auth, set("users", "DU1"), Quirks{}, want{400, 40002, "'users' is not simulated"}},
		{"old mintime", Auth, set("mintime", old), Quirks{}, want{200, 0, ""}},
		{"old mintime rejected", Auth, set("mintime", old), Quirks{RejectOld: true}, want{400, 40002, "mintime must be within the past 180 days"}},
		{"old mintime on trust monitor", TrustMonitor, set("mintime", old), Quirks{}, want{400, 40002, "mintime must be within the past 180 days"}},
		{"bad maxtime on trust monitor", TrustMonitor, set("maxtime", "1"), Quirks{}, want{400, 40002, "maxtime"}},
		{"no mintime on trust monitor", TrustMonitor, del("mintime"), Quirks{}, want{400, 40001, "mintime"}},
		{"equal times on trust monitor", TrustMonitor, set("mintime", millis(now)), Quirks{}, want{400, 40002, "maxtime"}},
		{"limit 201 on trust monitor", TrustMonitor, set("limit", "201"), Quirks{}, want{400, 40002, "limit"}},
		{"offset is text", TrustMonitor, set("offset", "1,2"), Quirks{}, want{400, 40002, "offset"}},
		{"administrator without mintime", AdminAction, del("mintime"), Quirks{}, want{200, 0, ""}},
		{"administrator with text", AdminAction, set("mintime", "1.5"), Quirks{}, want{400, 40002, "mintime"}},
		{"account list", AccountList, set(), Quirks{}, want{401, 40103, ""}}, // a signed query on a POST
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSim()
			s.Quirks = test.quirks
			params := lastDay()
			test.change(params)
			status, body := serve(s, newRequest(s, parent, test.endpoint, params))
			got := failure{}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, want{status, got.Code, got.Detail}, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoMayCall(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Server, *http.Request) *http.Request
		want   int // code, or 0
	}{
		{"right", nil, 0},
		{"child", func(s *Server, _ *http.Request) *http.Request { return newRequest(s, child, Auth, lastDay()) }, 0},
		{"unknown path", func(s *Server, r *http.Request) *http.Request { r.URL.Path = "/admin/v2/logs/offline"; return r }, 40401},
		{"wrong method", func(s *Server, r *http.Request) *http.Request { r.Method = "POST"; return r }, 40401},
		{"unknown host", func(s *Server, r *http.Request) *http.Request { r.Host = "api-none.duosecurity.com"; return r }, 40401},
		{"no credentials", func(s *Server, r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }, 40101},
		{"garbled credentials", func(s *Server, r *http.Request) *http.Request {
			r.Header.Set("Authorization", "Basic ###")
			return r
		}, 40101},
		{"unknown ikey", func(s *Server, r *http.Request) *http.Request {
			r.Header.Set("Authorization", basic("DINONE", "00"))
			return r
		}, 40102},
		{"ikey of another host", func(s *Server, r *http.Request) *http.Request { r.Host = s.Host(other); return r }, 40102},
		{"child's host without account_id", func(s *Server, r *http.Request) *http.Request { r.Host = s.Host(child); return r }, 40102},
		{"child on the parent's host", func(s *Server, _ *http.Request) *http.Request {
			r := newRequest(s, child, Auth, lastDay())
			r.Host = s.Host(parent)
			return r
		}, 40102},
		{"bad signature", func(s *Server, r *http.Request) *http.Request { r.URL.RawQuery += "&limit=5"; return r }, 40103},
		{"old date", func(s *Server, r *http.Request) *http.Request {
			signRequest(r, lastDay(), now.Add(-301*time.Second))
			return r
		}, 40105},
		{"date just right", func(s *Server, r *http.Request) *http.Request {
			signRequest(r, lastDay(), now.Add(300*time.Second))
			return r
		}, 0},
		{"no date", func(s *Server, r *http.Request) *http.Request { r.Header.Del("Date"); return r }, 40105},
		{"date in X-Duo-Date", func(s *Server, r *http.Request) *http.Request {
			r.Header.Set("X-Duo-Date", r.Header.Get("Date"))
			r.Header.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
			return r
		}, 0},
		{"denied", func(s *Server, r *http.Request) *http.Request { s.Deny(parent, Auth); return r }, 40301},
		{"denied for another account", func(s *Server, r *http.Request) *http.Request { s.Deny(child, Auth); return r }, 0},
		{"permitted again", func(s *Server, r *http.Request) *http.Request {
			s.Deny(parent, Auth)
			s.Permit(parent, Auth)
			return r
		}, 0},
		{"port 443 in the host", func(s *Server, r *http.Request) *http.Request {
			r.Host += ":443"
			signRequest(r, lastDay(), now)
			return r
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSim()
			r := newRequest(s, parent, Auth, lastDay())
			if test.change != nil {
				r = test.change(s, r)
			}
			status, body := serve(s, r)
			var got failure
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if got.Code != test.want || test.want == 0 && status != 200 || test.want != 0 && status != test.want/100 {
				t.Errorf("got %d %s, want code %d", status, body, test.want)
			}
		})
	}
}

func TestAccountList(t *testing.T) {
	s := newSim()
	call := func(contentType, body string, version int) (int, string) {
		r := httptest.NewRequest("POST", "https://"+s.Host(parent)+"/accounts/v1/account/list", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		c := canonical{date: now.Format(time.RFC1123Z), method: "POST", host: r.Host, path: r.URL.Path, body: []byte(body)}
		r.Header.Set("Date", c.date)
		r.Header.Set("Authorization", basic(ikey, c.signatures(skey)[version]))
		return serve(s, r)
	}
	const want = `{"response":[{"account_id":"DACHILD0000000000001","api_hostname":"api-child001.duosecurity.com","name":"Zoë & Söhne"}],"stat":"OK"}`
	for name, args := range map[string]struct {
		contentType, body string
		version           int
	}{
		"empty form, SHA-1":   {"application/x-www-form-urlencoded", "", 0},
		"empty form, SHA-512": {"application/x-www-form-urlencoded", "", 1},
		"JSON, version 5":     {"application/json", "{}", 2},
	} {
		t.Run(name, func(t *testing.T) {
			status, got := call(args.contentType, args.body, args.version)
			if diff := cmp.Diff(want, got); status != 200 || diff != "" {
				t.Errorf("status %d, body (-want +got):\n%s", status, diff)
			}
		})
	}
	s.accounts[parent].MSP = false
	if status, _ := call("application/json", "{}", 2); status != 403 {
		t.Errorf("an application that is not of the Accounts API: status %d", status)
	}
}

func TestCalls(t *testing.T) {
	s := newSim()
	s.Add(parent, Auth, Generate(Auth, 3, now.Add(-time.Hour), time.Second)...)
	body := get(t, s, parent, Auth, lastDay())
	s.Inject(Match{Endpoint: Activity}, HTML(502))
	serve(s, newRequest(s, child, Activity, lastDay()))
	want := []Call{
		{At: now, Account: parent, Endpoint: Auth, Params: lastDay(), Status: 200, Records: 3, Bytes: len(body)},
		{At: now, Account: child, Endpoint: Activity, Params: lastDay(), Status: 502, Bytes: 122},
	}
	want[1].Params.Set("account_id", child)
	if diff := cmp.Diff(want, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	s.ForgetCalls = true
	get(t, s, parent, Auth, lastDay())
	if n := len(s.Calls()); n != 2 {
		t.Errorf("%d calls are kept", n)
	}
}

func TestRate(t *testing.T) {
	s := newSim()
	clock := now
	s.Now = func() time.Time { return clock }
	s.Rate = Rate{Calls: 2, Window: time.Minute}
	call := func(account, endpoint string, after time.Duration) int {
		clock = clock.Add(after)
		status, _ := serve(s, newRequest(s, account, endpoint, lastDay()))
		return status
	}
	got := []int{
		call(parent, Auth, 0), call(parent, Auth, 20*time.Second), call(parent, Auth, 0),
		call(parent, Activity, 0), call(child, Auth, 0),
		call(parent, Auth, 40*time.Second), call(parent, Auth, 0),
	}
	if diff := cmp.Diff([]int{200, 200, 429, 200, 200, 200, 429}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	s.Rate.RetryAfter = true
	w := httptest.NewRecorder()
	s.ServeHTTP(w, newRequest(s, parent, Auth, lastDay()))
	if got := w.Header().Get("Retry-After"); got != "20" {
		t.Errorf("Retry-After is %q, want 20", got)
	}
}
