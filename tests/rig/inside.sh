#!/bin/bash
# inside.sh: to be sourced by what runs inside the container. Checks with names, a count at the end, and our service's questions.
set -uo pipefail
PASSED=0
FAILED=0
DEB=$(echo /packages/gpuhostd_*.deb)
RPM=$(echo /packages/gpuhostd-[0-9]*.rpm)
export DEBIAN_FRONTEND=noninteractive
UNITS=(gpuhostd.service gpuhostd-host.service gpuhostd-host.socket gpuhostd-holders.service gpuhostd-holders.socket
    gpuhostd-containers.service gpuhostd-containers.socket gpuhostd-mig.service gpuhostd-mig.socket
    gpuhostd-mig-mode.service gpuhostd-mig-mode.socket gpuhostd-mig-monitor.service)

# check WHAT COMMAND…: runs it; its output is shown where it fails.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        PASSED=$((PASSED + 1))
        echo "ok      $what"
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED  %s\n%s\n' "$what" "$said" | sed '2,$s/^/        /'
    fi
}

finish() {
    if [ "$FAILED" -gt 0 ]; then journalctl --no-pager --lines=60 | sed 's/^/        /'; fi
    echo "$1: $PASSED passed, $FAILED failed"
    [ "$FAILED" -eq 0 ]
    exit
}

# within SECONDS COMMAND…: succeeds as soon as the command does.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then "$@"; return 1; fi
        sleep 0.1
    done
}

# faster MILLISECONDS COMMAND…
faster() {
    local most=$1 start took
    shift
    start=$(date +%s%3N)
    "$@" || return 1
    took=$(($(date +%s%3N) - start))
    [ "$took" -le "$most" ] || { echo "it took $took ms, more than $most"; return 1; }
}

apt() { apt-get --quiet --quiet --no-install-recommends "$@"; }
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "it is '$1', expected '$2'"; return 1; }; }
property() { systemctl show --property "$2" --value "$1"; }
main_pid() { property "$1" MainPID; }
active() { is "$(property "$1" ActiveState)" active; }
inactive() { is "$(property "$1" ActiveState)" inactive; }
as_user() { setpriv --reuid="$1" --clear-groups "${@:2}"; }
telling_status() {
    local text
    text=$(property gpuhostd.service StatusText)
    echo "        STATUS: $text" >&3
    [ -n "$text" ]
}

# ask USER ROLE REQUEST: sends one frame to the hand as that user, prints the answer (nothing where the hand closes).
ask() {
    as_user "$1" perl -MSocket -e '
        socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
        connect($s, sockaddr_un("/run/gpuhostd/hands/$ARGV[0].sock")) or die "connect: $!";
        local $SIG{PIPE} = "IGNORE";
        syswrite($s, pack("V", length $ARGV[1]) . $ARGV[1]);
        my $answer = "";
        while (sysread($s, $answer, 65536, length $answer)) {
            last if length $answer >= 4 && length $answer >= 4 + unpack "V", $answer;
        }
        print substr($answer, 4) if length $answer > 4;' "$2" "$3"
}
# call_verb USER ROLE VERB ARGUMENTS: one request to the hand (docs/HAND-VERBS.md).
call_verb() { ask "$1" "$2" "{\"id\":1,\"deadline_ms\":20000,\"verb\":\"$3\",\"args\":$4}"; }
hello() { call_verb "$1" "$2" hello '{}'; }
answered() { hello "$1" "$2" | grep "\"hand\":\"$2\""; }
unheard() { is "$(hello "$1" "$2")" ""; }

# powerless UNIT: its process has no capability, cannot gain any, and runs under a system call filter.
powerless() {
    local status
    status=$(cat "/proc/$(main_pid "$1")/status") || return 1
    for line in 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
        grep -q "^$line$" <<<"$status" || { echo "no '$line' in"; grep -E '^(Cap|NoNew|Seccomp)' <<<"$status"; return 1; }
    done
}

