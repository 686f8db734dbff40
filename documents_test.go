package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"dls/job/config"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// The documents are Markdown. What stands in a fenced block is tried according to
// the words behind the fence:
//
//	console        commands after "$ ", run in order against a simulated Duo and a receiver
//	yaml           a configuration, or a part of one, which is read
//	usage COMMAND  what COMMAND prints
//	sh run-by-ci   commands that are lines of .ci/run
//	sh install     commands that docs/install.md has, too
//	sh test        commands of go test, whose packages, tests and flags must be there
//	sh not-run     commands that cannot be run here; what is dls's own in them is one that there is
//	sh PURPOSE     commands of docs/install.md that .ci/steps/packages runs
//	text           nothing to run
//
// docs/receivers.md has configurations of receivers, which sinks/receivers_test.go
// runs where a comment before them says so.

// document is one of them.
type document struct {
	name   string // its path
	text   string
	blocks []block
}

// block is a fenced block.
type block struct {
	words []string // behind the fence
	text  string   // without the fence's indentation
	line  int
	// before is the last line before the block that is not empty, heading the last
	// heading.
	before, heading string
}

var fence = regexp.MustCompile("^( *)(```+)(.*)$")

// documents reads all documents of the repository.
func documents(t *testing.T) []document {
	t.Helper()
	var docs []document
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "dist" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		doc := document{name: filepath.ToSlash(name), text: string(data)}
		doc.blocks = blocksOf(doc.text)
		docs = append(docs, doc)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func blocksOf(text string) []block {
	var (
		all             []block
		before, heading string
		open            *block
		indent, end     string
	)
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m != nil:
			open = &block{words: strings.Fields(m[3]), line: i + 1, before: before, heading: heading}
			indent, end = m[1], m[2]
		case open != nil && m != nil && m[2] == end && m[3] == "":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "#"):
			heading = line
		}
		if strings.TrimSpace(line) != "" {
			before = line
		}
	}
	return all
}

// is tells what the words behind the fence begin with.
func (b block) is(words ...string) bool {
	return len(b.words) >= len(words) && slices.Equal(b.words[:len(words)], words)
}

