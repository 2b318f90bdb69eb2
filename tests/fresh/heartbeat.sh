#!/bin/bash
# heartbeat.sh [HOST=name]: runs `make run` until the manager has accepted a heartbeat, ends it as Ctrl-C does, and looks whether
# anything was left running. Fails where no heartbeat comes in SECONDS_AT_MOST, the build included.
set -euo pipefail
SECONDS_AT_MOST=${SECONDS_AT_MOST:-1800}
cd "$(dirname "$0")/../.."
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

fail() {
    tail -n 60 "$LOG" >&2
    echo "make run $*" >&2
    exit 1
}

# Process id and name of each that is of ours.
ours() { grep -sE '^(gpuhostd|gpuhostd-sim|reference-manage|dbus-daemon)$' /proc/[0-9]*/comm || true; }

before=$(ours)
# In the background of a script Ctrl-C is ignored, and the terminal would send it to the whole group.
env --default-signal=INT setsid make run "$@" >"$LOG" 2>&1 </dev/null &
run=$!
until grep -q '^heartbeat accepted' "$LOG"; do
    kill -0 "$run" 2>/dev/null || fail "$* ended before its first heartbeat"
    [ "$SECONDS" -lt "$SECONDS_AT_MOST" ] || { kill -KILL -- "-$run"; fail "$*: no heartbeat was accepted in $SECONDS s"; }
    sleep 0.2
done
kill -INT -- "-$run"
wait "$run" || true
grep -q 'nothing is left running' "$LOG" || fail "$* did not end by Ctrl-C as it should"
[ "$(ours)" = "$before" ] || fail "$* left running: $(ours)"
# Without the heartbeat itself, which fills pages.
sed '/^== The heartbeat/,/^== Heartbeats/d' "$LOG"
printf 'make run %s: a heartbeat was accepted, and it ended by Ctrl-C, after %d s\n' "$*" "$SECONDS"
