package cef_test

// Records in the shape of Duo's logs, with nothing special in them.
const (
	authRecord = `{"access_device": {"browser": "Firefox", "browser_version": "133.0", "epkey": "EP0EXAMPLE0EXAMPLE0A", "flash_version": "uninstalled", "hostname": "laptop-7", "ip": "192.0.2.10", "is_encryption_enabled": true, "is_firewall_enabled": true, "is_password_set": "unknown", "java_version": "uninstalled", "location": {"city": "Bonn", "country": "Germany", "state": "North Rhine-Westphalia"}, "os": "Windows", "os_version": "11", "security_agents": [{"security_agent": "Example Defender", "version": "4.18"}]}, "adaptive_trust_assessments": {"remember_me": {"features_version": "3.0", "model_version": "2026.01.01.001", "policy_enabled": false, "reason": "Nothing unusual about this sign-in was found", "trust_level": "NORMAL"}}, "alias": "unknown", "application": {"key": "DI0EXAMPLE0EXAMPLE0A", "name": "Example VPN gateway"}, "auth_device": {"ip": "198.51.100.20", "key": "DP0EXAMPLE0EXAMPLE0A", "location": {"city": "Bonn", "country": "Germany", "state": "North Rhine-Westphalia"}, "name": "Phone of Ada (555-0100)"}, "email": "ada@example.com", "event_type": "authentication", "factor": "duo_push", "isotimestamp": "2026-03-04T05:06:07.089123+00:00", "ood_software": null, "reason": "user_approved", "result": "success", "timestamp": 1772600767, "trusted_endpoint_status": "not trusted", "txid": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "user": {"groups": ["Example staff", "Example VPN users"], "key": "DU0EXAMPLE0EXAMPLE0A", "name": "ada"}}`

	telephonyRecord = `{"context": "authentication", "credits": 1, "phone": "+15550100", "telephony_id": "11111111-2222-3333-4444-555555555555", "ts": "2026-03-04T05:06:07.089123+00:00", "txid": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "type": "sms"}`

	adminactionRecord = `{"action": "user_update", "description": "{\"realname\": \"Ada L.\"}", "isotimestamp": "2026-03-04T05:06:07+00:00", "object": "ada", "timestamp": 1772600767, "username": "Grace"}`

	activityRecord = `{"access_device": {"browser": "Firefox", "browser_version": "133.0", "ip": {"address": "192.0.2.10"}, "location": {"city": "Bonn", "country": "Germany", "state": "North Rhine-Westphalia"}, "os": "Windows", "os_version": "11"}, "action": {"details": null, "name": "admin_login"}, "activity_id": "66666666-7777-8888-9999-000000000000", "actor": {"details": "{\"role\": \"Owner\"}", "key": "DE0EXAMPLE0EXAMPLE0A", "name": "Grace", "type": "admin"}, "akey": "DA0EXAMPLE0EXAMPLE0A", "application": {"key": "DI0EXAMPLE0EXAMPLE0A", "name": "Example VPN gateway", "type": "rest"}, "old_target": null, "outcome": {"result": "SUCCESS"}, "target": {"details": "{\"status\": \"active\"}", "key": "DU0EXAMPLE0EXAMPLE0A", "name": "ada", "type": "user"}, "ts": "2026-03-04T05:06:07.089123+00:00"}`
)

var records = map[string]string{
	"auth":        authRecord,
	"telephony":   telephonyRecord,
	"adminaction": adminactionRecord,
	"activity":    activityRecord,
}
