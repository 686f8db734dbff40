// Command build makes a release of dls: binaries, archives, packages, a
// container image, a bill of materials and checksums. The same commit and the
// same Go give the same bytes, in whatever folder.
//
// Start with [release.build]: its steps are in the order of this package's files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "release: error:", err)
		os.Exit(1)
	}
}

// release is one release in the making.
type release struct {
	root    string // of the repository
	out     string // where the artefacts go; nothing else is in it
	work    string // a temporary folder
	cache   string // Go's build cache for the binaries; empty: Go's own
	version string
	epoch   time.Time // of every file in every artefact
	targets []target
	formats []string
	signer  *signer // nil: nothing is signed
}

// formats are the kinds of artefacts, in the order in which they are made.
var formats = []string{"archive", "deb", "rpm", "apk", "image"}

var versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("packaging/release", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: packaging/release VERSION [FLAGS]\n")
		flags.PrintDefaults()
	}
	root := flags.String("root", "../..", "the `folder` of the repository")
	out := flags.String("out", "", "the `folder` for the artefacts, replaced if it is there (default dist in the repository)")
	only := flags.String("targets", strings.Join(targetNames(allTargets), ","), "`systems` to build for")
	cache := flags.String("build-cache", "", "the `folder` in which Go keeps what it compiles for the binaries (default Go's own)")
	kinds := flags.String("formats", strings.Join(formats, ","), "`kinds` of artefacts to make")
	// The version may stand before the flags.
	var version string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return err
		}
		if args = flags.Args(); len(args) > 0 {
			if version != "" {
				return fmt.Errorf("one version, not %q and %q", version, args[0])
			}
			version, args = args[0], args[1:]
		}
	}
	if !versionPattern.MatchString(version) {
		return fmt.Errorf("version %q: want one like 1.2.3 or 1.2.3-rc.1", version)
	}
	r := &release{version: version, out: *out, cache: *cache}
	var err error
	if r.root, err = filepath.Abs(*root); err != nil {
		return err
	}
	if r.out == "" {
		r.out = filepath.Join(r.root, "dist")
	}
	if r.targets, err = parseTargets(*only); err != nil {
		return err
	}
	for _, kind := range strings.Split(*kinds, ",") {
		if !slices.Contains(formats, kind) {
			return fmt.Errorf("format %q: want some of %s", kind, strings.Join(formats, ", "))
		}
		r.formats = append(r.formats, kind)
	}
	if r.epoch, err = sourceDate(ctx, r.root); err != nil {
		return err
	}
	if changed, err := output(ctx, r.root, nil, "git", "status", "--porcelain"); err == nil && len(changed) > 0 {
		fmt.Fprintln(os.Stderr, "release: warning: there are changes that are not committed: nobody can build the same again")
	}
	if r.signer, err = signerFromEnv(); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "dls-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	return r.build(ctx)
}

// build makes all artefacts.
func (r *release) build(ctx context.Context) error {
	if err := emptyDir(r.out); err != nil {
		return err
	}
	binaries, err := r.compile(ctx)
	if err != nil {
		return err
	}
	modules, err := r.modules(ctx, binaries)
	if err != nil {
		return err
	}
	docs, err := r.documents(ctx, binaries, modules)
	if err != nil {
		return err
	}
	for _, b := range binaries {
		if r.wants("archive") {
			if err := r.archive(b, docs); err != nil {
				return err
			}
		}
		for _, format := range []string{"deb", "rpm", "apk"} {
			if b.os == "linux" && r.wants(format) {
				if err := r.linuxPackage(ctx, format, b, docs); err != nil {
					return err
				}
			}
		}
	}
	if r.wants("image") {
		if err := r.image(binaries, docs); err != nil {
			return err
		}
	}
	if err := r.billOfMaterials(modules); err != nil {
		return err
	}
	return r.checksums()
}

func (r *release) wants(format string) bool { return slices.Contains(r.formats, format) }

// sourceDate is the time that all files bear: $SOURCE_DATE_EPOCH, or that of the
// commit.
func sourceDate(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := output(ctx, root, nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("no $SOURCE_DATE_EPOCH, and no commit to take the date from: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("source date %q: %w", text, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// emptyDir makes a folder without anything in it. One that holds what no release
// holds is refused.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), "dls") && !strings.HasPrefix(e.Name(), "SHA256SUMS") {
			return fmt.Errorf("folder %q holds %q, which is of no release: empty it, or take another", dir, e.Name())
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// output runs a command in a folder and returns what it printed. The error has
// what it said on stderr.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// fileName names an artefact.
func (r *release) fileName(b binary, ending string) string {
	return fmt.Sprintf("dls_%s_%s_%s%s", r.version, b.os, b.label, ending)
}
