package main

import (
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"dls/job/schedule"
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
	breaks(t, data, []broken{
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
		{"empty place", "must_exist: true", "must_exist: false", "must_exist"},
	})
	if data, err = os.ReadFile("../dls-shares.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := verify(data); err != nil {
		t.Fatal(err)
	}
	breaks(t, data, []broken{
		{"number of shares", "completions: 4", "completions: 5", "--shard"},
		{"shares in turn", "parallelism: 4", "parallelism: 1", "at once"},
		{"one share ends all", "maxFailedIndexes: 4", "maxFailedIndexes: 1", "ends the others"},
	})
}

// What dls schedule prints is decoded strictly, too.
func TestPrinted(t *testing.T) {
	job := schedule.Job{Name: "dls", Exe: "/usr/bin/dls", Config: "/etc/dls/config.yml", Every: 10 * time.Minute, MustExist: true}
	claim, shares := job, job
	claim.StateDir = "/var/lib/dls"
	shares.Bucket, shares.Shards = "s3://bucket/dls", 4
	for name, j := range map[string]schedule.Job{"claim": claim, "shares": shares} {
		t.Run(name, func(t *testing.T) {
			d, err := schedule.Render(schedule.Kubernetes, j)
			if err != nil {
				t.Fatal(err)
			}
			m, err := decode(d.Text)
			if err != nil {
				t.Fatal(err)
			}
			m.configs["dls"] = new(corev1.ConfigMap) // made by a command that it names
			for _, c := range m.cronJobs {
				if err := m.checkCronJob(c); err != nil {
					t.Error(err)
				}
			}
			if len(m.cronJobs) != 1 {
				t.Errorf("%d CronJobs", len(m.cronJobs))
			}
		})
	}
}

// broken is a change that is found.
type broken struct{ name, old, new, want string }

func breaks(t *testing.T, data []byte, all []broken) {
	t.Helper()
	for _, tt := range all {
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
