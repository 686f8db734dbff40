package legacy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"dls/job/config"
	"dls/job/duo"
	"dls/state"
	"dls/state/safefile"
)

// Search says what [Elsewhere] looks for.
type Search struct {
	// Dir is the directory of checkpoints in use. It need not be there.
	Dir string
	// IKey is the account's integration key, Endpoints are those that are fetched.
	IKey      string
	Endpoints []string
	// MSP tells that child accounts are read, but for those of BlockList.
	MSP       bool
	BlockList []string
	// Places are the directories to look into, Jobs those in which only checkpoints of
	// dls's own count, since they may belong to jobs of several accounts. Both nil: those of
	// [Places], and where Dir is one of them, since no other was named, of [Jobs].
	Places, Jobs []string
}

// SearchFor returns the search for what the first run of a configuration would leave
// unseen.
func SearchFor(cfg *config.Config) Search {
	s := Search{Dir: cfg.Directory, IKey: cfg.Account.IKey, MSP: cfg.Account.MSP, BlockList: cfg.Account.BlockList}
	for _, route := range cfg.Routes {
		s.Endpoints = append(s.Endpoints, route.Endpoint.Name)
	}
	return s
}

// Stray is a directory with checkpoints that the one in use does not have.
type Stray struct {
	// Dir is the directory.
	Dir string
	// Names are those of this user's files and root's, Foreign those of somebody
	// else's, which prove nothing. Each in order.
	Names, Foreign []string
}

// Places are where the defaults of duologsync, and of dls, put checkpoints.
func Places() []string {
	if runtime.GOOS != "windows" {
		return []string{"/tmp"}
	}
	return []string{`\tmp`, os.TempDir()} // the first on the drive of the working directory
}

// Jobs are where systemd keeps the checkpoints of the jobs that dls schedule prints and
// that the packages bring, where they have the default names.
func Jobs() []string {
	if runtime.GOOS == "windows" {
		return nil
	}
	const one = "/var/lib/dls"
	dirs := []string{one}
	entries, _ := os.ReadDir(one) // what cannot be read is not this user's to go on from
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(one, e.Name()))
		}
	}
	return dirs
}

// Elsewhere looks for the checkpoints that a first run would go on from if they lay
// in the directory in use. It returns none where that has a checkpoint of dls: then
// it is not the first run. What cannot be read is left out.
func Elsewhere(s Search) []Stray {
	var have []string
	if entries, err := os.ReadDir(s.Dir); err == nil {
		for _, e := range entries {
			have = append(have, e.Name())
			if _, own, ok := stream(e.Name()); ok && own {
				return nil
			}
		}
	}
	places, jobs := s.Places, s.Jobs
	if places == nil && jobs == nil {
		if places = Places(); slices.Contains(places, filepath.Clean(s.Dir)) {
			jobs = Jobs()
		}
	}
	var strays []Stray
	var seen []os.FileInfo
	if used, err := os.Stat(s.Dir); err == nil {
		seen = append(seen, used)
	}
	for i, place := range slices.Concat(places, jobs) {
		info, err := os.Stat(place)
		if err != nil || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		seen = append(seen, info)
		if stray := s.in(place, have, i >= len(places)); len(stray.Names)+len(stray.Foreign) > 0 {
			strays = append(strays, stray)
		}
	}
	return strays
}

// in looks into one directory, perhaps only for what is dls's own.
func (s Search) in(place string, have []string, ownOnly bool) Stray {
	stray := Stray{Dir: place}
	dir, err := safefile.Open(place)
	if err != nil {
		return stray
	}
	defer dir.Close()
	entries, err := dir.List()
	if err != nil {
		return stray
	}
	for _, e := range entries {
		id, own, ok := stream(e.Name())
		if !ok || ownOnly && !own || !slices.Contains(s.Endpoints, id.Endpoint) || slices.Contains(s.BlockList, id.Account) {
			continue
		}
		// duologsync has one file for the telephony of all children.
		if shared := s.MSP && !own && id.Endpoint == "telephony" && id.Account == ""; s.MSP != (id.Account != "") && !shared {
			continue
		}
		if slices.ContainsFunc(Names(id.Endpoint, id.Account), func(name string) bool { return slices.Contains(have, name) }) {
			continue
		}
		switch err := dir.Look(e.Name()); {
		case ownOnly && err != nil: // another user's job
		case errors.Is(err, safefile.ErrOwner):
			stray.Foreign = append(stray.Foreign, e.Name())
		case err == nil && (!own || s.owns(dir, e.Name())):
			stray.Names = append(stray.Names, e.Name())
		}
	}
	return stray
}

// owns tells whether a checkpoint of dls is of this account.
func (s Search) owns(dir *safefile.Dir, name string) bool {
	data, _, err := dir.Read(name, 256<<20)
	var cp struct {
		IKey string `json:"ikey"`
	}
	return err == nil && json.Unmarshal(data, &cp) == nil && cp.IKey == s.IKey
}

