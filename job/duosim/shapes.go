package duosim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// object is a JSON object. Its keys are written in alphabetical order.
type object = map[string]any

// shapes are how the records of each endpoint look: the field that is the id,
// and what makes the i-th template. Times, ids and serial numbers are @@marks@@.
var shapes = map[string]struct {
	id     string
	record func(d dice, i int) object
}{
	Auth:         {"id", authRecord},
	Telephony:    {"id", telephonyRecord},
	Activity:     {"id", activityRecord},
	AdminAction:  {"", administratorRecord},
	TrustMonitor: {"se", trustMonitorRecord},
}

// dice makes the choices in a template.
type dice struct{ *rand.Rand }

// one is true once in n times.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

// pick returns one of its arguments.
func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// key returns a key as Duo makes them, with a prefix of two letters.
func (d dice) key(prefix string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b := []byte(prefix)
	for range 18 {
		b = append(b, alphabet[d.IntN(len(alphabet))])
	}
	return string(b)
}

func (d dice) phone() string { return fmt.Sprintf("+1555%07d", d.IntN(1e7)) }

// person is who does something.
type person struct{ login, name, email string }

func (d dice) person() person {
	p := pick(d,
		person{"mwillow", "Mira Willow", ""},
		person{"t.okafor", "Tobe Okafor", ""},
		person{"jbrandt", "Jürgen Brandt", ""},
		person{"zoé.lacroix", "Zoé Lacroix", ""},
		person{"NORTH\\p.salo", "Päivi Salo", ""},
		person{"佐々木", "佐々木 遥", ""},
		person{"d'arcy", `Rory "Red" D'Arcy`, ""},
		person{"svc-backup", "Backup <service> & co", ""},
		person{"irina🦊", "Ирина Л.", ""},
		person{"quill.ramos", "Quill Ramos", ""},
	)
	p.email = pick(d, "", p.login+"@orchard.example", p.login+"@north.orchard.example")
	return p
}

func (d dice) ip() string {
	a := fmt.Sprintf("203.0.113.%d", d.IntN(256))
	return pick(d, a, a, a, a, fmt.Sprintf("198.51.100.%d", d.IntN(256)), fmt.Sprintf("%s:%d", a, 1024+d.IntN(60000)),
		fmt.Sprintf("2001:db8::%x:%x", d.IntN(65536), d.IntN(65536)), "[2001:db8::7]:5060", "0.0.0.0")
}

func (d dice) location() object {
	where := pick(d,
		[3]any{"Lindau", "Germany", "Bavaria"},
		[3]any{"Grand Rapids", "United States", "Michigan"},
		[3]any{"São Paulo", "Brazil", "São Paulo"},
		[3]any{"Łódź", "Poland", "Łódzkie"},
		[3]any{"-", "-", "-"},
		[3]any{nil, nil, nil},
		[3]any{nil, "Iceland", nil},
	)
	return object{"city": where[0], "country": where[1], "state": where[2]}
}

