package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
)

// documents are the files that go with the program, by their paths in an archive.
type documents map[string][]byte

// documents collects what goes with the program: part of it the program itself
// prints.
func (r *release) documents(ctx context.Context, binaries []binary, modules []module) (documents, error) {
	docs := documents{"THIRD-PARTY-LICENCES": thirdParty(modules), "copyright": copyright(modules)}
	names := []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "template_config.yml"}
	files, err := filepath.Glob(filepath.Join(r.root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		names = append(names, "docs/"+filepath.Base(file))
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		docs[name] = text
	}
	native, err := r.native(ctx, binaries)
	if err != nil {
		return nil, err
	}
	for name, args := range map[string][]string{
		"dls.1":                {"man"},
		"completions/dls.bash": {"completion", "bash"},
		"completions/_dls":     {"completion", "zsh"},
		"completions/dls.fish": {"completion", "fish"},
		"completions/dls.ps1":  {"completion", "powershell"},
	} {
		if docs[name], err = output(ctx, r.work, nil, native.path, args...); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// compress is gzip without name and time.
func compress(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(data) // into memory
	w.Close()
	return b.Bytes()
}
