package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// uid is the user of the image, the "nonroot" of distroless images.
const uid = 65532

// The types of an image's parts.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type imageConfig struct {
	Created time.Time `json:"created"`
	platform
	Config struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		WorkingDir string
		Labels     map[string]string
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []imageHistory `json:"history"`
}

type imageHistory struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

// saved is an image in the form of "docker save", which older Dockers load.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// layout is an image layout of OCI.
type layout struct {
	entries []entry
	known   map[string]bool
}

func (l *layout) blob(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	if !l.known[digest] {
		l.known[digest] = true
		l.entries = append(l.entries, entry{name: "blobs/sha256/" + digest, mode: 0o644, data: data})
	}
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: len(data)}
}

func (l *layout) json(mediaType string, v any) descriptor { return l.blob(mediaType, marshal(v)) }

// image writes the container image for all of Linux's architectures: a tar that
// is an OCI layout, and the form of docker save too.
func (r *release) image(binaries []binary, docs documents) error {
	labels := map[string]string{
		"org.opencontainers.image.title":       "dls",
		"org.opencontainers.image.description": "delivers Duo's security logs to a SIEM",
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.created":     r.epoch.Format(time.RFC3339),
	}
	l := &layout{known: map[string]bool{}}
	l.entries = []entry{{name: "blobs/", mode: 0o755}, {name: "blobs/sha256/", mode: 0o755}}
	index := manifest{SchemaVersion: 2, MediaType: typeIndex, Annotations: labels}
	var forDocker []saved
	for _, b := range binaries {
		if b.os != "linux" {
			continue
		}
		layer, err := r.layer(b, docs)
		if err != nil {
			return err
		}
		p := platform{OS: b.os, Architecture: b.arch}
		if b.variant != "" {
			p.Variant = "v" + b.variant
		}
		c := imageConfig{Created: r.epoch, platform: p}
		c.Config.User = fmt.Sprintf("%d:%[1]d", uid)
		c.Config.Env = []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "STATE_DIRECTORY=/var/lib/dls"}
		c.Config.Entrypoint = []string{"/usr/bin/dls"}
		c.Config.Cmd = []string{"sync", "/etc/dls/config.yml"}
		c.Config.WorkingDir = "/"
		c.Config.Labels = labels
		sum := sha256.Sum256(layer)
		c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{"sha256:" + hex.EncodeToString(sum[:])}
		c.History = []imageHistory{{r.epoch, "packaging/release " + r.version}}

		config := l.json(typeConfig, c)
		content := l.blob(typeLayer, compress(layer))
		d := l.json(typeManifest, manifest{SchemaVersion: 2, MediaType: typeManifest, Config: &config, Layers: []descriptor{content}, Annotations: labels})
		d.Platform = &p
		index.Manifests = append(index.Manifests, d)
		tag := "dls:" + r.version + "-" + b.label
		forDocker = append(forDocker, saved{Config: blobPath(config), RepoTags: []string{tag}, Layers: []string{blobPath(content)}})
	}
	if index.Manifests == nil {
		return nil
	}
	top := l.json(typeIndex, index)
	top.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          "docker.io/library/dls:" + r.version,
	}
	l.entries = append(l.entries,
		entry{name: "oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		entry{name: "index.json", mode: 0o644, data: marshal(manifest{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})},
		entry{name: "manifest.json", mode: 0o644, data: marshal(forDocker)})
	data, err := writeTar(l.entries, r.epoch)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "dls_"+r.version+"_image.tar"), data, 0o644)
}

// layer is the image's root: the program, the certificates that the web trusts,
// a user, and two folders that are there to be mounted over.
func (r *release) layer(b binary, docs documents) ([]byte, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	return writeTar([]entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/dls/", mode: 0o755},
		{name: "etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\ndls:x:%d:\n", uid)},
		{name: "etc/nsswitch.conf", mode: 0o644, data: []byte("hosts: files dns\n")},
		{name: "etc/passwd", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\ndls:x:%d:%[1]d:dls:/var/lib/dls:/sbin/nologin\n", uid)},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: authorities()},
		{name: "tmp/", mode: 0o777 | os.ModeSticky},
		{name: "usr/", mode: 0o755},
		{name: "usr/bin/", mode: 0o755},
		{name: "usr/bin/dls", mode: 0o755, data: program},
		{name: "usr/share/", mode: 0o755},
		{name: "usr/share/doc/", mode: 0o755},
		{name: "usr/share/doc/dls/", mode: 0o755},
		{name: "usr/share/doc/dls/LICENSE", mode: 0o644, data: docs["LICENSE"]},
		{name: "usr/share/doc/dls/THIRD-PARTY-LICENCES", mode: 0o644, data: docs["THIRD-PARTY-LICENCES"]},
		{name: "usr/share/doc/dls/template_config.yml", mode: 0o644, data: docs["template_config.yml"]},
		{name: "var/", mode: 0o755},
		{name: "var/lib/", mode: 0o755},
		{name: "var/lib/dls/", mode: 0o700, uid: uid, gid: uid},
	}, r.epoch)
}

// authorities are Mozilla's roots, less those that are trusted under conditions
// which a file of certificates cannot tell.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // into memory
		}
	}
	return b.Bytes()
}

func blobPath(d descriptor) string { return "blobs/sha256/" + d.Digest[len("sha256:"):] }

// marshal is JSON of what can be nothing else.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
