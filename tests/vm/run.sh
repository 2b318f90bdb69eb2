#!/bin/bash
# run.sh [JOB…]: boots the jobs of tests/vm/jobs, or those that are named, one after the other in a virtual machine of their own: a real
# kernel, IOMMU, vfio-pci, systemd and polkit. Ends with "N passed, M failed".
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"
CACHE=target/vm OUT=out/vm BUILT=${CARGO_TARGET_DIR:-target}/debug
# Run only where they are named: passthrough-killed takes many minutes, and selinux (in enforcing mode) needs an image of its own, which takes
# five minutes.
LIST="kernel observe changes hung passthrough passthrough-refused passthrough-no-iommu passthrough-removed"
LIST="$LIST passthrough-stuck passthrough-reboot desired"
BOOTS=0 AGAIN=0 PASSED=0 FAILED=0

cannot() {
    echo "tests/vm/run.sh cannot run: $*" >&2
    exit 1
}
[ "$(uname -m)" = x86_64 ] || cannot "the guest's devices are those of a PC, and this machine is $(uname -m)"
[ "$(id -u)" = 0 ] || cannot "making the image needs root (it owns its files and mounts below it)"
[ "$(. /etc/os-release && echo "$ID")" = debian ] || cannot "the guest has the release of this machine, which must be a Debian"
for tool in qemu-system-x86_64 mmdebstrap sfdisk mkfs.ext4 dpkg-deb make gcc; do
    command -v "$tool" >/dev/null || cannot "$tool is missing: tests/setup.sh vm"
done
[ "$(df --output=avail -k . | tail -1)" -gt 3000000 ] || cannot "less than 3 GB are free here: $(df -h . | tail -1)"

# took NAME SECONDS: for the list of parts, where the caller keeps one.
took() { [ -z "${PARTS:-}" ] || printf '  %s\t%d\n' "$1" "$2" >>"$PARTS"; }

# timed WHAT COMMAND…: says how long it took; its output is a log, shown where it fails.
timed() {
    local what=$1 from=$SECONDS log=$OUT/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; cannot "$what failed, the log is $log"; }
    printf '%-24s %4d s\n' "$what" $((SECONDS - from))
    took "$what" $((SECONDS - from))
}

# The packages of `make test` where nothing that goes into them has changed since, else new ones.
packages() {
    PACKAGES=out/test/packages
    # As `make test` builds them: another choice of packages would be another choice of features, and built anew.
    # shellcheck disable=SC2046 # words on purpose
    timed build nice cargo build --locked $(sed 's/ .*//; s/^/-p /' packaging/programs)
    timed manager nice cargo build --locked -p manager
    local deb
    deb=$(compgen -G "$PACKAGES/gpuhostd_*.deb" || true)
    if [ -z "$deb" ] || [ -n "$(find $(sed "s| .*||; s|^|$BUILT/|" packaging/programs) packaging systemd docs/OPERATING.md -newer "$deb")" ]; then
        timed packages packaging/build.sh --profile dev "$PACKAGES"
    fi
}

# What a job finds in its guest.
assemble() {
    rm -rf "$2"
    mkdir -p "$2"/{packages,bin,modules}
    cp "$HERE/jobs/$1.sh" "$2/run.sh"
    cp "$HERE"/guest/{world.sh,nvidia-smi,identities} tests/rig/inside.sh "$2"
    cp "$PACKAGES"/gpuhostd_*.deb "$2/packages"
    cp "$MODULES"/*.ko "$MODULES/vfio_client" "$2/modules"
    strip -o "$2/bin/reference-manager" "$BUILT/reference-manager"
}

# boot JOB: its output; what a job may have, it says itself in lines that begin with "# boot:".
boot() {
    local job=$1 code=0 options
    read -ra options < <(sed -n 's/^# boot: //p' "$HERE/jobs/$job.sh" | tr '\n' ' ') || true
    BOOTS=$((BOOTS + 1))
    "$HERE/boot.sh" "${options[@]}" "$IMAGE" "$WORK" "$OUT/$job" || code=$?
    return "$code"
}

# kind_of JOB: the image that it asks for in a line "# image:"; nothing is the usual one.
kind_of() { sed -n 's/^# image: //p' "$HERE/jobs/$1.sh"; }

# image KIND: sets IMAGE and MODULES.
image() {
    [ "$1" != selinux ] || [ -e /usr/share/selinux/devel/Makefile ] || cannot "selinux-policy-dev is missing: tests/setup.sh selinux"
    timed "${1}image" "$HERE/image.sh" "$CACHE" ${1:+"$1"}
    IMAGE=$(tail -n 1 "$OUT/${1}image.log")
    timed "${1}modules" "$HERE/modules.sh" "$IMAGE"
    MODULES=$(tail -n 1 "$OUT/${1}modules.log")
}

judge() {
    local job=$1 code=$2 log=$OUT/$1/log passed failed
    # A job that was cut off has brought nothing back: the console has what it said.
    [ -s "$log" ] || tr -d '\r' <"$OUT/$job/console" >"$log"
    cat "$log"
    passed=$(grep -c '^ok ' "$log") || true
    failed=$(grep -c '^FAILED ' "$log") || true
    case $code in
    124) echo "FAILED  $job did not end in time; its console is $OUT/$job/console" ;;
    125) echo "FAILED  the guest never started $job; its console is $OUT/$job/console" ;;
    126) echo "FAILED  the emulator broke in $job; its console is $OUT/$job/console" ;;
    esac
    # A job that broke without a failed check is one failure.
    if [ "$code" != 0 ] && [ "${failed:-0}" = 0 ]; then failed=1; fi
    PASSED=$((PASSED + ${passed:-0}))
    FAILED=$((FAILED + ${failed:-0}))
}

why_again() {
    case $1 in
    125) echo "the guest did not start $2" ;;
    126) echo "the emulator broke in $2" ;;
    esac
}

run_job() {
    local job=$1 from=$SECONDS code=0
    echo "== $job"
    assemble "$job" "$WORK"
    boot "$job" || code=$?
    if [ "$code" = 125 ] || [ "$code" = 126 ]; then
        # Nothing of ours ran, or the emulator broke, which nothing of ours in its guest can do: the cases in which a second try hides
        # nothing.
        AGAIN=$((AGAIN + 1))
        echo "#### RETRY: $(why_again "$code" "$job"); the end of its console:" | tee -a "$OUT/retries"
        tail -n 20 "$OUT/$job/console" || true
        code=0
        boot "$job" || code=$?
    fi
    judge "$job" "$code"
    printf '== %-21s %4d s, ended with %d\n' "$job" $((SECONDS - from)) "$code"
    took "$job" $((SECONDS - from))
}

mkdir -p "$CACHE" "$OUT"
rm -f "$OUT/retries"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
packages
# shellcheck disable=SC2086 # the list is words
[ $# -gt 0 ] || set -- $LIST
KIND=none
for job in "$@"; do
    if [ "$(kind_of "$job")" != "$KIND" ]; then
        KIND=$(kind_of "$job")
        image "$KIND"
    fi
    run_job "$job"
done
echo "$BOOTS boots, $AGAIN of them a second try"
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
