#!/bin/bash
# rig.sh: to be sourced. Boots containers with systemd as PID 1 (rig_boot), runs commands in them (rig_in), and takes everything
# away at the end. Uses the Docker of this machine where one answers, else starts one of its own below target/rig.
set -euo pipefail
RIG_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RIG=$(realpath -m "$RIG_HERE/../../target/rig")
RIG_CONTAINERS=()
RIG_DOCKERD=
RIG_RUN=
mkdir -p "$RIG"

rig_end() {
    local code=$?
    trap - EXIT
    for name in "${RIG_CONTAINERS[@]}"; do docker rm --force --volumes "$name" >/dev/null 2>&1 || true; done
    if [ -n "$RIG_DOCKERD" ]; then
        kill "$RIG_DOCKERD" && wait "$RIG_DOCKERD" || true
        rm -rf "$RIG_RUN"
    fi
    exit "$code"
}
trap rig_end EXIT
trap 'exit 130' INT TERM

# rig_until SECONDS COMMAND…: waits until the command succeeds.
rig_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# A root without CAP_SYS_RESOURCE (bit 24) cannot give it away: runc must not ask for it.
rig_runtime() {
    local bounding
    bounding=$(sed -n 's/^CapBnd:\t//p' /proc/self/status)
    (((16#$bounding >> 24) & 1)) && return
    cat >"$RIG/runc" <<'RUNC'
#!/bin/bash
config= last=
for argument in "$@"; do
    case $last in --bundle) config=$argument/config.json ;; --process) config=$argument ;; esac
    last=$argument
done
if [ -f "$config" ]; then sed -i 's/,"CAP_SYS_RESOURCE"//g; s/"CAP_SYS_RESOURCE",//g' "$config"; fi
exec /usr/sbin/runc "$@"
RUNC
    chmod 755 "$RIG/runc"
    echo --add-runtime "rig=$RIG/runc" --default-runtime rig
}

rig_docker() {
    if docker info >/dev/null 2>&1; then return; fi
    for tool in docker dockerd; do
        command -v "$tool" >/dev/null || { echo "rig.sh: $tool is missing: apt-get install docker.io" >&2; exit 1; }
    done
    RIG_RUN=$(mktemp -d /tmp/rig.XXXXXX)
    export DOCKER_HOST=unix://$RIG_RUN/docker.sock
    # shellcheck disable=SC2046 # the words of rig_runtime are arguments
    dockerd --host "$DOCKER_HOST" --data-root "$RIG/docker" --exec-root "$RIG_RUN/exec" --pidfile "$RIG_RUN/pid" \
        --bridge=none --iptables=false --ip6tables=false $(rig_runtime) >"$RIG/dockerd.log" 2>&1 &
    RIG_DOCKERD=$!
    rig_until 60 docker info || { tail "$RIG/dockerd.log" >&2; echo "rig.sh: dockerd does not answer" >&2; exit 1; }
}

rig_image() {
    local tree
    tree=$("$RIG_HERE/root-tree.sh" "$RIG")
    RIG_IMAGE=gpuhostd-rig:$(basename "$tree" .tar)
    docker image inspect "$RIG_IMAGE" >/dev/null 2>&1 || docker import "$tree" "$RIG_IMAGE" >/dev/null
}

# rig_boot NAME [docker run options…]: a fresh container, booted.
rig_boot() {
    local name=$1
    shift
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    RIG_CONTAINERS+=("$name")
    docker run --detach --name "$name" --privileged --cgroupns=private --network none \
        --tmpfs /run --tmpfs /run/lock --tmpfs /tmp "$@" "$RIG_IMAGE" /lib/systemd/systemd >/dev/null
    rig_until 60 rig_in "$name" systemctl is-active multi-user.target || {
        rig_in "$name" systemctl list-jobs >&2 || true
        echo "rig.sh: $name did not boot" >&2
        exit 1
    }
}

rig_in() {
    local name=$1
    shift
    docker exec "$name" "$@"
}