// stream tells whose checkpoint a file would be by its name, and whether it is one
// of dls.
func stream(name string) (id state.ID, own, ok bool) {
	prefix, rest, found := strings.Cut(name, "_checkpoint")
	if !found {
		return state.ID{}, false, false
	}
	if account, json := strings.CutSuffix(rest, ".json"); json {
		account, ok = accountOf(account)
		return state.ID{Endpoint: prefix, Account: account}, true, ok && duo.Named(prefix) != nil
	}
	rest, data := strings.CutPrefix(rest, "_data")
	account, text := strings.CutSuffix(rest, ".txt")
	account, ok = accountOf(account)
	if prefix == "authlog" { // in version 1.0
		prefix = "auth"
	}
	return state.ID{Endpoint: prefix, Account: account}, false, ok && data && text && duo.Named(prefix) != nil
}

// accountOf reads "" or "_" and an account's id.
func accountOf(s string) (account string, ok bool) {
	if s == "" {
		return "", true
	}
	account, ok = strings.CutPrefix(s, "_")
	foreign := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return account, ok && account != "" && !strings.ContainsFunc(account, foreign)
}

// BeginError is a first run that would send again what checkpoints elsewhere say is
// delivered.
type BeginError struct {
	// Dir is the directory of checkpoints in use.
	Dir string
	// Strays have at least one name.
	Strays []Stray
}

// Begins returns a [*BeginError] where one of the strays has a file of this user's
// or root's, else nil.
func Begins(dir string, strays []Stray) error {
	strays = slices.DeleteFunc(slices.Clone(strays), func(s Stray) bool { return len(s.Names) == 0 })
	if len(strays) == 0 {
		return nil
	}
	return &BeginError{dir, strays}
}

// Error says where the checkpoints lie.
func (e *BeginError) Error() string {
	places := make([]string, len(e.Strays))
	for i, s := range e.Strays {
		places[i] = fmt.Sprintf("%s in %q", enumerate(s.Names), s.Dir)
	}
	return fmt.Sprintf("there is no checkpoint in %q, but %s: a run that begins at dls_settings.api.offset sends again what they say is delivered", e.Dir, strings.Join(places, " and "))
}

// Hint has the command that moves them, or says how to go on where they are.
func (e *BeginError) Hint() string {
	if strings.HasPrefix(e.Dir, "s3://") { // dls's own files are in a bucket what they are in a directory
		return fmt.Sprintf("go on from them: run dls once with dls_settings.checkpointing.directory %q, and copy the files *_checkpoint*.json and *_ledger*.bin of it into the bucket (aws s3 cp); or begin anew on purpose, with --begin", e.Strays[0].Dir)
	}
	if first := e.Strays[0].Dir; slices.Contains(Places(), e.Dir) && !slices.Contains(Places(), first) {
		// What lasts is not moved to where nothing does: no directory was named.
		return fmt.Sprintf("go on from them: name %[1]q in dls_settings.checkpointing.directory, or run dls as its job is, with STATE_DIRECTORY=%[1]s; or begin anew on purpose, with --begin", first)
	}
	return fmt.Sprintf("go on from them: %s; or begin anew on purpose, with --begin", e.Move())
}

// Move is the command that moves the checkpoints into the directory in use.
func (e *BeginError) Move() string {
	if runtime.GOOS == "windows" {
		var commands []string
		for _, s := range e.Strays {
			for _, name := range s.along() {
				commands = append(commands, fmt.Sprintf(`move "%s" "%s"`, filepath.Join(s.Dir, name), e.Dir))
			}
		}
		return strings.Join(commands, " & ")
	}
	command := "mv"
	if _, err := os.Stat(e.Dir); err != nil {
		command = "install -d -m 700 " + shell(e.Dir) + " && mv"
	}
	for _, s := range e.Strays {
		for _, name := range s.along() {
			if strings.HasPrefix(name, "*") {
				command += " " + shell(s.Dir) + "/" + name
				continue
			}
			command += " " + shell(filepath.Join(s.Dir, name))
		}
	}
	return command + " " + shell(e.Dir) + "/"
}

// Note says of files that belong to somebody else that they are left alone, or is
// "".
func (s Stray) Note() string {
	if len(s.Foreign) == 0 {
		return ""
	}
	return fmt.Sprintf("%s in %q is another user's and is not looked at", enumerate(s.Foreign), s.Dir)
}

// maxNames is how many names a message has.
const maxNames = 8

// along are the names of the checkpoints to move, each of dls's own with that of its
// ledger; or patterns for too many of them.
func (s Stray) along() (names []string) {
	ledgers := false
	for _, name := range s.Names {
		names = append(names, name)
		stem, own := strings.CutSuffix(strings.Replace(name, "_checkpoint", "_ledger", 1), ".json")
		if _, err := os.Stat(filepath.Join(s.Dir, stem+".bin")); own && err == nil {
			names, ledgers = append(names, stem+".bin"), true
		}
	}
	if len(s.Names) <= maxNames {
		return names
	}
	names = []string{"*_checkpoint*"}
	if ledgers {
		names = append(names, "*_ledger*")
	}
	return names
}

func enumerate(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}

// shell quotes a text for a shell where it needs that.
func shell(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
