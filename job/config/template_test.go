package config

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var templatePath = filepath.Join("..", "..", "template_config.yml")

func readTemplate(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTemplateBlanks(t *testing.T) {
	_, err := Parse("t.yml", []byte(readTemplate(t)), Env{})
	errs, ok := err.(*Errors)
	if !ok {
		t.Fatalf("error %v, want one for each blank", err)
	}
	var got []string
	for _, e := range errs.List {
		got = append(got, e.Key+": "+e.Rule)
	}
	want := []string{
		"servers[0].hostname: must not be empty",
		"servers[0].cert_filepath: must not be empty",
		"account.ikey: must not be empty",
		"account.skey: must not be empty",
		"account.hostname: must not be empty",
	}
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("errors of the template (-want +got):\n%s", diff)
	}
}

// fill writes a value into each blank.
func fill(text string) string {
	text = strings.Replace(text, "cert_filepath: ''", "cert_filepath: '"+absolute+"'", 1)
	return regexp.MustCompile(`(?m)^( +\w+: )''$`).ReplaceAllString(text, "${1}filled")
}

func TestTemplateFilled(t *testing.T) {
	got, err := Parse("t.yml", []byte(fill(readTemplate(t))), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("warnings %q", got.Warnings)
	}
	// What the template shows without a comment sign is the default, where there is one.
	want := baseConfig()
	got.Servers, got.Account, got.Routes = want.Servers, want.Account, want.Routes
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("settings, against the defaults (-want +got):\n%s", diff)
	}
}

// TestTemplateOptions takes the comment signs off: every option must be valid,
// and the template must name every key there is.
func TestTemplateOptions(t *testing.T) {
	option := regexp.MustCompile(`(?m)^( +)# ((?:- |(?:  )*)[a-z_]+:(?: .*)?)$`)
	text := option.ReplaceAllStringFunc(readTemplate(t), func(line string) string {
		m := option.FindStringSubmatch(line)
		key := strings.TrimLeft(strings.SplitN(m[2], ":", 2)[0], "- ")
		for _, names := range known {
			if slices.Contains(names, key) {
				return m[1] + m[2]
			}
		}
		t.Errorf("%q looks like an option and is none", line)
		return line
	})
	text = strings.Replace(text, "  skey: ''\n", "", 1)
	text = regexp.MustCompile(`(?m)^ +token: .*\n`).ReplaceAllString(text, "")
	text = strings.Replace(text, "envelope: 'none'", "envelope: 'rfc5424'", 1)
	text = strings.Replace(text, "is_msp: false", "is_msp: true", 1)
	secret := filepath.Join(t.TempDir(), "skey")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`'/etc/dls/(skey|splunk.token)'`).ReplaceAllLiteralString(fill(text), "'"+secret+"'")
	c, err := Parse("t.yml", []byte(text), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 && runtime.GOOS != "windows" { // where the template's paths are relative
		t.Errorf("warnings %q", c.Warnings)
	}
	for place, names := range known {
		for _, name := range names {
			if name == "skey" || name == "token" {
				continue // taken out above
			}
			if !regexp.MustCompile(`(?m)^[ -]*` + name + `:`).MatchString(text) {
				t.Errorf("the template does not show %s of %q", name, place)
			}
		}
	}
}

// The document of the configuration names every key there is.
func TestDocumentedKeys(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for place, names := range known {
		for _, name := range names {
			if !regexp.MustCompile("(?m)^\\| .*`([a-z_.\\[\\]]+\\.)?"+name+"(\\[\\])?`").Match(doc) && !slices.Contains([]string{"", "dls_settings", "account.endpoint_server_mappings[]"}, place) {
				t.Errorf("docs/configuration.md has no row for %s of %q", name, place)
			}
		}
	}
}
