package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parsePing(t testing.TB, text string) PingURL {
	t.Helper()
	var u PingURL
	if err := u.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPingURL(t *testing.T) {
	for _, text := range []string{"", "hc.example.com/token", "ftp://hc.example.com/token", "https:///token", "https://hc.example.com:x/token", "http://[token", "file:///token", "%zz://token", "https://\x7f/token"} {
		u := PingURL{}
		err := u.UnmarshalText([]byte(text))
		if err == nil || strings.Contains(err.Error(), "token") || !u.IsZero() {
			t.Errorf("%q: %v, %v", text, u, err)
		}
	}
	for _, text := range []string{"https://user:token@hc.example.com:8443/token?token=token#token", "http://hc.example.com:8443/token"} {
		u := parsePing(t, text)
		for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q"} {
			if got := fmt.Sprintf(verb, u); strings.Contains(got, "token") || !strings.Contains(got, "hc.example.com:8443") {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
}

// network answers calls one after the other and notes their addresses.
type network struct {
	answers []any // a status, an error, or a time to wait
	calls   []string
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.calls = append(n.calls, r.URL.String())
	answer := n.answers[0]
	n.answers = n.answers[1:]
	switch a := answer.(type) {
	case error:
		return nil, a
	case time.Duration:
		select {
		case <-time.After(a):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return response(200), nil
	default:
		return response(a.(int)), nil
	}
}

func response(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example.com/"}}, Body: io.NopCloser(strings.NewReader("OK"))}
}

func TestPingSend(t *testing.T) {
	const url = "https://hc.example.com/token"
	for _, tt := range []struct {
		name    string
		url     string
		event   PingEvent
		answers []any
		calls   []string
		want    string
		most    time.Duration
	}{
		{name: "success", url: url, answers: []any{200}, calls: []string{url}},
		{name: "failure", url: url, event: PingFail, answers: []any{204}, calls: []string{url + "/fail"}},
		{name: "start", url: url + "?rid=1", event: PingStart, answers: []any{200}, calls: []string{url + "/start?rid=1"}},
		{name: "start is not that important", url: url, event: PingStart, answers: []any{503}, calls: []string{url + "/start"}, want: "ping https://hc.example.com: it answers 503"},
		{name: "failure with a query", url: url + "/?rid=1#x", event: PingFail, answers: []any{200}, calls: []string{url + "/fail?rid=1"}},
		{name: "failure at the root", url: "http://hc.example.com", event: PingFail, answers: []any{200}, calls: []string{"http://hc.example.com/fail"}},
		{name: "escapes stay", url: "https://hc.example.com/a%2Fb", event: PingFail, answers: []any{200}, calls: []string{"https://hc.example.com/a%2Fb/fail"}},
		{name: "trouble passes", url: url, answers: []any{errors.New("reset"), 200}, calls: []string{url, url}, most: pingPause},
		{name: "trouble stays", url: url, answers: []any{503, 429}, calls: []string{url, url}, want: "ping https://hc.example.com: it answers 429", most: pingPause},
		{name: "no such check", url: url, answers: []any{404}, calls: []string{url}, want: "ping https://hc.example.com: it answers 404"},
		{name: "redirect", url: url, answers: []any{301}, calls: []string{url}, want: "ping https://hc.example.com: it answers 301"},
		{name: "network fault", url: url, answers: []any{errors.New("reset"), errors.New("refused")}, calls: []string{url, url}, want: "ping https://hc.example.com: refused", most: pingPause},
		{name: "slow once", url: url, answers: []any{time.Hour, 200}, calls: []string{url, url}, most: pingTry + pingPause},
		{name: "silent", url: url, answers: []any{time.Hour, time.Hour}, calls: []string{url, url}, want: "ping https://hc.example.com: no answer in time", most: pingBound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{answers: tt.answers}
				began := time.Now()
				err := parsePing(t, tt.url).Send(t.Context(), tt.event, PingOptions{UserAgent: "dls/1", Transport: n})
				if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if err != nil && strings.Contains(err.Error(), "token") {
					t.Errorf("the error tells the address: %v", err)
				}
				if diff := cmp.Diff(tt.calls, n.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took > tt.most {
					t.Errorf("took %v, at most %v wanted", took, tt.most)
				}
			})
		})
	}
}

// The end of the context ends the pause, too.
func TestPingSendEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), pingPause/2)
		defer cancel()
		n := &network{answers: []any{errors.New("reset")}}
		if err := parsePing(t, "https://hc.example.com/token").Send(ctx, PingSuccess, PingOptions{Transport: n}); err == nil {
			t.Error("no error")
		}
		if len(n.calls) != 1 {
			t.Errorf("calls %q", n.calls)
		}
	})
	if err := (PingURL{}).Send(t.Context(), PingSuccess, PingOptions{}); err != nil {
		t.Errorf("no address: %v", err)
	}
}

// Over a real connection, and to a port on which nobody listens.
func TestPingSendForReal(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path+" "+r.UserAgent()+" "+r.Referer())
	}))
	u := parsePing(t, server.URL+"/token")
	err := errors.Join(u.Send(t.Context(), PingSuccess, PingOptions{UserAgent: "dls/1"}), u.Send(t.Context(), PingFail, PingOptions{UserAgent: "dls/1"}))
	server.Close()
	if diff := cmp.Diff([]string{"GET /token dls/1 ", "GET /token/fail dls/1 "}, got); diff != "" || err != nil {
		t.Errorf("error %v, calls (-want +got):\n%s", err, diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pingPause/10) // do not wait for the second call
	defer cancel()
	if err := u.Send(ctx, PingSuccess, PingOptions{}); err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("nobody there: %v", err)
	}
}

// FuzzPingURL holds that neither an address nor the error about one tells more than
// the host.
func FuzzPingURL(f *testing.F) {
	f.Add("hc.example.com", "token")
	f.Fuzz(func(t *testing.T, host, path string) {
		var u PingURL
		if err := u.UnmarshalText([]byte("https://" + host + "/" + path + "#" + path)); err != nil {
			if err.Error() != new(PingURL).UnmarshalText(nil).Error() {
				t.Errorf("error %v", err)
			}
			return
		}
		if got := u.String(); got != "https://"+u.u.Host || u.u.Fragment != "" {
			t.Errorf("%q", got)
		}
	})
}