# has_only UNIT CAPABILITIES: its process has these, cannot gain another, and runs under a system call filter.
has_only() {
    local status
    status=$(cat "/proc/$(main_pid "$1")/status") || return 1
    for line in "CapEff:.$2" "CapBnd:.$2" 'NoNewPrivs:.1' 'Seccomp:.2'; do
        grep -q "^$line$" <<<"$status" || { echo "no '$line' in"; grep -E '^(Cap|NoNew|Seccomp)' <<<"$status"; return 1; }
    done
}
# The two capabilities with which /proc/PID/fd of others can be read, and no other; no debugger's calls.
only_looks() {
    local status pid
    pid=$(main_pid gpuhostd-holders.service)
    status=$(cat "/proc/$pid/status") || return 1
    for line in 'CapEff:.0000000000080004' 'CapBnd:.0000000000080004' 'NoNewPrivs:.1' 'Seccomp:.2'; do
        grep -q "^$line$" <<<"$status" || { echo "no '$line' in"; grep -E '^(Cap|NoNew|Seccomp)' <<<"$status"; return 1; }
    done
}
# users_of SCOPE: what the holders hand says of a scope.
users_of() { call_verb gpuhostd holders find_holders "{\"scope\":$1}"; }
# It looks into every process, those of root and of containers too.
sees_everybody() {
    local said
    said=$(users_of '{"lane":{"gpu":"0000:ff:1f.7"},"gpu":"0000:ff:1f.7","members":["0000:ff:1f.7"]}')
    is "$said" '{"id":1,"said":{"reply":{"Ok":{"found":[],"unreadable":[]}}}}'
}

# runs_as UNIT USER
runs_as() { is "$(stat -c %U "/proc/$(main_pid "$1")")" "$2"; }

# may_nothing USER: each method that the introspection lists, called as that user. Reads are answered, everything else is refused as
# not authorized. The token of an enrolment and the text of a workspace are descriptors, which busctl cannot send: those are tried with
# gpuhostctl.
may_nothing() {
    local object interface= member kind signature said rest text arguments changes=0
    for object in $(busctl tree --list org.gpuhost.Agent1); do
        while read -r member kind signature _; do
            case $kind in
            interface) interface=$member ;;
            method)
                case $interface$signature in org.gpuhost.Agent1.*'a{sv}') ;; *) continue ;; esac
                arguments=() rest=$signature
                # What has another form than an address is refused before anybody is asked who the caller is.
                case $member in .AddTrust | .RemoveTrust) text=$(printf '%064d' 0) ;; *) text=0000:01:00.0 ;; esac
                while [[ $rest == s* ]]; do arguments+=("$text") rest=${rest#s}; done
                while [[ $rest == t* ]]; do arguments+=(0) rest=${rest#t}; done
                while [[ $rest == b* ]]; do arguments+=(false) rest=${rest#b}; done
                said=$(as_user "$1" busctl call org.gpuhost.Agent1 "$object" "$interface" "${member#.}" "$signature" \
                    "${arguments[@]}" 0 2>&1) || true
                case $member in .Get* | .List* | .Sample | .Read* | .Preview) continue ;; .Enroll | .SetToken | .CreateWorkspace) continue ;; esac
                changes=$((changes + 1))
                grep -q 'not authorized for org.gpuhost.agent1' <<<"$said" || { echo "$object $member: $said"; return 1; }
                ;;
            esac
        done < <(busctl introspect org.gpuhost.Agent1 "$object" | tail -n +2)
    done
    said=$(as_user "$1" gpuhostctl run --name refused --image "registry.example/x@sha256:$(printf '%064d' 0)" --cores 1 \
        --memory 1GiB 2>&1) && { echo "a workspace was created: $said"; return 1; }
    grep -q 'not authorized for org.gpuhost.agent1' <<<"$said" || { echo "gpuhostctl run: $said"; return 1; }
    said=$(as_user "$1" gpuhostctl token --token-file - <<<"one-use-token" 2>&1) && { echo "a token was taken: $said"; return 1; }
    grep -q 'not authorized for org.gpuhost.agent1' <<<"$said" || { echo "gpuhostctl token: $said"; return 1; }
    [ "$changes" -ge 4 ] || { echo "only $changes methods were tried"; return 1; }
}

