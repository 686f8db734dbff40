package duo

import (
	"net/http"
	"testing"
)

func TestSameDomain(t *testing.T) {
	const duo = "api-1234abcd.duosecurity.com"
	for _, tt := range []struct {
		name, parent, child string
		extra               []string
		want                bool
	}{
		{"the same host", duo, duo, nil, true},
		{"another host of the domain", duo, "api-99.duosecurity.com", nil, true},
		{"deeper in the domain", duo, "api-99.eu.duosecurity.com", nil, true},
		{"the domain itself", duo, "duosecurity.com", nil, true},
		{"capitals", "API-1.DuoSecurity.com", "api-2.DUOSECURITY.COM", nil, true},
		{"final dots", duo + ".", "api-2.duosecurity.com", nil, true},
		{"ports", duo + ":443", "api-2.duosecurity.com:8443", nil, true},
		{"nothing", duo, "", nil, false},
		{"a port alone", duo, ":443", nil, false},
		{"another domain", duo, "api-2.duofederal.com", nil, false},
		{"a domain that ends alike", duo, "api.evil-duosecurity.com", nil, false},
		{"the domain as a label", duo, "duosecurity.com.evil.example", nil, false},
		{"the metadata of a cloud", duo, "169.254.169.254", nil, false},
		{"this machine", duo, "localhost", nil, false},
		{"this machine's address", duo, "127.0.0.1:80", nil, false},
		{"an address in another form", duo, "0x7f.1", nil, false},
		{"an address as a number", duo, "2130706433", nil, false},
		{"four labels keep three", "api.eu.duo.example", "api.us.duo.example", nil, false},
		{"four labels", "api.eu.duo.example", "api-2.eu.duo.example", nil, true},
		{"two labels, the same", "duo.example", "duo.example:8443", nil, true},
		{"two labels, below", "duo.example", "api.duo.example", nil, false},
		{"two labels, beside", "duo.example", "evil.example", nil, false},
		{"one label", "localhost", "localhost:8443", nil, true},
		{"one label, another", "localhost", "metadata", nil, false},
		{"the same address", "127.0.0.1:8443", "127.0.0.1:9443", nil, true},
		{"the same address of IPv6", "[::1]:8443", "[0:0:0:0:0:0:0:1]:9443", nil, true},
		{"another address", "127.0.0.1:8443", "127.0.0.2:8443", nil, false},
		{"an address with the parent's end", "10.0.0.1", "192.0.0.1", nil, false},
		{"a name for an address", "127.0.0.1", "localhost", nil, false},
		{"extra domain", duo, "api-2.duofederal.com", []string{"duofederal.com"}, true},
		{"extra domain itself", duo, "duofederal.com", []string{"duofederal.com"}, true},
		{"extra domain with a dot before it", duo, "api-2.duofederal.com", []string{".DuoFederal.com"}, true},
		{"beside the extra domain", duo, "evilduofederal.com", []string{"duofederal.com"}, false},
		{"extra address", duo, "10.0.0.1:443", []string{"10.0.0.1"}, true},
		{"an address that ends like an extra one", duo, "192.168.0.1", []string{"0.1"}, false},
		{"extra domain of an address", "127.0.0.1", "api.duo.example", []string{"duo.example"}, true},
		{"empty extra", duo, "evil.example", []string{"", "."}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := SameDomain(tt.parent, tt.child, tt.extra); got != tt.want {
				t.Errorf("SameDomain(%q, %q, %q) = %v", tt.parent, tt.child, tt.extra, got)
			}
		})
	}
}

// A time that no clock shows is not what this machine's is to be set by.
func TestDated(t *testing.T) {
	for date, want := range map[string]bool{
		"Tue, 24 Nov 2026 10:00:00 GMT": true,
		"Fri, 31 Dec 9999 23:59:59 GMT": false,
		"Thu, 01 Jan 1970 00:00:00 GMT": false,
		"":                              false,
	} {
		if at, got := dated(&http.Response{Header: http.Header{"Date": {date}}}); got != want {
			t.Errorf("%q: %v, %v", date, at, got)
		}
	}
}
