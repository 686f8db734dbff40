package cef

import (
	"bytes"
	"net/netip"

	"dls/job/record"
)

// An address field holds the address, and its port in a field of its own. What is
// no address goes elsewhere: a receiver that has src typed drops the whole event
// when src holds something else.
const (
	portLead = " spt="
	hostLead = "shost="
	// rawLead begins the custom string for what is neither an address nor a host.
	rawLead = "cs5Label=access_device_ip cs5="
)

// writeAddress writes a value as an address and a port, a host name and a port,
// or as a custom string, and the space behind it. An empty text is left out.
func (f *field) writeAddress(w *writer, found *record.Found) {
	v := f.find(found)
	if v == nil {
		return
	}
	if v[0] != '"' {
		w.raw(rawLead)
		w.value(&inExtension, v, maxCustomString)
		w.raw(" ")
		return
	}
	text := v[1 : len(v)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = record.AppendText(nil, text)
	}
	if text = bytes.Trim(text, " "); len(text) == 0 {
		return
	}
	host, port := splitPort(text)
	switch {
	case isAddress(host):
		w.raw(f.lead)
	case isHostName(host):
		w.raw(hostLead)
	default:
		w.raw(rawLead)
		w.text(&inExtension, text, maxCustomString)
		w.raw(" ")
		return
	}
	w.text(&inExtension, host, f.limit)
	if port != nil {
		w.raw(portLead)
		w.text(&inExtension, port, len(port))
	}
	w.raw(" ")
}

// splitPort splits an address or a name and a port in one of the spellings of
// RFC 5952, section 6: [address]:1234, address#1234, address port 1234,
// addressp1234, address.1234 (IPv6 only), and host:1234. Without a port it is
// nil; a text that is an address as it stands has none.
func splitPort(text []byte) (host, port []byte) {
	if isAddress(text) {
		return text, nil
	}
	if text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 {
			return text, nil
		}
		host, rest := text[1:end], text[end+1:]
		switch {
		case !isAddress(host):
		case len(rest) == 0:
			return host, nil
		case (rest[0] == ':' || rest[0] == '#' || rest[0] == '.') && isPort(rest[1:]):
			return host, rest[1:]
		}
		return text, nil
	}
	digits := len(text)
	for digits > 0 && '0' <= text[digits-1] && text[digits-1] <= '9' {
		digits--
	}
	before, port := text[:digits], text[digits:]
	if !isPort(port) {
		return text, nil
	}
	for _, mark := range []string{":", "#", " port ", "p", "."} {
		host, ok := bytes.CutSuffix(before, []byte(mark))
		switch {
		case !ok || len(host) == 0:
		case mark == ":" && bytes.IndexByte(host, ':') >= 0: // IPv6 wants brackets
		case mark == "p" && !isAddress(host): // a name may end like that
		case mark == "." && bytes.IndexByte(host, ':') < 0:
		case isAddress(host) || isHostName(host):
			return host, port
		}
	}
	return text, nil
}

// isPort tells whether a text is a number between 0 and 65535.
func isPort(text []byte) bool {
	if len(text) == 0 || len(text) > 5 {
		return false
	}
	n := 0
	for _, c := range text {
		if c < '0' || '9' < c {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n < 1<<16
}

// isAddress tells whether a text is an IPv4 or IPv6 address without a zone.
func isAddress(text []byte) bool {
	const longest = 45 // ::ffff: and an IPv4 address after six groups
	if len(text) < 2 || len(text) > longest || bytes.IndexByte(text, '%') >= 0 {
		return false
	}
	for _, c := range text { // what can be none is not worth an error's allocations
		if !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	if bytes.IndexByte(text, ':') < 0 {
		return isIPv4(text)
	}
	_, err := netip.ParseAddr(string(text))
	return err == nil
}

// isIPv4 tells whether a text is four numbers up to 255, without leading zeros.
func isIPv4(text []byte) bool {
	for part := range 4 {
		n, digits := 0, 0
		for digits < len(text) && digits < 4 && '0' <= text[digits] && text[digits] <= '9' {
			n = n*10 + int(text[digits]-'0')
			digits++
		}
		if digits == 0 || n > 255 || digits > 1 && text[0] == '0' {
			return false
		}
		text = text[digits:]
		if part == 3 {
			return len(text) == 0
		}
		if len(text) == 0 || text[0] != '.' {
			return false
		}
		text = text[1:]
	}
	return false
}

// isHostName tells whether a text is a host name as RFC 1123 has it, underscores
// too. One that is made of numbers only would pass for an address.
func isHostName(text []byte) bool {
	if len(text) > maxHost {
		return false
	}
	letters, label := false, 0
	for i, c := range text {
		switch {
		case c == '.':
			if label == 0 || text[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return false
			}
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
			letters = true
		case c < '0' || '9' < c:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return letters && (label > 0 && text[len(text)-1] != '-' || label == 0 && len(text) > 1)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
