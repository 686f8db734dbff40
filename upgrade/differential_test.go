package upgrade

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dls/job/config/pyyaml"

	"github.com/google/go-cmp/cmp"
)

// withoutCertificate are the files that name no certificate, of which
// upgrade_config.py makes cert_filepath "/". It is left out here: no server needs
// it, and with TLS it would be wrong.
var withoutCertificate = []string{
	"2020-05-06-config", "2020-07-27-config-certFilepath", "cert-empty-strings", "cert-null", "logDir-bad_config",
	"logDir-polling_too_low", "logDir-standard", "no-cert-fields-tcp", "protocol-lowercase", "windows-logdir-no-cert",
}

// upgraded are the files on which upgrade_config.py ends with a traceback, and
// which make a new file here.
var upgraded = []string{
	"2020-07-30-template", "2020-08-03-template-100-draft", "2020-08-06-template-100-draft", "duration-null",
	"head-example-100", "head-template-100", "logDir-no_optional_fields", "logFilepath-no_optional_fields",
	"logFilepath-polling_too_low", "logFilepath-standard", "missing-daysinpast", "missing-logdir", "recover-null",
}

// TestDifferential compares with what upgrade_config.py makes of the same files:
// NAME.old.yml with NAME.new.yml, or NAME.err.txt where it ends with a traceback.
func TestDifferential(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "duologsync", "*.old.yml"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".old.yml")
		t.Run(name, func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			result, err := Config(old)
			made, missing := os.ReadFile(strings.TrimSuffix(file, ".old.yml") + ".new.yml")
			switch {
			case missing != nil && slices.Contains(upgraded, name):
				if err != nil {
					t.Fatal(err)
				}
				if _, err := pyyaml.Parse(result.Data); err != nil {
					t.Error(err)
				}
				return
			case missing != nil:
				if err == nil {
					t.Errorf("upgraded to\n%s", result.Data)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			want := values(t, made)
			if slices.Contains(withoutCertificate, name) {
				server := want.(map[string]any)[`"servers"`].([]any)[3].(map[string]any)
				if got := server[`"cert_filepath"`]; got != `"/"` {
					t.Fatalf("cert_filepath %v there", got)
				}
				delete(server, `"cert_filepath"`)
			}
			if diff := cmp.Diff(want, values(t, result.Data)); diff != "" {
				t.Errorf("new file, against upgrade_config.py's (-want +got):\n%s", diff)
			}
		})
	}
}
