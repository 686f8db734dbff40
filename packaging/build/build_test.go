package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClassify(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"MIT", "Permission is hereby granted, free of charge,\nto any person obtaining a copy", []string{"MIT"}},
		{"BSD with three clauses", "Redistribution and use in source and binary forms … Neither the name of", []string{"BSD-3-Clause"}},
		{"BSD with two clauses", "Redistribution and use in source and binary forms", []string{"BSD-2-Clause"}},
		{"two in one file", "permission is hereby granted, free of charge, to any person obtaining a copy … Apache License, Version 2.0", []string{"MIT", "Apache-2.0"}},
		{"one that is not shipped", "Redistribution and use in source and binary forms … or the GNU General Public License", nil},
		{"none", "All rights reserved.", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := classify(tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("classify() = %q, want %q", got, tt.want)
			}
		})
	}
}

// What a licence says is passed on, word for word.
func TestThirdParty(t *testing.T) {
	dir := t.TempDir()
	text := "Permission is hereby granted, free of charge, to any person obtaining a copy"
	for name, content := range map[string]string{"LICENSE": text, "NOTICE": "Made by somebody."} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := module{Path: "example.com/m", Version: "v1.0.0", Dir: dir}
	if err := m.readLicence(); err != nil {
		t.Fatal(err)
	}
	got := string(thirdParty([]module{m}))
	for _, want := range []string{text, "Made by somebody.", "example.com/m v1.0.0: NOTICE", "MIT"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	empty := module{Path: "example.com/n", Version: "v1.0.0", Dir: t.TempDir()}
	if err := empty.readLicence(); err == nil {
		t.Error("a module without a licence is taken")
	}
}

func TestWriteTar(t *testing.T) {
	at := time.Unix(1_800_000_000, 0).UTC()
	data, err := writeTar([]entry{{name: "d/", mode: 0o777 | os.ModeSticky}, {name: "d/f", mode: 0o755, uid: 7, data: []byte("x")}}, at)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(data))
	for _, want := range []struct {
		name string
		mode int64
		uid  int
	}{{"d/", 0o1777, 0}, {"d/f", 0o755, 7}} {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want.name || h.Mode != want.mode || h.Uid != want.uid || !h.ModTime.Equal(at) {
			t.Errorf("got %q, mode %o, uid %d, %s; want %+v", h.Name, h.Mode, h.Uid, h.ModTime, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last entry: %v", err)
	}
}

func TestEmptyDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	for range 2 {
		if err := emptyDir(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "dls_1.0.0_linux_amd64.deb"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := emptyDir(dir); err == nil {
		t.Error("a folder with a file of somebody's is emptied")
	}
}

func TestVersionAndTargets(t *testing.T) {
	for version, want := range map[string]bool{"1.2.3": true, "1.2.3-rc.1": true, "v1.2.3": false, "1.2": false, "1.2.3 ": false, "1.2.3;x": false} {
		if got := versionPattern.MatchString(version); got != want {
			t.Errorf("version %q: taken %t, want %t", version, got, want)
		}
	}
	if _, err := parseTargets("linux/amd64,plan9/amd64"); err == nil {
		t.Error("a target that is not built is taken")
	}
}
