#!/bin/bash
# Shows the product at work until Ctrl-C: reference manager, private message bus, daemon with its hands, enrolment, heartbeats.
#   tests/run/demo.sh            this machine
#   tests/run/demo.sh dgx-a100   a simulated host
#   tests/run/demo.sh x.tar.gz   a real host, from gpuhostctl debug snapshot
set -eu
# The front is another user, who reads what is written here.
umask 022
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

host=${1:-}
bin=${CARGO_TARGET_DIR:-target}/debug
kept=${DEMO_OUT:-out/run}
readonly START_DEADLINE_S=60 STOP_DEADLINE_S=10

# Sockets and state live in a short path that the daemon's own user can reach too; only logs stay in out/.
live=$(mktemp -d "${TMPDIR:-/tmp}/gpuhostd-run.XXXXXX")
chmod 0755 "$live"
bus=unix:path=$live/bus
started=()

say() { printf '\n== %s\n' "$*"; }

# Starts a program in a session of its own, so that Ctrl-C reaches only this script, which then stops all in order; the
# kernel ends the program should this script be killed.
start() {
    setsid setpriv --pdeathsig TERM -- "$@" </dev/null &
    started+=($!)
}

running() { kill -0 "$1" 2>/dev/null; }

stop_all() {
    trap '' INT TERM
    local index pid deadline
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do
        pid=${started[index]}
        kill -TERM "$pid" 2>/dev/null || true
        deadline=$((SECONDS + STOP_DEADLINE_S))
        while running "$pid"; do
            if ((SECONDS >= deadline)); then
                echo "process $pid did not end within $STOP_DEADLINE_S s after SIGTERM: killing it" >&2
                kill -KILL "$pid" 2>/dev/null || true
                break
            fi
            sleep 0.05
        done
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$live"
}

ended=0
on_signal() {
    ended=1
    exit 0
}

on_exit() {
    local status=$?
    stop_all
    if ((ended)); then
        printf '\nStopped; nothing is left running. Logs are in %s.\n' "$kept"
    elif ((status)); then
        printf '\nThe last lines of the logs in %s:\n' "$kept" >&2
        tail -n 15 "$kept"/*.log >&2 2>/dev/null || true
    fi
    exit "$status"
}
trap on_exit EXIT
trap on_signal INT TERM HUP

# Waits until a command succeeds; gives up when the named process has ended or the time is over.
await() {
    local what=$1 pid=$2 deadline=$((SECONDS + START_DEADLINE_S))
    shift 2
    until "$@" >/dev/null 2>&1; do
        running "$pid" || { echo "$what: the process ended before it was ready" >&2; return 1; }
        ((SECONDS < deadline)) || { echo "$what: not ready within $START_DEADLINE_S s" >&2; return 1; }
        sleep 0.1
    done
}

build() {
    local programs
    programs=$(sed 's/ .*//; s/^/-p /' packaging/programs)
    [ -z "$host" ] || programs="-p gpuhostd-sim -p gpuhostctl"
    say "Building (dev profile: quick to build; packages are built with the release profile)"
    # shellcheck disable=SC2086 # words on purpose
    cargo build --quiet --locked $programs -p manager
}

start_manager() {
    start "$bin/reference-manager" --listen 127.0.0.1:0 --state "$live/manager" \
        --token-file "$live/token" --ca-file "$live/ca.pem" --dump-last "$live/last-heartbeat.json" >"$kept/manager.log" 2>&1
    manager=${started[-1]}
    await "reference manager" "$manager" grep -q 'listening on https://' "$kept/manager.log"
    url=$(grep -o 'https://[^ ]*' "$kept/manager.log" | head -1)
}

start_bus() {
    cat >"$live/bus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>$bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_type="method_return"/>
    <allow send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
END
    start dbus-daemon --nofork --nopidfile --nosyslog --config-file="$live/bus.conf" >"$kept/bus.log" 2>&1
    await "message bus" "${started[-1]}" test -S "$live/bus"
}

# Where the caller is not root nobody may enrol over the bus without polkit, so the daemon finds the token in its settings.
write_settings() {
    : >"$live/config.toml"
    [ "$(id -u)" = 0 ] || cat >"$live/config.toml" <<END
[manager]
urls = ["$url"]
ca_file = "$live/ca.pem"
enrolment_token_file = "$live/token"
END
}

start_daemon() {
    write_settings
    mkdir -p "$live/state" "$live/run"
    local common=(--bus "$bus" --state "$live/state" --run "$live/run" --config "$live/config.toml")
    if [ -n "$host" ]; then
        start "$bin/gpuhostd-sim" --host "$host" "${common[@]}" >"$kept/gpuhostd.log" 2>&1
    else
        start "$bin/gpuhostd" --with-hands "${common[@]}" >"$kept/gpuhostd.log" 2>&1
    fi
    daemon=${started[-1]}
    await "gpuhostd" "$daemon" ctl status
}

ctl() { "$bin/gpuhostctl" --bus "$bus" "$@"; }

enrol() {
    if [ "$(id -u)" = 0 ]; then
        say "gpuhostctl enroll $url --token-file ... --ca-file ..."
        ctl enroll "$url" --token-file "$live/token" --ca-file "$live/ca.pem"
    else
        say "Enrolling with $url by the token file named in the settings"
    fi
    await "first heartbeat" "$manager" grep -q '^heartbeat accepted' "$kept/manager.log"
}

# Lists longer than three are cut after the second, so that the shape of a heartbeat fits a screen.
show_heartbeat() {
    await "last heartbeat" "$manager" test -s "$live/last-heartbeat.json"
    cp "$live/last-heartbeat.json" "$kept/first-heartbeat.json"
    jq 'walk(if type == "array" and length > 3 then .[:2] + ["... and \(length - 2) more"] else . end)' \
        "$kept/first-heartbeat.json"
}

rm -rf "$kept"
mkdir -p "$kept"
build
start_manager
start_bus
start_daemon
enrol
say "gpuhostctl status"
ctl status
say "gpuhostctl gpus"
ctl gpus
say "The heartbeat that the manager received (whole: $kept/first-heartbeat.json)"
show_heartbeat
say "Heartbeats, until Ctrl-C (bus address for gpuhostctl --bus or busctl --address=: $bus)"
start tail -n +1 --follow "$kept/manager.log" --pid="$manager"
wait -n "$daemon" "$manager" || true
echo "A part of it ended by itself." >&2
exit 1