# fill_journal: journald is stopped, and its queue takes nothing more. One sender alone cannot fill it: its own buffer is full first.
fill_journal() {
    systemctl kill --signal=STOP systemd-journald.service && perl -MSocket -e '
        my $journald = sockaddr_un("/run/systemd/journal/socket");
        for (1 .. 1000) {
            socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
            send($s, "MESSAGE=x\n", MSG_DONTWAIT, $journald) or exit 0;
            while (send($s, "MESSAGE=x\n", MSG_DONTWAIT, $journald)) { }
        }
        die "it takes everything";'
}

reloads_of_pid1() { journalctl _PID=1 --no-pager --output=cat | grep -c '^Reloading' || true; }

# start_manager [OPTION…]: a manager of our own on the loopback, which knows one enrolment token.
start_manager() {
    mkdir -p /tmp/manager
    systemd-run --quiet --unit=rig-manager --property=StandardOutput=file:/tmp/manager/log \
        --property=StandardError=inherit /rig-bin/reference-manager --listen 127.0.0.1:8443 \
        --state /tmp/manager/state --token-file /tmp/manager/token --ca-file /tmp/manager/ca.pem "$@" &&
        within 10 grep 'listening on https://' /tmp/manager/log
}
enrol() { gpuhostctl enroll https://127.0.0.1:8443 --token-file /tmp/manager/token --ca-file /tmp/manager/ca.pem; }
# heartbeats_more_than N
heartbeats_more_than() { [ "$(grep -c '^heartbeat accepted' /tmp/manager/log)" -gt "$1" ]; }

# service_is_alive: what must hold after every install and every start.
service_is_alive() {
    check "the service is active" within 10 active gpuhostd.service
    check "its status line tells something" telling_status
    for unit in gpuhostd-{host,holders,containers,mig,mig-mode}.socket; do check "$unit listens" active "$unit"; done
    check "the host hand answers the front's user" within 5 answered gpuhostd host
    check "the holders hand answers the front's user" within 5 answered gpuhostd holders
    check "the container hand answers the front's user" within 5 answered gpuhostd containers
    check "the MIG hand answers the front's user" within 5 answered gpuhostd mig
    check "the MIG mode hand answers the front's user" within 5 answered gpuhostd mig-mode
}

# Every key of the shipped configuration that is commented out is one that the product knows.
# What excludes each other is tried apart. An authority that is not there is the only thing that is wrong where it is named.
example_is_valid() {
    local without said token
    for token in token shared-token readiness.jwt; do install -m 640 -g gpuhostd /dev/stdin /etc/gpuhostd/$token <<<secret; done
    for without in 'ca_file|shared_token_file' 'ca_file|enrolment_token_file'; do
        example_without "$without"
        gpuhostctl config check /tmp/example.toml || return 1
    done
    example_without 'pin_sha256|shared_token_file'
    said=$(gpuhostctl config check /tmp/example.toml 2>&1) && { echo "taken: $said"; return 1; }
    rm /etc/gpuhostd/{token,shared-token,readiness.jwt}
    grep -q '^/tmp/example.toml:.*manager-ca.pem' <<<"$said" || { echo "manager-ca.pem is not named: $said"; return 1; }
    is "$(grep '^/tmp/example.toml:' <<<"$said" | grep -vE "(manager|upstream)-ca.pem")" ""
}
example_without() {
    sed -E 's/^#([a-z0-9_]+ = |    "|\]|\[)/\1/' /etc/gpuhostd/config.toml | grep -vE "^($1) = " >/tmp/example.toml
}

# new_process OLD: the service runs again, as another process.
new_process() { active gpuhostd.service && [ "$(main_pid gpuhostd.service)" != "$1" ]; }
nothing_runs() { ! pgrep '^gpuhost'; }
# PID 1 may remember a unit until its next reload, which a removal does not ask for; it must not run or have failed.
all_inactive() {
    local unit
    for unit in "${UNITS[@]}"; do inactive "$unit" || return 1; done
}
exec 3>&1
