package job_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/job/config"
)

// simFile is a scenario's configuration file, as its user writes it.
type simFile struct {
	spare []string // servers to which no endpoint is mapped, as they stand there
	first bool     // before the others
	wrong string   // an overlap that no run can have, which is tried first, or ""
}

// drawFile draws what a configuration file has beside what the runs are about.
func (sc *scenario) drawFile() (f simFile) {
	d := dicing(sc.seed, "file")
	f = simFile{first: d.oneIn(2)}
	for i := range pick(d, 0, 0, 1, 2) {
		f.spare = append(f.spare, fmt.Sprintf("{id: 'spare%d', hostname: 'localhost', port: %d, protocol: '%s'%s}",
			i, 2000+i, pick(d, "UDP", "UDP", "TCP", "RELP"), pick(d, "", ", max_record_bytes: 2000")))
	}
	if d.oneIn(8) {
		f.wrong = pick(d, "1441", "43200", "259200", "-1", "-0.5", "1.0e+9", ".inf", "soon")
	}
	return f
}

// text writes the file, with an overlap in minutes.
func (f *simFile) text(sim *simulation, overlap string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("version: '1.0.0'")
	say("dls_settings:")
	say("  log_format: '%s'", map[bool]string{false: "JSON", true: "CEF"}[sim.cef != nil])
	if sim.audit {
		say("  audit: daily")
	}
	say("  api: {offset: %s, overlap: %s, timeout: 120}", strconv.FormatFloat(sim.offset.Hours()/24, 'f', -1, 64), overlap)
	say("  checkpointing: {enabled: %v, directory: '/state'}", sim.forgetful == nil)
	say("servers:")
	var servers []string
	for i, s := range sim.scenario.servers {
		servers = append(servers, fmt.Sprintf("{id: '%s', hostname: 'localhost', port: %d, protocol: '%s'}", s.id, 1024+i, s.protocol))
	}
	all := slices.Concat(servers, f.spare)
	if f.first {
		all = slices.Concat(f.spare, servers)
	}
	for _, server := range all {
		say("  - %s", server)
	}
	say("account:")
	say("  ikey: '%s'\n  skey: '%s'\n  hostname: '%s'\n  is_msp: %v", ikey, skey, simHost, sim.msp)
	say("  endpoint_server_mappings:")
	for i, s := range sim.scenario.servers {
		var names []string
		for _, stream := range sim.streams {
			if slices.Contains(stream.servers, i) && !slices.Contains(names, stream.endpoint.Name) {
				names = append(names, stream.endpoint.Name)
			}
		}
		if len(names) > 0 {
			say("    - {server: '%s', endpoints: [%s]}", s.id, strings.Join(names, ", "))
		}
	}
	return b.String()
}

// config is the configuration of a run, as dls reads its file.
func (sim *simulation) config(r *simRun) *config.Config {
	text := sim.file.text(sim, strconv.FormatFloat(r.overlap.Minutes(), 'f', -1, 64))
	cfg, err := config.Parse("dls.yml", []byte(text), config.Env{})
	if err != nil {
		panic(fmt.Sprintf("seed %d: %v in\n%s", sim.seed, err, text))
	}
	if cfg.Overlap != r.overlap || (cfg.Offset-sim.offset).Abs() > time.Millisecond {
		sim.violate("the file says an overlap of %v and an offset of %v, and dls reads %v and %v", r.overlap, sim.offset, cfg.Overlap, cfg.Offset)
	}
	for i, route := range cfg.Routes {
		for _, s := range sim.streams {
			if s.endpoint.Name == route.Endpoint.Name {
				cfg.Routes[i].Endpoint = s.endpoint // with pages of the scenario's
			}
		}
	}
	return cfg
}

// misread checks that a file with an overlap beyond a day, which nobody can remember, is
// refused, and that dls says which line it is and what may stand there.
func (sim *simulation) misread() {
	if sim.file.wrong == "" {
		return
	}
	_, err := config.Parse("dls.yml", []byte(sim.file.text(sim, sim.file.wrong)), config.Env{})
	sim.refused("an overlap of "+sim.file.wrong+" minutes", err, "dls_settings.api.overlap")
}

// refused checks that dls refuses a file for one of these keys, the first among them, and
// returns what it says.
func (sim *simulation) refused(what string, err error, keys ...string) (said string) {
	wrong, ok := errors.AsType[*config.Errors](err)
	if !ok || !slices.ContainsFunc(wrong.List, func(e *config.Error) bool { return e.Key == keys[0] }) {
		sim.violate("%s is not refused by its key: %v", what, err)
		return ""
	}
	for _, e := range wrong.List {
		if !slices.Contains(keys, e.Key) || e.Line == 0 {
			sim.violate("%s is refused for something else: %v", what, e)
		}
	}
	sim.say("dls refuses %s: %v", what, err)
	return err.Error()
}
