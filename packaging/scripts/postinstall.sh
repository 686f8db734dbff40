#!/bin/sh
# After unpacking, on Debian, RPM systems and Alpine: the user that the jobs run as. It stays when the package goes,
# so that files which it owned never become another's.
set -e

if ! id -u dls >/dev/null 2>&1; then
	if command -v systemd-sysusers >/dev/null 2>&1; then
		systemd-sysusers dls.conf
	elif command -v useradd >/dev/null 2>&1; then
		useradd --system --user-group --no-create-home --home-dir /var/lib/dls --shell /usr/sbin/nologin \
			--comment "Delivery of Duo's security logs" dls
	else
		addgroup -S dls
		adduser -S -D -H -h /var/lib/dls -s /sbin/nologin -G dls -g "Delivery of Duo's security logs" dls
	fi
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
