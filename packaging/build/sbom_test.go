package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xeipuuv/gojsonschema"
)

// The bill of materials is CycloneDX by its own schema, and the same twice.
func TestBillOfMaterials(t *testing.T) {
	modules := []module{
		{Path: "std", Version: "1.26.0", Licence: "BSD-3-Clause"},
		{Path: "example.com/a", Version: "v1.2.3", Licence: "MIT", Sum: "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		{Path: "example.com/b", Version: "v0.0.0-20250430191550-ac36954387e7", Licence: "MIT AND Apache-2.0", Sum: "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
	}
	var texts []string
	for range 2 {
		r := &release{out: t.TempDir(), version: "1.2.3", epoch: time.Unix(1_800_000_000, 0).UTC(), formats: formats}
		if err := r.billOfMaterials(modules); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(r.out, "dls_1.2.3_sbom.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Errorf("two bills of the same differ:\n%s\n%s", texts[0], texts[1])
	}

	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) gojsonschema.JSONLoader {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		return gojsonschema.NewBytesLoader(text)
	}
	// All that the schema refers to is at hand, so that none is looked for elsewhere.
	schemas := gojsonschema.NewSchemaLoader()
	for _, name := range []string{"spdx.schema.json", "jsf-0.82.schemax.json"} {
		if err := schemas.AddSchemas(read(name)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := schemas.Compile(read("bom-1.6.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := schema.Validate(gojsonschema.NewStringLoader(texts[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range result.Errors() {
		t.Error(e)
	}
}
