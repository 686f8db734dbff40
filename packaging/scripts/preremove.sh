#!/bin/sh
# Before files go. On an upgrade timers and runs go on: a run ends by itself, and the next one is the new program's.
# Arguments: Debian "remove" or "upgrade", RPM 0 for the last one, Alpine the version.
set -e

case "$1" in
upgrade | deconfigure | failed-upgrade | 1) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	for link in /etc/systemd/system/timers.target.wants/dls@*.timer; do
		[ -L "$link" ] || continue
		systemctl disable --quiet --now "${link##*/}"
	done
	systemctl stop 'dls@*.timer' 'dls@*.service'
fi
