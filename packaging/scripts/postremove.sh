#!/bin/sh
# After files went. Configurations and checkpoints are not the package's: both stay, even when it is purged, as the
# one without the other would deliver everything again. The program's logs go with a purge.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

if [ "$1" = purge ]; then
	rm -rf /var/log/dls
	if [ -d /var/lib/dls ]; then
		echo "dls: the checkpoints in /var/lib/dls and the configurations in /etc/dls stay. To delete them: rm -r /var/lib/dls /etc/dls"
	fi
fi
