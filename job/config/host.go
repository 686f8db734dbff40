package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Host names as they are in use: underscores too.
var hostName = regexp.MustCompile(`^[\p{L}\p{N}_]([\p{L}\p{N}_.-]*[\p{L}\p{N}_.])?$`)

// hostRule returns what is wrong with a host that has its port elsewhere.
func hostRule(host string) (rule, hint string) {
	const want = "must be a host name or an IP address"
	if isHost(host) {
		return "", ""
	}
	if inQuotes(host) {
		return want, hintQuotes
	}
	bare := bareHost(host)
	if h, port, ok := cutPort(bare); ok {
		return want, writeHint(h) + ", with the port " + port + " under its own key"
	}
	bare = strings.Trim(bare, "[]")
	if isHost(bare) {
		return want, writeHint(bare)
	}
	return want, ""
}

// apiHostRule returns what is wrong with Duo's API host, which may carry a port.
func apiHostRule(host string) (rule, hint string) {
	const want = "must be a host name, without scheme or path"
	if isAPIHost(host) {
		return "", ""
	}
	if inQuotes(host) {
		return want, hintQuotes
	}
	if bare := bareHost(host); isAPIHost(bare) {
		return want, writeHint(bare)
	}
	return want, ""
}

func writeHint(text string) string {
	if shown := showText(text); shown != "" {
		return "write " + shown
	}
	return "write it alone"
}

func isAPIHost(s string) bool {
	if host, _, ok := cutPort(s); ok {
		return isHost(strings.Trim(host, "[]"))
	}
	return hostName.MatchString(s)
}

func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return hostName.MatchString(s)
}

// bareHost takes off what people copy along with a host: blanks, a scheme, a path.
func bareHost(s string) string {
	s = withoutScheme(strings.TrimSpace(s))
	s = strings.TrimLeft(s, "/")
	s, _, _ = strings.Cut(s, "/")
	return strings.TrimSpace(s)
}

func withoutScheme(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		return rest
	}
	return s
}

// cutPort splits name:port or [address]:port. An address of IPv6 without
// brackets has no port.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[:i], ":") && !strings.HasSuffix(s[:i], "]") {
		return s, "", false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 || strings.HasPrefix(s[i+1:], "+") {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

const (
	ruleQuotes = "has quotes as a part of it"
	hintQuotes = "curly quotes mean nothing in YAML, and straight ones stand around the whole value once"
)

// inQuotes tells whether a text begins or ends with a quote, as it does when the
// quotes are curly, or stand within others.
func inQuotes(s string) bool {
	const quotes = "'\"`´‘’‚‛“”„‟«»"
	return s != "" && s != strings.Trim(s, quotes)
}
