package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// target is a system that dls is built for.
type target struct {
	os, arch string
	variant  string // GOARM
	label    string // the architecture in the names of files
}

var allTargets = []target{
	{os: "linux", arch: "amd64", label: "amd64"},
	{os: "linux", arch: "arm64", label: "arm64"},
	{os: "linux", arch: "arm", variant: "7", label: "armv7"},
	{os: "windows", arch: "amd64", label: "amd64"},
	{os: "windows", arch: "arm64", label: "arm64"},
	{os: "darwin", arch: "amd64", label: "amd64"},
	{os: "darwin", arch: "arm64", label: "arm64"},
}

func (t target) String() string { return t.os + "/" + t.label }

func targetNames(targets []target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.String())
	}
	return names
}

func parseTargets(list string) ([]target, error) {
	var targets []target
next:
	for _, name := range strings.Split(list, ",") {
		for _, t := range allTargets {
			if t.String() == name {
				targets = append(targets, t)
				continue next
			}
		}
		return nil, fmt.Errorf("target %q: want some of %s", name, strings.Join(targetNames(allTargets), ", "))
	}
	return targets, nil
}

// binary is the program for one target.
type binary struct {
	target
	path string
}

// compile builds the program for each target, static and without a trace of the
// machine that it is built on.
func (r *release) compile(ctx context.Context) ([]binary, error) {
	var binaries []binary
	for _, t := range r.targets {
		b, err := r.compileOne(ctx, t)
		if err != nil {
			return nil, err
		}
		binaries = append(binaries, b)
	}
	return binaries, nil
}

func (r *release) compileOne(ctx context.Context, t target) (binary, error) {
	name := "dls"
	if t.os == "windows" {
		name = "dls.exe"
	}
	b := binary{target: t, path: filepath.Join(r.work, "bin", t.os+"_"+t.label, name)}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o755); err != nil {
		return b, err
	}
	// All that changes the program's bytes is said here, whatever the caller's environment is.
	env := []string{
		"CGO_ENABLED=0", "GOOS=" + t.os, "GOARCH=" + t.arch, "GOARM=" + t.variant,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off",
	}
	if r.cache != "" {
		env = append(env, "GOCACHE="+r.cache)
	}
	_, err := output(ctx, r.root, env, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+r.version, "-o", b.path, ".")
	return b, err
}

// native returns a binary that runs here.
func (r *release) native(ctx context.Context, binaries []binary) (binary, error) {
	for _, b := range binaries {
		if b.os == runtime.GOOS && b.arch == runtime.GOARCH {
			return b, nil
		}
	}
	return r.compileOne(ctx, target{os: runtime.GOOS, arch: runtime.GOARCH, label: "native"})
}
