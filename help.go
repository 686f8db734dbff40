package main

// The examples at the end of each command's --help. Indented lines stay as they
// are.

func (syncCommand) Help() string {
	return `Examples:

    dls /etc/dls/config.yml
    dls sync --verbose --endpoint auth,activity config.yml
    dls sync --dry-run config.yml
    dls sync --max-runtime 50m --metrics-file /var/lib/node_exporter/dls.prom config.yml

It exits with 0 when everything fetched is confirmed, 1 when no stream got
through, 2 for a usage or configuration error, 3 when some streams failed, 75
when another run holds the lock.`
}

func (pullCommand) Help() string {
	return `Examples:

    dls pull config.yml --endpoint auth --since 24h
    dls pull config.yml --since 2026-11-20 --until 2026-11-21 --server siem
    dls pull config.yml --endpoint activity --since 7d --format csv -o activity.csv
    dls pull config.yml --since 1795161600000 --until 1795165200000 > incident.json

Days begin at midnight UTC. Without servers in the configuration the endpoints
of its mappings are fetched, or all of them. With -o the file is replaced only
by a whole one; what came of a pull that failed is in FILE.partial.`
}

func (auditCommand) Help() string {
	return `Examples:

    dls audit config.yml --since 7d
    dls audit config.yml --since 24h --against export.json
    dls audit config.yml --since 2026-11-01 --until 2026-12-01 --against siem-*.json.gz
    splunk search '...' -output rawdata | dls audit config.yml --since 7d --against -
    dls audit config.yml --since 7d --against export.csv --missing missing.ndjson --resend siem

A record is found where its id and its own time stand in one whole line. It
exits with 0 when all is found, 1 when something is missing, 2 for a usage or
configuration error, 3 when some streams could not be read.`
}

func (checkCommand) Help() string {
	return `Examples:

    dls check /etc/dls/config.yml
    dls check --offline config.yml

It sends no record and moves no checkpoint. It exits with 0 when all is well, 1
when something failed, 2 for an error in the configuration.`
}

func (statusCommand) Help() string {
	return `Examples:

    dls status /etc/dls/config.yml
    dls status --max-lag 1h config.yml
    dls status --json config.yml | jq .
    dls status --html /var/www/html/dls.html config.yml

It needs no network. It exits with 0 when all could be read (and nothing is
behind --max-lag), 1 when not, or when the checkpoints lie elsewhere, 2 for an
error in the configuration or the directory.`
}

func (upgradeCommand) Help() string {
	return `Examples:

    dls upgrade-config old.yml config.yml
    dls upgrade-config old.yml -

What the new file still needs is said on stderr; it is written all the same.`
}

func (scheduleCommand) Help() string {
	return `Examples:

    dls schedule /etc/dls/config.yml systemd
    dls schedule /etc/dls/config.yml cron --every 15m
    dls schedule /etc/dls/config.yml systemd --audit

The definition goes to the standard output; its first lines say how to install
it.`
}

func (demoCommand) Help() string {
	return `Examples:

    dls demo
    dls demo --server siem config.yml

The simulated Duo and the receiver listen on loopback only. With --server the
records go to a receiver of your own; the account of its configuration is not
used, and may be empty.`
}

func (simulateCommand) Help() string {
	return `Examples:

    dls simulate
    dls simulate config.yml --accounts 20 --records 60 --late 5
    dls simulate --limit 10 --latency 2s --fault 429,502,cut --directory ./sim

It writes a configuration for the simulated Duo, and says where. With a
configuration of your own, records go to its receivers; its account is not used,
and may be empty.`
}

func (completionCommand) Help() string {
	return `Examples:

    dls completion bash > /etc/bash_completion.d/dls
    dls completion zsh > "${fpath[1]}/_dls"
    dls completion fish > ~/.config/fish/completions/dls.fish`
}
