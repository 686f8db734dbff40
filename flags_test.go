package main

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1d": day, "7d": 7 * day, "1d12h": 36 * time.Hour, "0d": 0, "2d0.5h": 2*day + 30*time.Minute,
	} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "-1d", "1d-1h", "1d+1h", "+1h", "1", "1.5d", "1dd", "1d1d", "1w", "99999d", "1h1d", " 1h", "1d 1h", "106000d9999999h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"24h": "2026-11-23T12:30:00Z", "1d12h": "2026-11-23T00:30:00Z", "7d": "2026-11-17T12:30:00Z", "0s": "2026-11-24T12:30:00Z",
		"2026-11-20": "2026-11-20T00:00:00Z", "2026-11-20T08:00": "2026-11-20T08:00:00Z", "2026-11-20 08:00": "2026-11-20T08:00:00Z",
		"2026-11-20T08:00:30": "2026-11-20T08:00:30Z", "2026-11-20 08:00:30": "2026-11-20T08:00:30Z",
		"2026-11-20T08:00Z": "2026-11-20T08:00:00Z", "2026-11-20T08:00+02:00": "2026-11-20T06:00:00Z", "2026-11-20T08:00:30.5-01:00": "2026-11-20T09:00:30.5Z",
		"1795161600": "2026-11-20T08:00:00Z", "1795161600123": "2026-11-20T08:00:00.123Z",
	} {
		if got, err := parseTime(text, now); err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %v, %v; want %s", text, got.UTC(), err, want)
		}
	}
	for _, text := range []string{"", "0", "yesterday", "24", "179516160", "17951616001", "-1h", "2026-11-31", "08:00", "2026-11-20T08"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"sync", "pull", "check", "status", "upgrade-config", "schedule", "demo", "simulate", "completion", "version", "help", "man"}
	for word, want := range map[string]string{
		"snyc": "sync", "syn": "sync", "stauts": "status", "stat": "status", "chekc": "check", "upgrade": "upgrade-config", "upgradeconfig": "upgrade-config",
		"demp": "demo", "hlep": "help", "puul": "pull", "foo": "", "run": "", "config": "", "x": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