func authRecord(d dice, i int) object {
	p := d.person()
	device := object{
		"browser":               pick[any](d, "Chrome", "Edge Chromium", "Firefox", "Mobile Safari", nil),
		"browser_version":       fmt.Sprintf("%d.0.%d.%d", 100+d.IntN(40), d.IntN(7000), d.IntN(200)),
		"flash_version":         pick[any](d, "uninstalled", nil),
		"hostname":              pick[any](d, nil, nil, "null", "LT-"+d.key("WS")),
		"ip":                    d.ip(),
		"is_encryption_enabled": pick[any](d, true, false, "unknown"),
		"is_firewall_enabled":   pick[any](d, true, false, "unknown"),
		"is_password_set":       pick[any](d, true, false, "unknown"),
		"java_version":          "uninstalled",
		"location":              d.location(),
		"os":                    pick(d, "Windows", "Mac OS X", "iOS", "Ubuntu"),
		"os_version":            pick(d, "11", "14.6.1", "17.5", "24.04"),
	}
	if !d.one(3) {
		device["epkey"] = d.key("EP")
		device["security_agents"] = pick[any](d, []any{}, nil, "unknown",
			[]any{object{"security_agent": "cisco-amp", "version": "8.4.1.30299"}})
	}
	phone := object{
		"ip":       pick[any](d, nil, d.ip()),
		"key":      d.key("DP"),
		"location": d.location(),
		"name":     pick[any](d, d.phone(), p.name+"'s 📱 ("+d.phone()+")", nil),
	}
	if d.one(8) {
		delete(phone, "key")
	}
	record := object{
		"access_device": device,
		"alias":         pick(d, "", "", "unknown", "alias-"+p.login),
		"application":   object{"key": d.key("DI"), "name": pick(d, "Orchard VPN", `Web "portal" \ staging`, "RDP – Süd", "https://wiki.orchard.example/?a=1&b=<2>")},
		"auth_device":   phone,
		"email":         pick[any](d, p.email, p.email, nil),
		"event_type":    "authentication",
		"factor":        pick[any](d, "duo_push", "duo_push", "phone_call", "sms_passcode", "webauthn_credential", "not_available", nil),
		"isotimestamp":  "@@iso@@",
		"ood_software":  pick[any](d, nil, nil, "", "Chrome"),
		"reason":        pick(d, "user_approved", "user_approved", "valid_passcode", "user_mistake", "no_response", "location_restricted", "user_marked_fraud"),
		"result":        pick(d, "success", "success", "success", "denied", "fraud"),
		"timestamp":     "@@#s@@",
		"txid":          "@@id@@",
		"user": object{
			"groups": pick(d, []string{}, []string{"Orchard staff"}, []string{`Tier "0" admins`, "VPN\\Users", "Ärzte"}),
			"key":    d.key("DU"),
			"name":   p.login,
		},
	}
	if !d.one(4) {
		record["adaptive_trust_assessments"] = pick(d, object{}, object{
			"more_secure_auth": object{
				"detected_attack_detectors": pick[any](d, nil, []string{"NOVEL_ASN"}, []string{"USER_MARKED_FRAUD", "PUSH_HARASSMENT"}),
				"features_version":          "3.0", "model_version": "2022.07.19.001", "policy_enabled": d.one(2),
				"preview_mode_enabled": d.one(2),
				"reason":               "Normal level of trust; no detection of known attack patterns", "trust_level": "NORMAL",
			},
			"remember_me": object{
				"features_version": "3.0", "model_version": "2022.07.19.001", "policy_enabled": false,
				"reason": pick(d, "Known Access IP", "Novel Access IP"), "trust_level": pick(d, "LOW", "NORMAL"),
			},
		})
	}
	if !d.one(4) {
		record["trusted_endpoint_status"] = pick(d, "not trusted", "trusted", "unknown")
		record["passport_assessment"] = object{"is_supported": d.one(2), "reason": "absent_health_report"}
		record["trusted_session_info"] = object{"trusted_session_uuid": "@@id2@@"}
	}
	if d.one(3) {
		record["rbfs_triggered_attacks"] = pick[any](d, nil, []any{object{
			"country_code_access": "DE", "country_code_auth": nil, "detected_occurrences": 1 + d.IntN(9), "detector": "NOVEL_ASN",
			"shadow_mode": false, "suppressed": nil, "threshold_occurrences": 1, "threshold_time_frame": 86400,
			"unrealistic_travel_velocity": json.Number("3360.50"),
		}})
	}
	if d.one(32) {
		device["hostname"] = "bell\u0007 tab\t line\n\u007f\u2028"
	}
	if d.one(16) {
		record["event_type"] = "enrollment"
		record["reason"] = nil
	}
	return record
}

func telephonyRecord(d dice, i int) object {
	return object{
		"context":      pick(d, "authentication", "enrollment", "administrator login", "verify"),
		"credits":      d.IntN(4),
		"phone":        d.phone(),
		"telephony_id": "@@id@@",
		"ts":           "@@iso@@",
		"txid":         "@@id2@@",
		"type":         pick(d, "sms", "phone"),
	}
}

// text returns JSON inside a string, in one of the forms that Duo uses for it.
func (d dice) text(o object) string {
	style := pick(d, Style{}, Style{Spaced: true, ASCII: true})
	return string(style.append(nil, marshal(o)))
}

func (d dice) actor() object {
	p := d.person()
	return object{
		"details": pick[any](d, nil, d.text(object{
			"created": "2023-04-01T08:00:00.000000+00:00", "email": p.email, "groups": nil,
			"last_login": "2025-02-03T04:05:06.000000+00:00", "status": pick[any](d, nil, "Active"),
		})),
		"key":  pick[any](d, d.key("DU"), d.key("DE"), nil),
		"name": pick[any](d, p.name, p.login, nil),
		"type": pick(d, "user", "admin", "api"),
	}
}

