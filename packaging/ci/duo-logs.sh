#!/bin/sh
# Fetches what Duo has of the last hours into files, for a CI job to keep or to look through. It moves no checkpoint and
# delivers to nobody. From the environment:
#
#   DLS_SKEY, DLS_SKEY_FILE  the secret key, or the file that holds it
#   DLS_CONFIG               the configuration, without the secret key (duo-logs.yml)
#   DLS_SINCE                how far back (24h)
#   DLS_ENDPOINTS            which logs, with commas (auth,activity)
#   DLS_OUT                  the folder for the files (duo-logs)
#   DLS_ALLOW_EMPTY          if set, a time of which Duo has no record is fine. Else it fails the job: a whole day without
#                            an authentication more often means a mistake than a holiday
#
# The files: records.ndjson.gz, each record as Duo gave it; denied.csv; summary.txt. What could be fetched is there even
# when the job fails; the exit code is that of dls pull.
set -eu

DLS_CONFIG=${DLS_CONFIG:-duo-logs.yml}
out=${DLS_OUT:-duo-logs}
if [ -n "${DLS_SKEY_FILE:-}" ]; then
	DLS_SKEY=$(cat "$DLS_SKEY_FILE")
	export DLS_SKEY
fi
PATH=$PWD/.dls:$PATH

umask 077
mkdir -p "$out"
records=$out/records.ndjson
set -- "$DLS_CONFIG" --since "${DLS_SINCE:-24h}" --endpoint "${DLS_ENDPOINTS:-auth,activity}"
[ -n "${DLS_ALLOW_EMPTY:-}" ] || set -- "$@" --fail-empty
code=0
dls pull "$@" >"$records" || code=$?

# Who was refused, and why: time, user, application, reason, address. A name that a spreadsheet would take for a formula
# gets an apostrophe: anybody may have typed it. A fetch that failed may have left half a record.
jq --raw-output 'select(.event_type == "authentication" and .result != "success")
	| [.isotimestamp, .user.name, .application.name, .result, .reason, .access_device.ip]
	| map(if type == "string" and test("^\\s*[-=+@]") then "\u0027" + . else . end)
	| @csv' "$records" >"$out/denied.csv" || [ "$code" -ne 0 ]

# How many of what, the most frequent first.
jq --raw-output '[.event_type // .action.name? // .action // .context // "other", .result // .outcome.result? // "-"] | @tsv' "$records" |
	sort | uniq -c | sort -rn >"$out/summary.txt"

# One user's day: jq 'select(.user.name == "alice")'
# A new country:  jq --raw-output '.access_device.location.country // empty' | sort | uniq -c
# Administrators: jq 'select(.action.name? // "" | startswith("admin"))'

gzip -9 -f "$records"
cat "$out/summary.txt"
exit "$code"
