package config

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dls/job/duo"

	"github.com/google/go-cmp/cmp"
)

// meaning is what duologsync makes of a configuration.
type meaning struct {
	Log       string   `json:"log"`
	Format    string   `json:"fmt"`
	Offset    float64  `json:"offset"` // seconds, from a clock: one more or less
	Timeout   float64  `json:"timeout"`
	Remember  bool     `json:"cp"`
	Directory string   `json:"dir"`
	Proxy     [2]any   `json:"proxy"` // host or "", port or 0
	Servers   [][5]any `json:"servers"`
	IKey      string   `json:"ikey"`
	SKey      string   `json:"skey"`
	Host      string   `json:"host"`
	MSP       bool     `json:"msp"`
	Block     any      `json:"block"`
	Map       [][2]any `json:"map"` // endpoints, server
}

// refused are the configurations that duologsync takes and that are refused here,
// each with its error and why; docs/moving.md lists the kinds under "What differs".
var refused = map[string]string{
	// A port that no proxy can have.
	"006-proxy_port": "dls_settings.proxy.proxy_port: 65536: must be between 1 and 65535",
}

// TestDifferential compares with what duologsync makes of configurations that it
// takes: NAME.yml with NAME.json.
func TestDifferential(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "duologsync", "*.yml"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want meaning
			if err := json.Unmarshal(answer, &want); err != nil {
				t.Fatal(err)
			}
			got, err := Parse("c.yml", text, Env{})
			if rule, ok := refused[name]; ok {
				if err == nil || !strings.HasSuffix(err.Error(), rule) {
					t.Errorf("error %v, want %s", err, rule)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.config(t).comparable(), got.comparable(), secrets); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

// config is the configuration of the same meaning.
func (m meaning) config(t *testing.T) *Config {
	t.Helper()
	c := &Config{
		LogFile: m.Log, Directory: m.Directory, Checkpointing: m.Remember, Overlap: defaultOverlap,
		Offset: time.Duration(math.Round(m.Offset/60)) * time.Minute, Timeout: time.Duration(m.Timeout * float64(time.Second)),
		Account: Account{IKey: m.IKey, SKey: NewSecret(m.SKey), Hostname: m.Host, MSP: m.MSP},
	}
	if m.Format == "CEF" {
		c.Format = CEF
	}
	// One key alone, or a port of 0, is no proxy.
	if host, port := m.Proxy[0].(string), m.Proxy[1].(float64); host != "" && port != 0 {
		c.Proxy = Proxy{Host: host, Port: int(port)}
	}
	ids := map[string]int{}
	for i, s := range m.Servers {
		server := plainServer(s[0].(string), s[1].(string), int(s[2].(float64)), Protocol(s[3].(string)))
		server.CertFile, _ = s[4].(string)
		c.Servers = append(c.Servers, server)
		ids[server.ID] = i
	}
	servers := map[string][]int{}
	for _, m := range m.Map {
		for _, endpoint := range m[0].([]any) {
			// An endpoint that is mapped twice is sent once: see docs/moving.md.
			if name, i := endpoint.(string), ids[m[1].(string)]; !slices.Contains(servers[name], i) {
				servers[name] = append(servers[name], i)
			}
		}
	}
	for _, e := range duo.All() {
		if servers[e.Name] != nil {
			c.Routes = append(c.Routes, Route{e, servers[e.Name]})
		}
	}
	// duologsync takes a block list and ignores it. What can be an id counts here.
	if list, ok := m.Block.([]any); ok {
		for _, id := range list {
			if text, ok := id.(string); ok {
				c.Account.BlockList = append(c.Account.BlockList, text)
			}
		}
	}
	return c
}

// comparable returns the configuration without what duologsync has no part in.
func (c *Config) comparable() *Config {
	other := *c
	other.Warnings = nil
	other.LogFile, other.Directory = filepath.ToSlash(c.LogFile), filepath.ToSlash(c.Directory) // of Windows
	return &other
}

// TestOptionalKeys takes the comment signs off the headings and keys of
// duologsync's template, one by one and in pairs, with their values and blank:
// that changes nothing, since the template shows the defaults.
func TestOptionalKeys(t *testing.T) {
	optional := []struct{ key, value string }{ // by path
		{"dls_settings", ""},
		{"dls_settings.log_filepath", "'/tmp/duologsync.log'"},
		{"dls_settings.log_format", "'JSON'"},
		{"dls_settings.api", ""},
		{"dls_settings.api.offset", "180"},
		{"dls_settings.api.timeout", "120"},
		{"dls_settings.checkpointing", ""},
		{"dls_settings.checkpointing.enabled", "True"},
		{"dls_settings.checkpointing.directory", "'/tmp'"},
		{"dls_settings.proxy", ""},
		{"dls_settings.proxy.proxy_server", "''"},
		{"dls_settings.proxy.proxy_port", "0"},
		{"account.is_msp", "False"},
		{"account.block_list", "[]"},
	}
	text := func(shown map[string]string) string {
		var settings, account strings.Builder
		for _, o := range optional {
			value, ok := shown[o.key]
			if !ok {
				continue
			}
			depth := strings.Count(o.key, ".")
			line := strings.Repeat("  ", depth) + o.key[strings.LastIndexByte(o.key, '.')+1:] + ": " + value + "\n"
			if strings.HasPrefix(o.key, "account.") {
				account.WriteString(line)
			} else {
				settings.WriteString(line)
			}
		}
		return strings.Replace(base, "account:\n", "account:\n"+account.String(), 1) + settings.String()
	}
	check := func(shown map[string]string) {
		t.Helper()
		for key := range maps.Clone(shown) { // the headings above a key
			for i := strings.LastIndexByte(key, '.'); i > 0; i = strings.LastIndexByte(key[:i], '.') {
				if _, ok := shown[key[:i]]; !ok && key[:i] != "account" {
					shown[key[:i]] = ""
				}
			}
		}
		got, err := Parse("c.yml", []byte(text(shown)), Env{})
		if err != nil {
			t.Errorf("%v: %v", shown, err)
			return
		}
		warned := len(got.Warnings) > 0 && runtime.GOOS != "windows" // /tmp is relative there
		if diff := cmp.Diff(baseConfig().comparable(), got.comparable(), secrets); warned || diff != "" {
			t.Errorf("%v: warnings %q (-want +got):\n%s", shown, got.Warnings, diff)
		}
	}
	for i, a := range optional {
		for _, one := range []string{a.value, "", "~"} {
			check(map[string]string{a.key: one})
			for _, b := range optional[i+1:] {
				for _, other := range []string{b.value, "", "~"} {
					if one == "~" && strings.HasPrefix(b.key, a.key+".") {
						continue // that is no YAML
					}
					check(map[string]string{a.key: one, b.key: other})
				}
			}
		}
	}
	// A proxy needs both keys, and what is alone is said to have no effect.
	for text, key := range map[string]string{
		"{proxy_server: '', proxy_port: 8080}":  "proxy_port: has no effect without proxy_server",
		"{proxy_server: ~, proxy_port: 80.5}":   "proxy_port: has no effect without proxy_server",
		"{proxy_port: 8080}":                    "proxy_port: has no effect without proxy_server",
		"{proxy_server: proxy, proxy_port: }":   "proxy_server: has no effect without proxy_port",
		"{proxy_server: proxy, proxy_port: 0}":  "proxy_server: has no effect without proxy_port",
		"{proxy_server: proxy}":                 "proxy_server: has no effect without proxy_port",
		"{proxy_server: '', proxy_port: 0}":     "",
		"{proxy_server: '', proxy_port: 0.0}":   "",
		"{proxy_server: '', proxy_port: }":      "",
		"{proxy_server: ''}":                    "",
		"{proxy_port: 0}":                       "",
		"{proxy_server: 'u:p@', proxy_port: 0}": "proxy_server: has no effect without proxy_port",
	} {
		got, err := Parse("c.yml", []byte(edit(t, "", "dls_settings: {proxy: "+text+"}\n")), Env{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := baseConfig()
		if key != "" {
			want.Warnings = []string{"c.yml:14: dls_settings.proxy." + key + ": no proxy is set"}
		}
		if diff := cmp.Diff(want, got, secrets); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
