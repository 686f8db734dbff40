package duo

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// SameDomain tells whether the API host of a child account may be called with the
// parent's signature: a list of accounts that names any other host would have this
// program call whatever its author likes.
//
// Both hosts may carry a port, which counts for nothing. A child's host must lie in
// the domain of the parent's, which is the parent's host without its first label
// where it has three or more, and else that host alone; or in one of the extra
// domains. An address must be the parent's own, or an extra one.
func SameDomain(parent, child string, extra []string) bool {
	parent, child = bareHost(parent), bareHost(child)
	if child == "" {
		return false
	}
	if child == parent || slices.ContainsFunc(extra, func(e string) bool { return bareHost(e) == child }) {
		return true
	}
	if isAddress(child) {
		return false
	}
	domains := slices.Clone(extra)
	if first, domain, _ := strings.Cut(parent, "."); first != "" && strings.Contains(domain, ".") && !isAddress(parent) {
		domains = append(domains, domain)
	}
	return slices.ContainsFunc(domains, func(d string) bool {
		d = strings.TrimPrefix(bareHost(d), ".")
		return d != "" && (child == d || strings.HasSuffix(child, "."+d))
	})
}

// bareHost is a host in lower case, without a port, brackets or the final dot of a
// full name.
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// isAddress tells whether a bare host is an address, in whatever form a resolver
// takes for one: the last label of a name is never a number.
func isAddress(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9'
}
