package duosim

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// The signatures were made by Duo's Python client, with a made-up secret.
func TestSignatureVectors(t *testing.T) {
	const secret = "not-a-real-secret-not-a-real-secret-not-"
	page := url.Values{
		"mintime": {"1795334400000"}, "maxtime": {"1795420680000"}, "limit": {"1000"}, "sort": {"ts:asc"},
		"next_offset": {"1795334400123,08bfd78a-7b70-4818-af15-104744ab3609"},
	}
	pair := url.Values{
		"mintime": {"1795334400000"}, "maxtime": {"1795420680000"}, "limit": {"1000"}, "sort": {"ts:asc"},
		"next_offset": {"1795334400123", "08bfd78a-7b70-4818-af15-104744ab3609"},
	}
	for _, test := range []struct {
		name    string
		method  string
		path    string
		params  url.Values
		body    string
		version int // index in what signatures returns
		want    string
	}{
		{"version 2, SHA-1, joined cursor", "GET", "/admin/v2/logs/authentication", page, "", 0,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6ZjRkN2UzYWE0YTJmNjkxOWRjNWUwMWI2OWRmNjU4YmFkNjQyYTZiNg=="},
		{"version 2, SHA-512, pair", "GET", "/admin/v2/logs/authentication", pair, "", 1,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6NWRkMzUxNjMxMmRmN2VkM2ZkNDRmMmZjMjYxNWQ2MzNhYTgyYzJjNGM4NWM1ZjM0ZmI0ZjQ4NmExMDU1ODdhMWY4YWU4OGZmZmFjNThhNWFkZTQ1NjE3ZTYwZTNmMjczMGY3NGMwMjgyZWQ5NmJlODBmNjBiMTg3NTYxYmYxMjM="},
		{"version 5, pair", "GET", "/admin/v2/logs/authentication", pair, "", 2,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6YTBmNWYzYzVmNDYyNmU2YzViYTdkZDI4ZWJmYWE3NzIzMWUyNmE5NGI4ZGQwZDNhOGQxNzZiYjNkYTg5ZWZjNmE2NTg3ZDk0YjFkODdlM2U2Y2U5Zjc1ODIzY2FkMzIxZmJmYzYyNjUzMTIyNWFmMDY4OGI0MTM3NjUzNmU4YjU="},
		{"version 5, JSON body", "POST", "/accounts/v1/account/list", nil, "{}", 2,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6ZDZhODY4OWI5M2NjYTE5MzI0ZTU4NTlhMWZjZWYyNTVmZGZiMjUxMDcwZDJjNWZmMGU3NmVmMjgyMzg4MjM2M2U0NTM1OGM0ZDFmYjU5ZmQyOTUwM2E5NDYzMmIyM2RkNDRhMTVhZmJmZTkwMWY2YjNhZjBkZTQ4NDllY2IxYzI="},
		{"version 2, empty form", "POST", "/accounts/v1/account/list", nil, "", 1,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6OTAyOGNmYjJiZTg5ZGVkZGFlMzBlN2NmYThkNjJiNjdkOTJiZmQ0OGFjODhiNjVhMjJmY2I1M2ZmYmY1MzVkNTcwMDk4NTExOGM2ZDlmYzEzNzNiYjFkODMzYjdjNGY4ZTI0ODBmZjgzNzU3NzgyNDJhOGJkMjJkZjA2OTc3MWE="},
		{"version 5, odd characters", "GET", "/admin/v2/logs/activity", url.Values{
			"mintime": {"1795334400000"}, "maxtime": {"1795420680000"}, "account_id": {"DA9VZOC5X63I2W72NRP9"},
			"users": {"Zoë ~a/b*c", "DU1"}, "sort": {"ts:asc"},
		}, "", 2,
			"Basic RElYWFhYWFhYWFhYWFhYWFhYWFg6OTg4YjljY2JhMzA4MTRjN2IzZDQ4MDhmOTczZTYwMGEyZTNiMGYzZGM4YjZjZGI3MzdkZWM0MTVkYjFhMThlZmI1YzJkNGI4N2U0OGM1ZWQ5MTE4YzczNzQzNWVmNmI2MmExNWVjZmMzM2I1YWQ5MTJlNmMxZmEwNzY3ZjljZTk="},
	} {
		t.Run(test.name, func(t *testing.T) {
			params := make(url.Values)
			for key, values := range test.params {
				params[key] = slices.Clone(values)
			}
			c := canonical{
				date: "Mon, 23 Nov 2026 08:00:00 -0000", method: test.method, host: "API-XXXXXXXX.duosecurity.com",
				path: test.path, params: params, body: []byte(test.body), header: make(http.Header),
			}
			if got := basic("DIXXXXXXXXXXXXXXXXXX", c.signatures(secret)[test.version]); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}
