package schedule

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// inBucket is a job whose checkpoints are in a bucket.
func inBucket(shards int) Job {
	j := job(Cron)
	j.StateDir, j.Bucket, j.Shards, j.MustExist = "", "s3://logs/dls", shards, true
	j.Files = []File{{"account.skey_filepath", "/run/credentials/skey"}}
	return j
}

func inClaim() Job {
	j := job(Cron)
	j.StateDir = "/var/lib/dls"
	return j
}

func TestKubernetes(t *testing.T) {
	for name, tt := range map[string]struct {
		job  Job
		want []string
		not  string
	}{
		"claim":  {inClaim(), []string{"kind: PersistentVolumeClaim", "mountPath: /var/lib/dls", "schedule: '*/5 * * * *'", "backoffLimit: 0", "values: [75]"}, "Indexed"},
		"bucket": {inBucket(0), []string{"s3://logs/dls", "name: dls-store"}, "PersistentVolumeClaim"},
		"shares": {inBucket(4), []string{"completionMode: Indexed", "completions: 4", "--shard, $(JOB_COMPLETION_INDEX)/4"}, "PersistentVolumeClaim"},
	} {
		d := mustRender(t, Kubernetes, tt.job)
		text := string(d.Text)
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %q in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, tt.not) {
			t.Errorf("%s: there is a %q in\n%s", name, tt.not, text)
		}
		documents := yaml.NewDecoder(bytes.NewReader(d.Text))
		for {
			var one map[string]any
			err := documents.Decode(&one)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || one["kind"] == nil {
				t.Fatalf("%s: %v: %v", name, err, one)
			}
		}
	}
	j := inBucket(4)
	j.Bucket, j.StateDir = "", "/var/lib/dls"
	if _, err := Render(Kubernetes, j); err == nil || !strings.Contains(err.Error(), "keep the checkpoints in a bucket") {
		t.Errorf("shares with a claim: %v", err)
	}
	j = inBucket(0)
	j.Files, j.MustExist = nil, false
	if d := mustRender(t, Kubernetes, j); len(d.Warnings) != 2 {
		t.Errorf("warnings: %q", d.Warnings)
	}
}

func TestSlurm(t *testing.T) {
	text := string(mustRender(t, Slurm, inBucket(4)).Text)
	for _, want := range []string{"#SBATCH --array=0-3\n", "#SBATCH --time=60\n", `--shard "$SLURM_ARRAY_TASK_ID/4"`, "--dependency=singleton"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	j := inBucket(0)
	j.Config = "/etc/it's here/config.yml"
	text = string(mustRender(t, Slurm, j).Text)
	if strings.Contains(text, "--array") || strings.Contains(text, "--shard") {
		t.Errorf("an array without shares:\n%s", text)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh here")
	}
	check := exec.Command(sh, "-n")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
