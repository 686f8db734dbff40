// Mutants puts faults into the core, one at a time, and tells which of them the tests
// find: first those of the packages, then the simulation. The sources stay as they are.
//
//	go run ./job/testdata/mutants [-scenarios 1000] [-only TEXT]
//
// from the repository's root. Each fault is a block of mutants.txt: its name, the
// file, the lines to be replaced (-) and what takes their place (+), and where the tests of
// its package do not look at it, what to give go test for those that do (=). One with a
// number is played by the simulation though another test has found it.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed mutants.txt
var list string

var (
	scenarios = flag.Int("scenarios", 1000, "how many scenarios the simulation plays at most")
	only      = flag.String("only", "", "only the faults whose name holds this")
	most      = flag.Int("survivors", 2, "how many may survive")
)

// packages are the tests that come before the simulation, beside those of the fault's own
// package.
var packages = []string{"test", "-timeout", "3m", "-skip", "^Test(Proxy|Python)", "./job/window", "./job/feed", "./job/retry", "./state"}

type mutant struct {
	name, file, old, new string
	tests                []string // of others than its package
}

func main() {
	flag.Parse()
	dir, err := os.MkdirTemp("", "mutants")
	check(err)
	defer os.RemoveAll(dir)
	died, n := 0, 0
	fmt.Println("| fault | file | found by |\n|---|---|---|")
	for _, m := range parse() {
		if !strings.Contains(m.name, *only) {
			continue
		}
		n++
		by := m.try(dir)
		if by != "" {
			died++
		} else {
			by = "**nothing**"
		}
		fmt.Printf("| %s | %s | %s |\n", m.name, m.file, by)
	}
	fmt.Printf("\n%d of %d found\n", died, n)
	if n-died > *most {
		os.Exit(1)
	}
}

func parse() (all []mutant) {
	for block := range strings.SplitSeq(strings.TrimSpace(list), "\n\n") {
		var m mutant
		for line := range strings.SplitSeq(block, "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "-"):
				m.old += line[1:] + "\n"
			case strings.HasPrefix(line, "+"):
				m.new += line[1:] + "\n"
			case strings.HasPrefix(line, "="):
				m.tests = strings.Fields(line[1:])
			case m.name == "":
				m.name = line
			default:
				m.file = line
			}
		}
		if m.name != "" {
			all = append(all, m)
		}
	}
	return all
}

// try tells what finds the fault, or "".
func (m mutant) try(dir string) string {
	source, err := os.ReadFile(m.file)
	check(err)
	if n := strings.Count(string(source), m.old); n != 1 {
		check(fmt.Errorf("%s: %q stands %d times in %s", m.name, m.old, n, m.file))
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	check(os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600))
	path, err := filepath.Abs(m.file)
	check(err)
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	check(err)
	check(os.WriteFile(overlay, data, 0o600))
	tests := append(packages[:1:1], append([]string{"-overlay", overlay}, packages[1:]...)...)
	if own := "./" + filepath.Dir(m.file); own != "./job" && !slices.Contains(tests, own) { // those of ./job are the simulation's
		tests = append(tests, own)
	}
	var by []string
	if out, err := run(tests...); err != nil {
		by = append(by, first(out, `(?m)^\s*--- FAIL: (\S+)`, "a test that does not end"))
	}
	if m.tests != nil && (len(by) == 0 || numbered(m.name)) {
		if out, err := run(append([]string{"test", "-overlay", overlay, "-timeout", "3m"}, m.tests...)...); err != nil {
			by = append(by, first(out, `(?m)(?:^\s*--- FAIL: \S+ .*\n)?^\s*--- FAIL: (\S+)`, "a test that does not end"))
			if seed := first(out, `seed (\d+)`, ""); seed != "" {
				by[len(by)-1] += " seed " + seed
			}
		}
	}
	if len(by) == 0 || numbered(m.name) {
		out, err := run("test", "-overlay", overlay, "-timeout", "10m", "./job", "-run", "^TestSimulation$", "-scenarios", fmt.Sprint(*scenarios), "-failures", "1")
		if err != nil {
			by = append(by, "seed "+first(out, `seed (\d+)`, "?"))
		}
	}
	return strings.Join(by, ", ")
}

func numbered(name string) bool { return name[0] >= '0' && name[0] <= '9' }

func run(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "[build failed]") {
		check(fmt.Errorf("%s", out))
	}
	return string(out), err
}

func first(out, pattern, none string) string {
	if found := regexp.MustCompile(pattern).FindStringSubmatch(out); found != nil {
		return found[1]
	}
	return none
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
