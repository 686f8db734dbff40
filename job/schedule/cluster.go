package schedule

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// clusterName is a name that all of a cluster's objects may have.
var clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// plainDir is a directory that needs no quotes in a manifest or a script.
var plainDir = regexp.MustCompile(`^[A-Za-z0-9_./-]*$`)

// checkCluster reports what only a job on several machines cannot have.
func (j Job) checkCluster(kind Kind) error {
	switch {
	case !clusterName.MatchString(j.Name):
		return fmt.Errorf("name %q: small letters and digits, with single hyphens between them", j.Name)
	case j.User != "":
		return errors.New("a user: the cluster says who its jobs run as")
	case j.Shards != 0 && (j.Shards < 2 || j.Shards > 10_000):
		return fmt.Errorf("%d shares: 2 to 10000 are possible", j.Shards)
	case j.StateDir == "" && j.Bucket == "":
		return errors.New("no checkpoints: a job of a cluster sends all of dls_settings.api.offset at each run")
	case !plainDir.MatchString(j.StateDir):
		return fmt.Errorf("checkpointing.directory %q: letters, digits, _ . / and hyphens are possible here", j.StateDir)
	case kind == Kubernetes && j.Shards > 0 && j.Bucket == "":
		return errors.New("shares in pods that share nothing: keep the checkpoints in a bucket (dls_settings.checkpointing.directory: s3://bucket/prefix)")
	}
	return nil
}

// shWord quotes a word for the shell of a script.
func shWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func renderCluster(template string, j Job) ([]byte, error) {
	when, err := cronTime(j.Every)
	if err != nil {
		return nil, err
	}
	secret := j.secret()
	if secret == "" {
		secret = "FILE-WITH-THE-SECRET-KEY"
	}
	return fill(template, j, map[string]any{"When": when, "Last": j.Shards - 1, "Secret": secret})
}

// secret is the file with the secret key, or "" where the configuration has it.
func (j Job) secret() string {
	for _, f := range j.Files {
		if f.Key == "account.skey_filepath" && f.Path != "" {
			return f.Path
		}
	}
	return j.SecretFile
}

// clusterWarnings tell of what a manifest cannot bring along.
func (j Job) clusterWarnings(kind Kind) []string {
	var w []string
	if !j.MustExist {
		w = append(w, "set dls_settings.checkpointing.must_exist: true, so that a run in an empty place ends instead of sending the last offset days again")
	}
	if kind != Kubernetes {
		return w
	}
	for _, f := range j.Files {
		want := "/etc/dls"
		if f.Secret() {
			want = "/run/credentials"
		}
		if f.Path != "" && path.Dir(f.Path) != want {
			w = append(w, fmt.Sprintf("%s %q: the pod has the file as %s", f.Key, f.Path, path.Join(want, path.Base(f.Path))))
		}
	}
	if j.secret() == "" {
		w = append(w, "take the secret key out of the configuration: what is in a ConfigMap many can read")
	}
	return w
}

// Secret tells whether the file has a secret.
func (f File) Secret() bool {
	return strings.Contains(f.Key, "skey") || strings.Contains(f.Key, "key_filepath") || strings.Contains(f.Key, "token_filepath")
}
