package duosim

import "net/http"

// The names of the endpoints.
const (
	Auth         = "auth"         // GET /admin/v2/logs/authentication
	Telephony    = "telephony"    // GET /admin/v2/logs/telephony
	Activity     = "activity"     // GET /admin/v2/logs/activity
	AdminAction  = "adminaction"  // GET /admin/v1/logs/administrator
	TrustMonitor = "trustmonitor" // GET /admin/v1/trust_monitor/events
	AccountList  = "accountlist"  // POST /accounts/v1/account/list
)

// endpoint is what the simulation knows of one endpoint.
type endpoint struct {
	name, method, path string
	// list is the key of the records in the response; empty where the response
	// is the list.
	list string
	// pair tells that next_offset is a pair, not one text.
	pair bool
	// seconds tells that times are whole seconds and that records have no id.
	seconds bool
	serve   func(*Server, *request) (*answer, *failure)
}

var endpoints []*endpoint

func init() { // the rows lead to code that reads the table
	endpoints = []*endpoint{
		{name: Auth, method: http.MethodGet, path: "/admin/v2/logs/authentication", list: "authlogs", pair: true, serve: (*Server).serveLog},
		{name: Telephony, method: http.MethodGet, path: "/admin/v2/logs/telephony", list: "items", serve: (*Server).serveLog},
		{name: Activity, method: http.MethodGet, path: "/admin/v2/logs/activity", list: "items", serve: (*Server).serveLog},
		{name: AdminAction, method: http.MethodGet, path: "/admin/v1/logs/administrator", seconds: true, serve: (*Server).serveAdministrator},
		{name: TrustMonitor, method: http.MethodGet, path: "/admin/v1/trust_monitor/events", list: "events", serve: (*Server).serveTrustMonitor},
		{name: AccountList, method: http.MethodPost, path: "/accounts/v1/account/list", serve: (*Server).serveAccountList},
	}
}

func endpointNamed(name string) *endpoint {
	for _, e := range endpoints {
		if e.name == name {
			return e
		}
	}
	return nil
}

func endpointAt(path string) *endpoint {
	for _, e := range endpoints {
		if e.path == path {
			return e
		}
	}
	return nil
}
