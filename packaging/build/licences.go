package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// module is something of others that is in the program.
type module struct {
	Path, Version string
	Sum           string // as in go.sum; empty for Go itself
	Dir           string
	Licence       string // SPDX expression
	Texts         []licenceText
}

type licenceText struct{ name, text string }

// modules returns the modules that are in any of the binaries, sorted, Go's
// library first. A module with a licence that is not one of those expected fails
// the release.
func (r *release) modules(ctx context.Context, binaries []binary) ([]module, error) {
	found := map[string]*debug.Module{}
	goVersion := ""
	for _, b := range binaries {
		info, err := buildinfo.ReadFile(b.path)
		if err != nil {
			return nil, err
		}
		goVersion = info.GoVersion
		for _, d := range info.Deps {
			if d.Replace != nil {
				return nil, fmt.Errorf("module %s is replaced by %s: a release has none replaced", d.Path, d.Replace.Path)
			}
			found[d.Path] = d
		}
	}
	goroot, err := output(ctx, r.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := []module{{Path: "std", Version: strings.TrimPrefix(goVersion, "go"), Dir: strings.TrimSpace(string(goroot))}}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		d := found[path]
		out, err := output(ctx, r.root, []string{"GOFLAGS=", "GOWORK=off"}, "go", "mod", "download", "-json", path+"@"+d.Version)
		if err != nil {
			return nil, err
		}
		m := module{Path: path, Version: d.Version, Sum: d.Sum}
		if err := json.Unmarshal(out, &m); err != nil {
			return nil, fmt.Errorf("module %s: %w", path, err)
		}
		if m.Sum != d.Sum {
			return nil, fmt.Errorf("module %s: the module cache has %s, the binary was built from %s", path, m.Sum, d.Sum)
		}
		modules = append(modules, m)
	}
	for i := range modules {
		if err := modules[i].readLicence(); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// readLicence reads the licence and what must be passed on with it.
func (m *module) readLicence() error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		isLicence := strings.HasPrefix(name, "LICENSE") || strings.HasPrefix(name, "LICENCE") || strings.HasPrefix(name, "COPYING")
		if !e.Type().IsRegular() || !isLicence && !strings.HasPrefix(name, "NOTICE") && !strings.HasPrefix(name, "PATENTS") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		m.Texts = append(m.Texts, licenceText{e.Name(), string(text)})
		if !isLicence {
			continue
		}
		ids := classify(string(text))
		if ids == nil {
			return fmt.Errorf("module %s: %s is of no licence that is known to be fine", m.Path, e.Name())
		}
		for _, id := range ids {
			if m.Licence == "" {
				m.Licence = id
			} else if !slices.Contains(strings.Split(m.Licence, " AND "), id) {
				m.Licence += " AND " + id
			}
		}
	}
	if m.Licence == "" {
		return fmt.Errorf("module %s has no licence", m.Path)
	}
	return nil
}

// classify returns the licences that a text has, nil when it has one that dls
// does not ship, or none.
func classify(text string) []string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, refused := range []string{"general public license", "mozilla public license", "eclipse public license", "business source license", "server side public license", "common development and distribution"} {
		if strings.Contains(text, refused) {
			return nil
		}
	}
	var ids []string
	if strings.Contains(text, "permission is hereby granted, free of charge, to any person obtaining a copy") {
		ids = append(ids, "MIT")
	}
	if strings.Contains(text, "permission to use, copy, modify, and/or distribute this software") || strings.Contains(text, "permission to use, copy, modify, and distribute this software") {
		ids = append(ids, "ISC")
	}
	if strings.Contains(text, "redistribution and use in source and binary forms") {
		if strings.Contains(text, "neither the name") || strings.Contains(text, "name of the author may not be used to endorse") {
			ids = append(ids, "BSD-3-Clause")
		} else {
			ids = append(ids, "BSD-2-Clause")
		}
	}
	if strings.Contains(text, "apache license") && strings.Contains(text, "version 2.0") {
		ids = append(ids, "Apache-2.0")
	}
	return ids
}

// thirdParty is the file that passes the licences of others on.
func thirdParty(modules []module) []byte {
	var b bytes.Buffer
	b.WriteString("dls is under the Apache License 2.0. It is built with what follows, each part under its own licence.\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "  %-50s %-38s %s\n", m.title(), m.Version, m.Licence)
	}
	for _, m := range modules {
		for _, t := range m.Texts {
			rule := strings.Repeat("=", 80)
			fmt.Fprintf(&b, "\n%s\n%s %s: %s\n%s\n\n%s\n", rule, m.title(), m.Version, t.name, rule, strings.TrimSpace(t.text))
		}
	}
	return b.Bytes()
}

func (m module) title() string {
	if m.Path == "std" {
		return "Go and its standard library"
	}
	return m.Path
}

// copyright is the file that Debian wants of each package.
func copyright(modules []module) []byte {
	var b bytes.Buffer
	b.WriteString(`Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: dls

Files: *
Copyright: the authors of dls
License: Apache-2.0
 On Debian systems the full text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.

Comment: The program is statically linked. What follows are the licences of the
 modules in it.

`)
	b.Write(thirdParty(modules))
	return b.Bytes()
}
