#!/bin/bash
# reproducible.sh [BINARIES]: the packages made twice from the same programs and the same tree, in two folders and at two times, are the
# same to the last byte. Whether the programs are the same takes two release builds: REPRODUCE=release builds them in each folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
BINARIES=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug}")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# Also where the tree belongs to another user, or is no repository.
git() { command git -c safe.directory='*' "$@"; }
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=$(date +%s)
export SOURCE_DATE_EPOCH
sources() { git ls-files -z 2>/dev/null || find . -mindepth 1 \( -path ./.git -o -path ./target -o -path ./out -o -name __pycache__ \) -prune -o ! -type d -print0; }
for folder in one an-other; do
    mkdir -p "$WORK/$folder/tree"
    sources | tar --null --files-from=- --create | tar --extract --directory "$WORK/$folder/tree" --touch
    if [ "${REPRODUCE:-}" = release ]; then
        (cd "$WORK/$folder/tree" && env -u CARGO_TARGET_DIR packaging/build.sh --profile release "$WORK/$folder/out") >"$WORK/log" 2>&1 || { cat "$WORK/log"; exit 1; }
    else
        (cd "$WORK/$folder/tree" && packaging/build.sh --profile dev --binaries "$BINARIES" "$WORK/$folder/out") >"$WORK/log" 2>&1 || { cat "$WORK/log"; exit 1; }
    fi
    (cd "$WORK/$folder/out" && sha256sum -- *) | tee "$WORK/$folder/sums"
done
diff "$WORK/one/sums" "$WORK/an-other/sums" && echo "the same"
