#!/bin/bash
# Builds the release programs, makes the inputs, and runs the benchmarks: all, or those that are named.
#   LONG=1 tests/bench/run.sh b4 b5 b6 b19    ten minutes instead of one
#   BUILD=no tests/bench/run.sh b1            with the programs that are there
#   BENCH_HOSTS=10000 LONG=1 tests/bench/run.sh b15    so many hosts at one manager; only where it is named
set -eu
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

bin=${CARGO_TARGET_DIR:-target}/release
export BENCH_WORK=$PWD/out/bench
tree=$BENCH_WORK/tree
report=$BENCH_WORK/report.txt
rows=("$@")
[ "${#rows[@]}" != 0 ] || rows=(b1 b2 b3 b4 b5 b6 b7 b8 b9 b10 b12 b13 b16 b17 b18 b19 b21 b22)

# wants ROW…: one of these is asked for.
wants() {
    local row
    for row in "$@"; do
        [[ " ${rows[*]} " != *" $row "* ]] || return 0
    done
    return 1
}

# lspci opens files of a function that our own scan never reads: they are added, so that it can read the same tree.
complete_for_lspci() {
    /usr/bin/python3 - "$1" <<'END'
import pathlib, struct, sys

for function in pathlib.Path(sys.argv[1], "sys/bus/pci/devices").iterdir():
    number = lambda name: int((function / name).read_text().strip(), 16)
    header = bytearray(64)
    struct.pack_into("<HH", header, 0, number("vendor"), number("device"))
    struct.pack_into("<I", header, 8, number("class") << 8)
    for name, content in (("config", bytes(header)), ("irq", b"0\n"), ("resource", b"0x0 0x0 0x0\n" * 7)):
        if not (function / name).exists():
            (function / name).write_bytes(content)
END
}

# Units of peers that are not installed are fetched and unpacked, never installed.
fetch_peer_units() {
    local units=$BENCH_WORK/peer-units package
    mkdir -p "$units"
    for package in fwupd udisks2; do
        [ ! -e "/lib/systemd/system/$package.service" ] && [ ! -e "$units/$package.service" ] || continue
        (cd "$units" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb "$package" &&
            cp "$(find "$package" -name "$package.service" | head -1)" . && rm -rf "$package" "$package"_*.deb) ||
            echo "note: the unit of $package could not be fetched" >&2
    done
}

mkdir -p "$BENCH_WORK"
if [ "${BUILD:-yes}" != no ]; then
    cargo build --quiet --locked --release -p gpuhostd-sim -p manager -p host-sim -p nvml-sim -p bench
    # The product last and by itself, as in the packages: together with the rest it would get the features that only that needs.
    # shellcheck disable=SC2046 # words on purpose
    cargo build --quiet --locked --release $(sed 's/ .*//; s/^/-p /' packaging/programs)
fi
# make_tree DIR GPUS FUNCTIONS: its sys lies on a tmpfs, which never gives an inode number twice, as sysfs does not.
make_tree() {
    rm -rf "$1"
    "$bin/host-sim" tree --gpus "$2" --functions "$3" "$1"
    complete_for_lspci "$1"
    mv "$1/sys" "$memory/${1##*/}"
    ln -s "$memory/${1##*/}" "$1/sys"
}
memory=$(mktemp -d /dev/shm/gpuhostd-bench.XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$memory"' EXIT
chmod 755 "$memory"
! wants b1 b4 b5 b6 b7 b16 || make_tree "$tree" 8 300
if wants b2; then
    make_tree "$BENCH_WORK/many" 64 1000
    make_tree "$BENCH_WORK/quarter" 16 250
fi
if wants b12 b19; then
    rm -rf "$BENCH_WORK/packages"
    packaging/build.sh --binaries "$bin" "$BENCH_WORK/packages" >/dev/null
fi
! wants b18 || fetch_peer_units

# Runs rows with the made tree in the place of /sys.
over_sys() {
    local own=(--mount) made=$1
    shift
    [ "$(id -u)" = 0 ] || own+=(--map-root-user)
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare "${own[@]}" sh -c 'mount --rbind "$(realpath "$1/sys")" /sys && shift && exec "$@"' sh "$made" "$bin/bench" "$@"
}

# B19 runs under a real systemd in a container, and counts at the manager.
stuck() {
    echo "B19  a probe in D state (a write to a frozen file system): heartbeats, processes, growth"
    STUCK_SECONDS=$([ "${LONG:-}" = 1 ] && echo 600 || echo 75) tests/rig/packages.sh "$BENCH_WORK/packages" stuck
}

status=0
{
    echo "$(uname -m), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
    echo
    # Rows that share what they measure run in one process.
    together=()
    for row in "${rows[@]}"; do
        case $row in
        b1) over_sys "$tree" b1 || status=1 ;;
        b2) over_sys "$BENCH_WORK/many" b2 || status=1 ;;
        b19) ;;
        *) together+=("$row") ;;
        esac
    done
    [ "${#together[@]}" = 0 ] || "$bin/bench" "${together[@]}" || status=1
    ! wants b19 || stuck || status=1
    exit $status
} 2>&1 | tee "$report"
[ "${PIPESTATUS[0]}" = 0 ] || status=1
grep -q 'not measured: ' "$report" && echo "(some figures could not be measured, see above)"
echo "kept in $report"
grep -qE '^B[0-9]+: not measured' "$report" && exit 1
exit $status
