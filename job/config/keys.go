package config

import (
	"regexp"
	"slices"
	"strings"
)

// known are the keys of each mapping, by the mapping's path.
var known = map[string][]string{
	"":                           {"version", "dls_settings", "servers", "account"},
	"dls_settings":               {"log_filepath", "log_format", "log_max_megabytes", "audit", "api", "checkpointing", "proxy"},
	"dls_settings.api":           {"offset", "timeout", "overlap", "ca_filepath"},
	"dls_settings.checkpointing": {"enabled", "directory", "ca_filepath", "must_exist"},
	"dls_settings.proxy":         {"proxy_server", "proxy_port"},
	"servers[]": {"id", "hostname", "port", "allow_privileged_port", "protocol", "cert_filepath", "key_filepath", "server_name",
		"settle", "envelope", "framing", "facility", "max_record_bytes",
		"token", "token_filepath", "path", "plaintext", "host", "source", "sourcetype", "index", "max_batch_bytes", "proxy"},
	"servers[].proxy":                    {"proxy_server", "proxy_port"},
	"account":                            {"ikey", "skey", "skey_filepath", "hostname", "endpoint_server_mappings", "is_msp", "block_list", "child_domains"},
	"account.endpoint_server_mappings[]": {"endpoints", "server"},
}

// What is safe to print of a key that nobody knows: text that runs on after the
// key (skey:abc) has a colon, and a secret key is longer.
var printableKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// unknownKey reports a key, and never its value.
func (p *parser) unknownKey(s *section, pattern string, line int, name string) {
	if !printableKey.MatchString(name) {
		p.add(&Error{Line: line, Key: s.path, Rule: "a key stands here that dls does not know", Hint: "after a key come a colon and a blank; the keys here are " + strings.Join(known[pattern], ", ")})
		return
	}
	hint := ""
	if near := nearest(name, known[pattern]); near != "" {
		hint = didYouMean(near)
	} else if places := placesOf(name); len(places) > 0 {
		hint = "it belongs to " + strings.Join(places, " or ")
	} else {
		hint = "the keys here are " + strings.Join(known[pattern], ", ")
	}
	p.add(&Error{Line: line, Key: s.at(name), Rule: "unknown key", Hint: hint})
}

// placesOf returns the mappings that know a key.
func placesOf(name string) []string {
	var places []string
	for place, names := range known {
		if slices.Contains(names, name) {
			if place == "" {
				place = "the top level"
			}
			places = append(places, place)
		}
	}
	slices.Sort(places)
	return places
}

// unknownName returns the hint for a name that is not in a list.
func unknownName(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return didYouMean(near)
	}
	if len(names) > 10 {
		return ""
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = showText(n)
	}
	return "there are " + strings.Join(quoted, ", ")
}

func didYouMean(name string) string { return "did you mean " + showText(name) + "?" }

// nearest returns the name that one most likely meant, or nothing.
func nearest(name string, names []string) string {
	const maxName, maxNames = 64, 100 // so that a hint never costs much
	if name == "" || len(name) > maxName || len(names) > maxNames {
		return ""
	}
	allowed := max(2, len(name)/3)
	if len(name) < 4 {
		allowed = 1
	}
	name = strings.ToLower(name)
	best, least := "", allowed+1
	for _, candidate := range names {
		if len(candidate) > maxName {
			continue
		}
		lower := strings.ToLower(candidate)
		d := distance(name, lower)
		if len(name) > 2 && (strings.HasPrefix(lower, name) || strings.HasPrefix(name, lower)) {
			d = min(d, 1)
		}
		if d < least && d < len(candidate) {
			best, least = candidate, d
		}
	}
	return best
}

// distance is Levenshtein's: the fewest bytes to insert, delete or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
