#!/bin/bash
# security-scores.sh: prints the exposure score of each unit (systemd-analyze, offline) and fails where one is over its limit, or where a
# unit does not bound what it takes of the host.
set -euo pipefail
cd "$(dirname "$0")/../../systemd"
failed=0
while read -r unit most; do
    line=$(systemd-analyze security --offline=true --no-pager "$PWD/$unit" | grep 'Overall exposure level')
    score=$(sed -E 's/.*: ([0-9.]+) .*/\1/' <<<"$line")
    verdict=ok
    awk -v score="$score" -v most="$most" 'BEGIN { exit !(score <= most) }' || { verdict=OVER; failed=1; }
    printf '%-30s %4s (at most %s) %s\n' "$unit" "$score" "$most" "$verdict"
done <<'UNITS'
gpuhostd.service 1.5
gpuhostd-host.service 1.3
gpuhostd-containers.service 0.8
gpuhostd-holders.service 2.0
gpuhostd-mig.service 2.0
gpuhostd-mig-mode.service 2.0
gpuhostd-mig-monitor.service 1.2
UNITS
for unit in *.service; do
    for key in TasksMax MemoryMax CPUWeight IOWeight; do
        grep -q "^$key=" "$unit" || { echo "$unit has no $key="; failed=1; }
    done
done
exit "$failed"
