package main

import (
	"os"
	"strings"
	"testing"
)

// Each change to the manifests that ship is one that must be seen.
func TestVerify(t *testing.T) {
	data, err := os.ReadFile("../dls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(data); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, want string }{
		{"misspelt field", "backoffLimit: 0", "backOffLimit: 0", "backOffLimit"},
		{"repeated field", "backoffLimit: 0", "backoffLimit: 0\n      backoffLimit: 1", "already set"},
		{"wrong type", "backoffLimit: 0", "backoffLimit: none", "backoffLimit"},
		{"wrong place", "restartPolicy: Never", "concurrencyPolicy: Forbid", "concurrencyPolicy"},
		{"misspelt mount", "mountPath: /tmp", "mountpath: /tmp", "mountpath"},
		{"missing claim", "claimName: dls-state", "claimName: other", `claim "other"`},
		{"missing volume", "- name: tmp\n                  mount", "- name: temp\n                  mount", `volume "temp"`},
		{"root", "runAsNonRoot: true", "runAsNonRoot: false", "may be root"},
		{"lock as failure", "values: [75]", "values: [74]", "exit code 75"},
		{"configuration", "protocol: 'TCPSSL'", "protocol: 'TLS'", "servers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(data), tt.old, tt.new, 1)
			if text == string(data) {
				t.Fatalf("%q is not in the manifests", tt.old)
			}
			if err := verify([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
