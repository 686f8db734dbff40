package cef

import "dls/job/record"

// Mapping tells where the parts of an endpoint's CEF lines come from. It is never
// changed and safe for concurrent use.
type Mapping struct {
	signature source // header: signature id (device event class id)
	name      source // header: name
	fields    []field
	id        source // externalId

	paths *record.Paths // of all sources
}

// For returns the mapping of an endpoint, or nil when it has none: Trust Monitor
// speaks JSON only.
func For(name string) *Mapping { return mappings[name] }

// source is where a text comes from: the first of the paths, see [record.Paths], that
// leads to a value, or else the text.
type source struct {
	paths []string
	text  string

	slots []int // the paths' values, by number
}

func from(paths ...string) source { return source{paths: paths} }
func text(s string) source        { return source{text: s} }

// or adds a text for when no path leads to a value.
func (s source) or(text string) source {
	s.text = text
	return s
}

// field is a field of the extension. Without a value it is left out, label
// included; the numbers of custom strings stay as they are.
type field struct {
	key   string // as in the standard's dictionary
	label string // what a custom string holds; its key is then csN
	source
	isTime    bool // written as milliseconds since the epoch
	isAddress bool // written as an address, or under another key

	lead  string // what stands before the value
	limit int
}

// The mappings are those of duologsync, except that paths name the fields that
// Duo's v2 logs have (https://duo.com/docs/adminapi#logs), and that the texts
// stand where duologsync writes the key eventtype, which Duo's records lack.
var mappings = compile(map[string]*Mapping{
	"auth": {
		signature: text("authentication"),
		name:      text("authentication"),
		fields: []field{
			{key: "dhost", source: from("access_device.hostname")},
			{key: "src", source: from("access_device.ip"), isAddress: true},
			{key: "cs1", label: "integration", source: from("application.name")},
			{key: "cs2", label: "event_type", source: from("event_type")},
			{key: "cs3", label: "factor", source: from("factor")},
			{key: "outcome", source: from("result")},
			{key: "rt", source: from("isotimestamp", "timestamp"), isTime: true},
			{key: "duser", source: from("user.name")},
		},
		id: from("txid"),
	},
	"telephony": {
		signature: text("telephony"),
		name:      text("telephony"),
		fields: []field{
			{key: "cs1", label: "context", source: from("context")},
			{key: "cs2", label: "credits", source: from("credits")},
			{key: "cs3", label: "event_type", source: text("telephony")},
			{key: "cs4", label: "phone", source: from("phone")},
			{key: "rt", source: from("ts", "isotimestamp", "timestamp"), isTime: true},
			{key: "cs5", label: "type", source: from("type")},
		},
		id: from("telephony_id"),
	},
	"adminaction": {
		signature: text("administrator"),
		name:      from("action").or("administrator"),
		fields: []field{
			{key: "cs1", label: "action", source: from("action")},
			{key: "msg", source: from("description")},
			{key: "cs2", label: "event_type", source: text("administrator")},
			{key: "cs3", label: "object", source: from("object")},
			{key: "rt", source: from("timestamp", "isotimestamp"), isTime: true},
			{key: "cs4", label: "type", source: from("type")},
			{key: "suser", source: from("username")},
		},
	},
	"activity": {
		signature: from("action_extended.name", "action.name", "action").or("activity"),
		name:      from("actor.type").or("activity"),
		fields: []field{
			{key: "src", source: from("access_device.ip.address", "access_device.ip"), isAddress: true},
			{key: "act", source: from("action.name", "action")},
			{key: "suser", source: from("actor.name")},
			{key: "rt", source: from("ts"), isTime: true},
			{key: "msg", source: from("target.details")},
			{key: "outcome", source: from("outcome.result", "outcome")},
			{key: "cs1", label: "integration_name", source: from("application.name")},
			{key: "cs2", label: "integration_type", source: from("application.type")},
		},
		id: from("activity_id"),
	},
})

// Lengths in characters, from the standard's dictionary of fields. RFC 1035 has
// that of a host name.
const (
	maxHost         = 255
	maxVersion      = 31
	maxSignature    = 1023
	maxName         = 512
	maxExternalID   = 40
	maxCustomString = 4000
)

var limits = map[string]int{
	"act":     63,
	"dhost":   1023,
	"duser":   1023,
	"msg":     1023,
	"outcome": 63,
	// The longest address, or host name in its place.
	"src":   maxHost,
	"suser": 1023,
	"cs1":   maxCustomString,
	"cs2":   maxCustomString,
	"cs3":   maxCustomString,
	"cs4":   maxCustomString,
	"cs5":   maxCustomString,
}

// compile completes the mappings of the table.
func compile(table map[string]*Mapping) map[string]*Mapping {
	for _, m := range table {
		m.compile()
	}
	return table
}

func (m *Mapping) compile() {
	sources := []*source{&m.signature, &m.name, &m.id}
	for i := range m.fields {
		f := &m.fields[i]
		f.lead = f.key + "="
		if f.label != "" {
			f.lead = f.key + "Label=" + f.label + " " + f.lead
		}
		f.limit = limits[f.key]
		sources = append(sources, &f.source)
	}
	var paths []string
	for _, s := range sources {
		paths = append(paths, s.paths...)
	}
	m.paths = record.NewPaths(paths...)
	for _, s := range sources {
		for _, path := range s.paths {
			s.slots = append(s.slots, m.paths.Slot(path))
		}
	}
}