func activityRecord(d dice, i int) object {
	record := object{
		"access_device": pick[any](d, nil, object{
			"browser": "Firefox", "browser_version": "128.0", "epkey": d.key("EP"), "ip": object{"address": d.ip()},
			"location": d.location(), "os": "Windows", "os_version": "11",
		}),
		"action": object{
			"details": pick[any](d, nil, d.text(object{"realname": d.person().name, "notes": "line one\nline two – 日本語 🚀", "factor": "webauthn"})),
			"name":    pick(d, "admin_login", "user_update", "webauthncredential_create", "policy_update", "o2fa_user_provisioned", "bypass_create"),
		},
		"activity_id": "@@id@@",
		"actor":       d.actor(),
		"akey":        d.key("DA"),
		"application": pick[any](d, nil, object{"key": d.key("DI"), "name": "Orchard VPN", "type": "websdk"}),
		"old_target":  pick[any](d, nil, nil, d.actor()),
		"outcome":     pick[any](d, nil, object{"result": "SUCCESS"}, object{"result": "FAILURE"}),
		"target":      d.actor(),
		"ts":          "@@iso@@",
	}
	switch i % 16 {
	case 3:
		record["action"] = object{"name": "phone_activation_code_regenerated"}
		delete(record, "outcome")
	case 7:
		delete(record, "access_device")
		delete(record, "application")
	case 11:
		record["action"] = "webauthn_credential_create"
	}
	return record
}

func administratorRecord(d dice, i int) object {
	p := d.person()
	record := object{
		"action": pick(d, "user_update", "admin_login", "policy_create", "bypass_create", "admin_lockout"),
		"description": d.text(object{
			"email": p.email, "ip_address": d.ip(), "realname": p.name, "revision": "@@n@@",
		}),
		"isotimestamp": "@@iso@@",
		"object":       pick[any](d, p.login, nil, "Global Policy"),
		"timestamp":    "@@#s@@",
		"username":     pick(d, p.name, "API (Admin API)", ""),
	}
	switch i % 16 {
	case 2: // without a serial number: two may be equal
		record["description"] = nil
	case 6:
		record["description"] = "Starting activation process no. @@n@@"
	case 10:
		record["description"] = `"message": "locked out after @@n@@ attempts.`
	case 14:
		delete(record, "description")
		delete(record, "object")
	}
	return record
}

func trustMonitorRecord(d dice, i int) object {
	p := d.person()
	record := object{
		"priority_event": d.one(2), "priority_reasons": pick(d, []any{}, []any{object{"label": "DE", "type": "country"}}),
		"sekey": "@@se@@", "state": pick(d, "new", "new", "processed"), "state_updated_timestamp": pick[any](d, nil, json.Number("1700000000123")),
		"surfaced_timestamp": "@@#ms@@", "triaged_as_interesting": d.one(8),
	}
	switch i % 3 {
	case 0:
		record["type"] = "auth"
		record["explanations"] = []object{
			{"summary": p.login + " has not logged in from this location recently.", "type": "NEW_COUNTRY_CODE"},
			{"summary": p.login + " has rarely used this IP.", "type": "UNUSUAL_NETBLOCK"},
		}
		record["from_common_netblock"], record["from_new_user"], record["low_risk_ip"] = d.one(2), d.one(2), d.one(2)
		record["triage_event_uri"] = "https://admin-sim00001.duosecurity.com/trust-monitor?sekey=@@se@@"
		auth := authRecord(d, i)
		auth["event_type"], auth["isotimestamp"] = nil, "@@isoms@@"
		record["surfaced_auth"] = auth
	case 1:
		record["type"] = "bypass_status"
		record["bypass_status_enabled"] = "@@#ms@@"
		record["enabled_by"] = object{"key": d.key("DE"), "name": p.name}
		record["enabled_for"] = object{"key": d.key("DU"), "name": strings.ToLower(p.login)}
	case 2:
		record["type"] = "device_registration"
		record["explanations"] = []object{{"summary": "The registered device runs an out-of-date system.", "type": "REGISTER_OS_OUTDATED"}}
		record["from_new_user"] = d.one(2)
	}
	return record
}