// prose is the document's text without its blocks.
func (d document) prose() string {
	var kept []string
	end := ""
	for line := range strings.SplitSeq(d.text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case end == "" && m != nil:
			end = m[2]
		case end != "" && m != nil && m[2] == end && m[3] == "":
			end = ""
		case end == "":
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	notOfASlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the headings of a document as they are linked to.
func (d document) anchors() map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(d.prose(), -1) {
		slug := strings.ReplaceAll(notOfASlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		for n, s := 1, slug; ; n++ {
			if !all[s] {
				all[s] = true
				break
			}
			s = slug + "-" + strconv.Itoa(n)
		}
	}
	return all
}

// Every link of a document leads somewhere.
func TestDocumentLinks(t *testing.T) {
	docs := documents(t)
	linked := map[string]bool{"README.md": true}
	for _, doc := range docs {
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(doc.prose(), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := doc.name
			if target != "" {
				file = path.Join(path.Dir(doc.name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: dead link to %s", doc.name, m[1])
				continue
			}
			linked[file] = true
			i := slices.IndexFunc(docs, func(d document) bool { return d.name == file })
			if anchor != "" && (i < 0 || !docs[i].anchors()[anchor]) {
				t.Errorf("%s: link to %s, which has no such heading", doc.name, m[1])
			}
		}
	}
	for _, doc := range docs {
		if !linked[doc.name] {
			t.Errorf("%s: no document links to it", doc.name)
		}
	}
}

// pipedCommand is a command of dls in a line of the shell.
var pipedCommand = regexp.MustCompile(`(?m)(?:^|\| )(dls [^|\n]*)`)

// Every block of a document says how it is tried.
func TestDocumentBlocks(t *testing.T) {
	ci, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	step, err := os.ReadFile(".ci/steps/packages")
	if err != nil {
		t.Fatal(err)
	}
	install, err := os.ReadFile("docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	tried, untried := map[string]int{}, 0
	for _, doc := range documents(t) {
		for _, b := range doc.blocks {
			how := ""
			switch {
			case b.is("console"), b.is("usage"), b.is("text"):
				how = b.words[0]
			case b.is("yaml") && ours(b.text):
				how = "yaml"
			case strings.HasPrefix(b.before, "<!-- test: "):
				how = "receiver"
			case b.is("sh", "run-by-ci"):
				how = "run-by-ci"
				for line := range strings.Lines(b.text) {
					if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(strings.TrimSpace(line)) + `(?:\s|$)`).Match(ci) {
						t.Errorf("%s:%d: .ci/run does not run %q", doc.name, b.line, strings.TrimSpace(line))
					}
				}
			case b.is("sh", "install"):
				how = "install"
				if !strings.Contains(string(install), b.text) {
					t.Errorf("%s:%d: docs/install.md has it otherwise", doc.name, b.line)
				}
			case b.is("sh", "test"):
				how = "test"
				for line := range strings.Lines(b.text) {
					if err := goTest(strings.TrimSpace(line)); err != nil {
						t.Errorf("%s:%d: %v", doc.name, b.line, err)
					}
				}
			case b.is("sh", "not-run"), strings.HasSuffix(b.heading, "(not tried)"):
				untried++
				t.Logf("%s:%d: not run", doc.name, b.line)
				for _, m := range pipedCommand.FindAllStringSubmatch(b.text, -1) {
					if err := span(m[1]); err != nil {
						t.Errorf("%s:%d: %s: %v", doc.name, b.line, m[1], err)
					}
				}
			case b.is("sh") && len(b.words) == 2 && doc.name == "docs/install.md":
				how = "install"
				if !strings.Contains(string(step), b.words[1]) {
					t.Errorf("%s:%d: .ci/steps/packages knows no %q", doc.name, b.line, b.words[1])
				}
			default:
				t.Errorf("%s:%d: a block that says %q: nothing tries it", doc.name, b.line, b.words)
			}
			if how != "" {
				tried[how]++
			}
		}
		prose := strings.Split(doc.prose(), "\n")
		for i, line := range prose {
			if i > 0 && strings.TrimSpace(prose[i-1]) == "" && strings.HasPrefix(line, "    ") {
				t.Errorf("%s: %q is an indented block: fence it and say how it is tried", doc.name, strings.TrimSpace(line))
			}
		}
		for _, m := range codeSpan.FindAllStringSubmatch(doc.prose(), -1) {
			if err := span(strings.ReplaceAll(m[1], "\n", " ")); err != nil {
				t.Errorf("%s: `%s`: %v", doc.name, m[1], err)
			}
		}
	}
	t.Logf("blocks that are tried: %v; that are not: %d", tried, untried)
}

// span checks a command in running text: it must be one that there is.
func span(text string) error {
	words := strings.Fields(text)
	switch {
	case strings.HasPrefix(text, "go test ") && len(words) > 2 && !strings.Contains(text, "…"):
		return goTest(text)
	case len(words) < 2 || words[0] != "dls" || strings.ContainsAny(words[1], "0123456789.{("):
		return nil
	}
	var cli commandLine
	app := kong.Must(&cli, kong.Name("dls"), kong.Exit(func(int) {})).Model
	node := app.DefaultCmd
	for _, n := range app.Leaves(true) {
		if n.Name == words[1] {
			node = n
		}
	}
	if node == app.DefaultCmd && regexp.MustCompile(`^[a-z-]+$`).MatchString(words[1]) && words[1] != "sync" && !strings.HasPrefix(words[1], "-") {
		return errors.New("no such command")
	}
	for _, word := range words[1:] {
		name, ok := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if !ok || name == "" || name == "help" || name == "version" {
			continue
		}
		if !slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == name }) {
			return fmt.Errorf("dls %s has no flag --%s", node.Name, name)
		}
	}
	return nil
}

// goTest checks a command of go test: its packages, its tests and its own flags must
// be there. A flag of the test's own before the packages would hide them.
func goTest(text string) error {
	words := strings.Fields(strings.ReplaceAll(text, "'", ""))
	if len(words) < 3 || words[0] != "go" || words[1] != "test" {
		return fmt.Errorf("%q is no command of go test", text)
	}
	var dirs []string
	known := []string{"-run", "-bench", "-count", "-timeout", "-race", "-v", "-fuzz", "-fuzztime", "-shuffle", "-short"}
	run, bench := "", ""
	for i, word := range words[2:] {
		next := ""
		if i+3 < len(words) {
			next = words[i+3]
		}
		switch {
		case word == "./...":
			return nil
		case strings.HasPrefix(word, "./"), word == ".":
			dirs = append(dirs, word)
		case word == "-run":
			run = next
		case word == "-bench":
			bench = next
		case strings.HasPrefix(word, "-") && !slices.Contains(known, word):
			if len(dirs) == 0 {
				return fmt.Errorf("%q: %s must stand behind the package", text, word)
			}
			if ok, err := declared(dirs, func(src *ast.File) bool { return declaresFlag(src, word[1:]) }); err != nil || !ok {
				return fmt.Errorf("%q: no flag %s in %s (%v)", text, word, dirs, err)
			}
		}
	}
	if len(dirs) == 0 {
		return fmt.Errorf("%q names no package", text)
	}
	for prefix, pattern := range map[string]string{"Test": run, "Benchmark": bench} {
		if pattern == "" || prefix == "Test" && bench != "" {
			continue
		}
		pattern, _, _ = strings.Cut(pattern, "/")
		re, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		for _, dir := range dirs {
			if ok, err := declared([]string{dir}, func(src *ast.File) bool {
				return slices.ContainsFunc(src.Decls, func(d ast.Decl) bool {
					f, ok := d.(*ast.FuncDecl)
					return ok && strings.HasPrefix(f.Name.Name, prefix) && re.MatchString(f.Name.Name)
				})
			}); err != nil || !ok {
				return fmt.Errorf("%q: nothing in %s matches %q (%v)", text, dir, pattern, err)
			}
		}
	}
	return nil
}

// declared tells whether a test file of one of the directories is so.
func declared(dirs []string, is func(*ast.File) bool) (bool, error) {
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return false, err
		}
		for _, file := range files {
			src, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				return false, err
			}
			if is(src) {
				return true, nil
			}
		}
	}
	return false, nil
}

