#!/bin/bash
# run.sh RELEASE [STEP…]: makes a bare Debian of that release, lays this checkout into its /root, and does there what the README
# says: run (`make run`, on that machine and on a simulated host, until a heartbeat is accepted), test (`make test`), test-docker,
# test-vm, packages (`make packages`), install (the newest .deb that this checkout has built, installed and purged there). The steps are run
# and test where none is named. Ends with what each part took.
set -euo pipefail
RELEASE=${1:?usage: run.sh RELEASE [STEP…]}
shift
[ $# -gt 0 ] || set -- run test
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"
ROOT=$PWD/target/fresh/$RELEASE CHECKOUT=root/gpuhostd PARTS=/var/tmp/parts
[ "$(id -u)" = 0 ] || { echo "tests/fresh/run.sh: making a machine's files needs root" >&2; exit 1; }

# What was mounted below it was so in a name space that has ended; should anything still be, it is not deleted.
delete() { rm -rf --one-file-system -- "${@:?}"; }

# The checkout as it is, with what is not committed yet.
lay_out() {
    git clone --quiet "file://$PWD" "$ROOT/$CHECKOUT"
    git diff --binary HEAD | git -C "$ROOT/$CHECKOUT" apply --allow-empty
    git ls-files -z --others --exclude-standard | tar --null --files-from=- -c | tar -C "$ROOT/$CHECKOUT" -x
}

make_root() {
    delete "$ROOT"
    mkdir -p "$(dirname "$ROOT")"
    "$HERE/root.sh" "$ROOT" "$RELEASE"
    lay_out
}

inside() { "$HERE/enter.sh" "$ROOT" bash -c 'cd ~/gpuhostd && exec "$@"' bash "$@"; }

install_there() {
    local deb
    # shellcheck disable=SC2012 # our own names
    deb=$(ls -t out/packages/gpuhostd_*.deb out/test/packages/gpuhostd_*.deb 2>/dev/null | head -1)
    [ -n "$deb" ] || { echo "there is no package: make packages" >&2; return 1; }
    cp "$deb" "$ROOT/var/tmp/package.deb"
    inside tests/fresh/install.sh /var/tmp/package.deb
}

# part NAME COMMAND…: says what it does and what it took; the parts that the command tells of itself come before its sum.
part() {
    local name=$1 from=$SECONDS
    shift
    printf '\n#### %s: %s\n' "$RELEASE" "$name"
    "$@" || { echo "#### $RELEASE: $name failed" >&2; FAILED="$FAILED $name"; }
    printf '%s\t%d\n' "$name" $((SECONDS - from)) >>"$ROOT$PARTS"
}

table() {
    printf '\n#### What each part took on Debian %s, in seconds\n' "$(cat "$ROOT/etc/debian_version")"
    awk -F'\t' '{ printf "%-28s %6d\n", $1, $2 }' "$ROOT$PARTS"
    printf '%-28s %6d\n' "in all" "$SECONDS"
}

FAILED=
from=$SECONDS
make_root
printf 'the bare machine\t%d\n' $((SECONDS - from)) >"$ROOT$PARTS"
export PARTS
for step in "$@"; do
    case $step in
    run)
        part "make run HOST=dgx-a100" inside tests/fresh/heartbeat.sh HOST=dgx-a100
        part "make run" inside tests/fresh/heartbeat.sh
        ;;
    test | test-docker | test-vm | packages) part "make $step" inside make "$step" ;;
    install) part "apt install" install_there ;;
    *) echo "tests/fresh/run.sh: there is no step '$step' (run, test, test-docker, test-vm, packages, install)" >&2; exit 2 ;;
    esac
done
table
[ -z "$FAILED" ] || { echo "failed:$FAILED" >&2; exit 1; }
