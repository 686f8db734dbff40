package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// certificates is the module from which the image has its roots.
const certificates = "golang.org/x/crypto/x509roots/fallback"

// billOfMaterials writes what is in the release, as CycloneDX.
func (r *release) billOfMaterials(modules []module) error {
	bom := cdx.NewBOM()
	main := cdx.Component{
		BOMRef: "dls", Type: cdx.ComponentTypeApplication, Name: "dls", Version: r.version,
		Description: "delivers Duo's security logs to a SIEM", PackageURL: "pkg:generic/dls@" + r.version,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.epoch.Format(time.RFC3339), Component: &main,
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseBuild}},
	}
	var components []cdx.Component
	var refs []string
	for _, m := range modules {
		c, err := component(m)
		if err != nil {
			return err
		}
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	if r.wants("image") {
		info, _ := debug.ReadBuildInfo()
		for _, d := range info.Deps {
			if d.Path != certificates {
				continue
			}
			c, err := component(module{Path: d.Path, Version: d.Version, Sum: d.Sum, Licence: "BSD-3-Clause"})
			if err != nil {
				return err
			}
			c.Type, c.Scope, c.Description = cdx.ComponentTypeData, cdx.ScopeOptional, "Mozilla's certificate authorities, in the container image only"
			components, refs = append(components, c), append(refs, c.BOMRef)
		}
	}
	bom.Components = &components
	dependencies := []cdx.Dependency{{Ref: "dls", Dependencies: &refs}}
	bom.Dependencies = &dependencies
	// The number is of the content, so that the same release has the same.
	sum := sha256.Sum256(marshal(bom))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])

	f, err := os.Create(filepath.Join(r.out, "dls_"+r.version+"_sbom.cdx.json"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return f.Close()
}

// component describes a module of others.
func component(m module) (cdx.Component, error) {
	url := "pkg:golang/" + m.Path + "@" + m.Version
	c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url, Scope: cdx.ScopeRequired}
	if strings.Contains(m.Licence, " AND ") {
		c.Licenses = &cdx.Licenses{{Expression: m.Licence}}
	} else {
		c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: m.Licence}}}
	}
	if m.Sum != "" {
		// go.sum's h1 is the SHA-256 of the list of the module's files and their sums.
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil {
			return c, fmt.Errorf("module %s: sum %q: %w", m.Path, m.Sum, err)
		}
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return c, nil
}