// declaresFlag tells whether a file declares a flag.
func declaresFlag(src *ast.File, name string) bool {
	found := false
	ast.Inspect(src, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		arg, isLiteral := call.Args[0].(*ast.BasicLit)
		found = found || ok && isLiteral && pkg.Name == "flag" && arg.Value == strconv.Quote(name)
		return true
	})
	return found
}

// The help that the documents show is the program's.
func TestDocumentUsage(t *testing.T) {
	for _, doc := range documents(t) {
		text := doc.text
		for _, b := range doc.blocks {
			if !b.is("usage") {
				continue
			}
			out, err := exec.Command(b.words[1], b.words[2:]...).Output()
			if err != nil {
				t.Errorf("%s:%d: %v", doc.name, b.line, err)
				continue
			}
			if *update {
				text = strings.Replace(text, "```"+strings.Join(b.words, " ")+"\n"+b.text, "```"+strings.Join(b.words, " ")+"\n"+string(out), 1)
			} else if diff := cmp.Diff(b.text, string(out)); diff != "" {
				t.Errorf("%s:%d: write it with -update (-document +program):\n%s", doc.name, b.line, diff)
			}
		}
		if text != doc.text {
			if err := os.WriteFile(doc.name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// docs/commands.md has every command.
func TestDocumentCommands(t *testing.T) {
	data, err := os.ReadFile("docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	var cli commandLine
	for _, node := range kong.Must(&cli, kong.Name("dls")).Model.Leaves(true) {
		if !strings.Contains(string(data), "```usage dls "+node.Name+" --help\n") {
			t.Errorf("docs/commands.md lacks dls %s", node.Name)
		}
	}
}

// docs/architecture.md has a reason for each module, and says what each package is for.
func TestDocumentArchitecture(t *testing.T) {
	data, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllSubmatch(mod, -1) {
		if !bytes.Contains(data, []byte("| `"+string(m[1])+"` |")) {
			t.Errorf("no reason for module %s", m[1])
		}
	}
	packages, err := exec.Command("go", "list", "./...").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for name := range strings.FieldsSeq(string(packages)) {
		name, ok := strings.CutPrefix(name, "dls/")
		if !ok || strings.Contains(name, "internal") || strings.HasSuffix(name, "test") || strings.Count(name, "/") > 1 {
			continue
		}
		if !bytes.Contains(data, []byte("`"+name+"`")) {
			t.Errorf("nothing is said of package %s", name)
		}
	}
}

// ours tells whether a block of YAML is a configuration of dls or a part of one.
func ours(text string) bool {
	var top map[string]yaml.Node
	if yaml.Unmarshal([]byte(text), &top) != nil {
		return false
	}
	for key := range top {
		if !slices.Contains([]string{"version", "dls_settings", "servers", "account"}, key) {
			return false
		}
	}
	return len(top) > 0
}

// Every configuration of the documents is read without an error or a warning. What
// a part lacks is added.
func TestDocumentConfigurations(t *testing.T) {
	for _, doc := range documents(t) {
		for _, b := range doc.blocks {
			if !b.is("yaml") || !ours(b.text) {
				continue
			}
			var top map[string]any
			if err := yaml.Unmarshal([]byte(b.text), &top); err != nil {
				t.Errorf("%s:%d: %v", doc.name, b.line, err)
				continue
			}
			text := b.text
			if top["version"] == nil {
				text = "version: '1.0.0'\n" + text
			}
			server := "siem"
			if servers, ok := top["servers"].([]any); ok {
				server, _ = servers[0].(map[string]any)["id"].(string)
			} else {
				text += "servers: [{id: siem, hostname: siem.example.com, port: 6514, protocol: TCP}]\n"
			}
			if top["account"] == nil {
				text += "account:\n  ikey: DIXXXXXXXXXXXXXXXXXX\n  skey_filepath: /etc/dls/skey\n  hostname: api-1234abcd.duosecurity.com\n" +
					"  endpoint_server_mappings:\n    - {endpoints: [auth], server: " + server + "}\n"
			}
			cfg, err := config.Parse(doc.name, []byte(text), config.Env{Elsewhere: true})
			if err != nil {
				t.Errorf("%s:%d: %v", doc.name, b.line, err)
				continue
			}
			for _, w := range cfg.Warnings {
				if strings.Contains(fmt.Sprint(w), "in the clear") {
					continue // it says what plaintext means
				}
				t.Errorf("%s:%d: %v", doc.name, b.line, w)
			}
		}
	}
}

// The commands of the documents do what they say: each document's are run in order,
// against a simulated Duo and a receiver. The folders that they name are folders of
// the test's own.
func TestDocumentConsole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a shell of Unix")
	}
	for _, doc := range documents(t) {
		if !slices.ContainsFunc(doc.blocks, func(b block) bool { return b.is("console") }) {
			continue
		}
		t.Run(doc.name, func(t *testing.T) {
			t.Parallel()
			sandbox := newSandbox(t)
			defer sandbox.metrics(t)
			for _, b := range doc.blocks {
				if !b.is("console") {
					continue
				}
				for line := range strings.Lines(b.text) {
					command, ok := strings.CutPrefix(line, "$ ")
					if !ok {
						t.Errorf("%s:%d: %q is no command", doc.name, b.line, strings.TrimSpace(line))
						continue
					}
					sandbox.run(t, fmt.Sprintf("%s:%d", doc.name, b.line), strings.TrimSpace(command))
				}
			}
		})
	}
}

// sandbox is a machine for a document's commands.
type sandbox struct {
	dir string
	env []string
}

// folders are those of a real machine that commands may name.
var folders = regexp.MustCompile(`/(?:etc/dls|var/lib/dls|var/lib/node_exporter|var/www/html|tmp)\b`)

func newSandbox(t *testing.T) sandbox {
	accounts := []duosim.Account{
		{ID: scriptAccount, Name: "Script", Ikey: "DISCRIPT000000000000", Skey: scriptSecret},
		{ID: "DAMSP000000000000000", Name: "MSP", Ikey: "DIMSP000000000000000", Skey: scriptSecret, MSP: true},
		{ID: "DACHILD0000000000001", Name: "A child", Parent: "DAMSP000000000000000"},
	}
	sim := duosim.New(accounts...)
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	for i, endpoint := range []string{"auth", "telephony", "activity"} {
		for k, id := range []string{scriptAccount, "DACHILD0000000000001"} {
			g := duosim.Generator{Seed: uint64(10*i + k)}
			sim.Add(id, endpoint, g.Generate(endpoint, 20, time.Now().Add(-90*time.Minute), time.Second)...)
		}
	}
	siem := sinktest.Listen(t, sinktest.Options{})
	s := sandbox{dir: t.TempDir()}
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"var/lib/dls", "var/lib/msp", "var/lib/node_exporter", "var/www/html", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	template, err := os.ReadFile("template_config.yml")
	if err != nil {
		t.Fatal(err)
	}
	fill := func(ikey, account, more string, without ...string) string {
		text := string(template)
		for _, r := range [][2]string{
			{"# ca_filepath: '/etc/ssl/inspection.pem'", "ca_filepath: '" + filepath.Join(s.dir, "ca.pem") + "'"},
			{"# directory: '/tmp'", "directory: '" + filepath.Join(s.dir, "var/lib/dls") + "'"},
			{"# log_filepath: '/tmp/duologsync.log'", "log_filepath: '" + filepath.Join(s.dir, "dls.log") + "'"},
			{"    hostname: ''", "    hostname: '127.0.0.1'"},
			{"port: 6514", "port: " + strconv.Itoa(siem.Port())},
			{"protocol: 'TCPSSL'", "protocol: 'TCP'"},
			{"    cert_filepath: ''\n", ""},
			{"    # settle: 5", "    settle: 0"},
			{"ikey: ''", "ikey: '" + ikey + "'"},
			{"skey: ''", "skey: '" + scriptSecret + "'"},
			{"  hostname: ''", "  hostname: '" + sim.Host(account) + "'"},
			{"is_msp: false", more},
		} {
			if slices.ContainsFunc(without, func(key string) bool { return strings.Contains(r[0], key) }) {
				continue
			}
			if !strings.Contains(text, r[0]) {
				t.Fatalf("template_config.yml has no %q", r[0])
			}
			text = strings.Replace(text, r[0], r[1], 1)
		}
		return text
	}
	write("template_config.yml", string(template))
	write("ca.pem", string(sim.CAPEM()))
	filled := fill("DISCRIPT000000000000", scriptAccount, "is_msp: false")
	write("filled.yml", filled)
	write("config.yml", filled)
	write("etc/dls/config.yml", filled)
	write("etc/dls/msp.yml", strings.ReplaceAll(fill("DIMSP000000000000000", "DAMSP000000000000000", "is_msp: true"), "/var/lib/dls'", "/var/lib/msp'"))
	write("schedule.yml", fill("DISCRIPT000000000000", scriptAccount, "is_msp: false", "ca_filepath: '/etc/ssl", "directory", "log_filepath"))
	write("tmp/authlog_checkpoint_data_1.txt", "")
	write("edit", "#!/bin/sh\ncp '"+filepath.Join(s.dir, "filled.yml")+"' \"$1\"\n")
	if err := os.Chmod(filepath.Join(s.dir, "edit"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "EDITOR="+filepath.Join(s.dir, "edit"), "HOME="+s.dir, "TMPDIR="+filepath.Join(s.dir, "tmp"), "DLS_PING_URL=", "DLS_CONFIG=")
	return s
}

// metrics holds the metrics that the commands have written against docs/metrics.md.
func (s sandbox) metrics(t *testing.T) {
	t.Helper()
	doc, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "var/lib/node_exporter/*.prom"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^# HELP (\S+) (.*)$`).FindAllSubmatch(text, -1) {
			if !regexp.MustCompile("(?m)^\\| `" + string(m[1]) + "` \\|.*\\| " + regexp.QuoteMeta(string(m[2])) + " \\|$").Match(doc) {
				t.Errorf("docs/metrics.md does not say of %s: %s", m[1], m[2])
			}
		}
	}
}

// run runs a command, which must succeed.
func (s sandbox) run(t *testing.T, where, command string) {
	t.Helper()
	here := folders.ReplaceAllStringFunc(command, func(folder string) string { return s.dir + folder })
	if strings.Contains(command, "dls schedule") {
		// What a job definition holds is for the machine that is named.
		here = strings.Replace(command, "/etc/dls/config.yml", "schedule.yml", 1) + " --for /etc/dls/config.yml"
	}
	cmd := exec.Command("sh", "-euc", here)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %s: %v\n%s", where, command, err, out.Bytes())
	}
}
