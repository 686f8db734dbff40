package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// nfpm is the packager, at the last version before that for MSIX, whose dependencies are of no use here.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"

// linuxPackage makes the package of one format for one binary.
func (r *release) linuxPackage(ctx context.Context, format string, b binary, docs documents) error {
	stage := filepath.Join(r.work, "stage")
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	files := documents{"dls.1.gz": compress(docs["dls.1"])}
	for name, data := range docs {
		files[name] = data
	}
	for name, source := range map[string]string{
		"dls":            b.path,
		"nfpm.yaml":      "packaging/nfpm.yaml",
		"dls@.service":   "packaging/systemd/dls@.service",
		"dls@.timer":     "packaging/systemd/dls@.timer",
		"dls.sysusers":   "packaging/systemd/dls.sysusers",
		"postinstall.sh": "packaging/scripts/postinstall.sh",
		"preremove.sh":   "packaging/scripts/preremove.sh",
		"postremove.sh":  "packaging/scripts/postremove.sh",
	} {
		if !filepath.IsAbs(source) {
			source = filepath.Join(r.root, source)
		}
		data, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		files[name] = data
	}
	for name, data := range files {
		path := filepath.Join(stage, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, r.epoch, r.epoch); err != nil {
			return err
		}
	}
	arch := b.arch
	if b.variant != "" {
		arch += b.variant
	}
	env := []string{
		"GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=", "TZ=UTC",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.epoch.Unix()),
		"NFPM_ARCH=" + arch, "NFPM_VERSION=" + r.version,
		"NFPM_MAINTAINER=" + cmp.Or(os.Getenv("DLS_MAINTAINER"), "The dls maintainers <maintainers@dls.invalid>"),
		"NFPM_PGP_KEY=", "NFPM_APK_KEY=" + os.Getenv("DLS_APK_SIGNING_KEY"), "NFPM_APK_PASSPHRASE=" + os.Getenv("DLS_APK_SIGNING_PASSPHRASE"),
	}
	if r.signer != nil {
		passphrase := os.Getenv("DLS_SIGNING_PASSPHRASE")
		env = append(env, "NFPM_PGP_KEY="+r.signer.path, "NFPM_DEB_PASSPHRASE="+passphrase, "NFPM_RPM_PASSPHRASE="+passphrase)
	}
	_, err := output(ctx, stage, env, "go", "run", nfpm, "package", "--config", "nfpm.yaml",
		"--packager", format, "--target", filepath.Join(r.out, r.fileName(b, "."+format)))
	return err
}
