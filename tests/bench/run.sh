#!/bin/bash
# Builds the release programs, makes the inputs, and runs the benchmarks: all, or those that are named (b1 b3 b4 b7 b18).
#   LONG=1 tests/bench/run.sh b4    ten minutes instead of one
set -eu
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

bin=${CARGO_TARGET_DIR:-target}/release
export BENCH_WORK=$PWD/out/bench
tree=$BENCH_WORK/tree
report=$BENCH_WORK/report.txt
rows=("$@")
[ "${#rows[@]}" != 0 ] || rows=(b1 b3 b4 b7 b18)

wants() { [[ " ${rows[*]} " == *" $1 "* ]]; }

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
cargo build --quiet --locked --release -p gpuhostd -p gpuhostctl -p manager -p host-sim -p nvml-sim -p bench
if wants b1 || wants b4 || wants b7; then
    rm -rf "$tree"
    "$bin/host-sim" tree --gpus 8 --functions 300 "$tree"
fi
! wants b1 || complete_for_lspci "$tree"
! wants b18 || fetch_peer_units

status=0
{
    echo "$(uname -m), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
    echo
    for row in "${rows[@]}"; do
        if [ "$row" = b1 ]; then
            own=(--mount)
            [ "$(id -u)" = 0 ] || own+=(--map-root-user)
            # shellcheck disable=SC2016  # expanded by the inner shell
            unshare "${own[@]}" sh -c 'mount --rbind "$1/sys" /sys && exec "$2/bench" b1' sh "$tree" "$bin" || status=1
        else
            "$bin/bench" "$row" || status=1
        fi
    done
} 2>&1 | tee "$report"
[ "${PIPESTATUS[0]}" = 0 ] || status=1
grep -q 'not measured: ' "$report" && echo "(some figures could not be measured, see above)"
echo "kept in $report"
grep -qE '^B[0-9]+: not measured' "$report" && exit 1
exit $status
