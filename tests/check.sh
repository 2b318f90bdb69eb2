#!/bin/bash
# check.sh [BASE]: the quick check of a change: format, the rules of the house, lints, and the tests of what changed since BASE (the
# branch main, if there is one). Those are all tests of a package with a changed file, and of the packages that use it the test
# targets that name a changed module (`model::judge`), but for the slow ones (SLOW). Everything else is for `make test`.
#   check.sh house      only what a commit is held to: format and the rules of the house
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"
# Run only where their own package was touched: minutes each.
SLOW='^(sim search|gpuhostd made_up|e2e .*|fuzz .*|bench .*)$'
FROM=$SECONDS

step() {
    local name=$1 from=$SECONDS
    shift
    printf '%s\n' "--- $name"
    "$@" || { echo "make check: $name failed" >&2; exit 1; }
    printf '%s\n' "--- $name: ok, $((SECONDS - from)) s"
}

base() {
    local name
    for name in "${1:-}" main origin/main; do
        [ -z "$name" ] || ! git rev-parse --quiet --verify "$name^{commit}" >/dev/null || { git merge-base HEAD "$name"; return; }
    done
    git rev-parse HEAD
}

# The package of each changed file; all of the product where a file at the top that builds depend on has changed.
touched() {
    local file folder
    while IFS= read -r file; do
        case $file in
        Cargo.toml | Cargo.lock | clippy.toml | rust-toolchain.toml) jq -r '.[] | select(.path | startswith("agent/")) | .name' <<<"$PACKAGES" ;;
        esac
        folder=$(dirname "$file")
        until [ "$folder" = . ] || [ -e "$folder/Cargo.toml" ]; do folder=$(dirname "$folder"); done
        jq -r --arg folder "$folder" '.[] | select(.path == $folder) | .name' <<<"$PACKAGES"
    done | sort -u
}

# The modules of a package, by its folder, that have a changed file.
modules() { sed -n "s#^$1/src/\([a-z0-9_]*\)\(\.rs\|/.*\)\$#\1#p" <<<"$CHANGED" | grep -vxE 'lib|main' | sort -u; }

# "package target" of each test of the touched packages, and of those of their users that name a changed module.
tests_of() {
    local package folder user path target named module
    for package in "$@"; do
        folder=$(jq -r --arg name "$package" '.[] | select(.name == $name) | .path' <<<"$PACKAGES")
        jq -r --arg name "$package" '.[] | select(.name == $name) | .name as $n | .tests[] | "\($n) \(.name)"' <<<"$PACKAGES"
        named=
        for module in $(modules "$folder"); do named="$named${named:+|}${package//-/_}::($module\\b|[{][^}]*\\b$module\\b)"; done
        [ -n "$named" ] || continue
        while read -r user path target; do
            if grep -rqE "$named" "$(dirname "$path")" && ! grep -qE "$SLOW" <<<"$user $target"; then echo "$user $target"; fi
        done < <(jq -r --arg name "$package" \
            '.[] | select(.uses | index($name)) | .name as $n | .tests[] | "\($n) \(.path) \(.name)"' <<<"$PACKAGES")
    done | sort -u
}

# Runs tests, given as "package target" lines, in the one world of features that the whole workspace has.
run_tests() {
    local targets=() filter= units= packages package kind target binary
    packages=$(tr ' ' '\n' <<<"$TOUCHED" | sed '/^$/d')
    for package in $packages; do units="$units${units:+ | }package(=$package)"; done
    while read -r package target; do
        [ -n "$target" ] || continue
        targets+=(--test "$target")
        filter="$filter | (package(=$package) & binary(=$target))"
    done <<<"$1"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --lib "${targets[@]}" --no-tests=pass --status-level=fail --final-status-level=fail \
            -E "(kind(lib) & ($units))$filter"
        return
    fi
    cargo test --workspace --lib "${targets[@]}" --no-run --message-format=json-render-diagnostics |
        jq -r 'select(.reason == "compiler-artifact" and .profile.test and .executable)
            | [(.manifest_path | split("/") | .[-2]), .target.kind[0], .target.name, .executable] | join(" ")' >"$LIST"
    while read -r package kind target binary; do
        if [ "$kind" = lib ] && ! grep -qx "$package" <<<"$packages"; then continue; fi
        if [ "$kind" = test ] && ! grep -qx "$package $target" <<<"$1"; then continue; fi
        echo "$package $target"
        (cd "$(dirname "$(jq -r --arg name "$package" '.[] | select(.name == $name) | .manifest' <<<"$PACKAGES")")" && "$binary" --quiet)
    done <"$LIST"
}

step format cargo fmt --all --check
# Not the demo of `make run`, which is no rule, nor the search for unused dependencies: each takes a minute.
step "rules of the house" cargo test --quiet --package house -- --skip demo:: --skip unused::
if [ "${1:-}" = house ]; then exit; fi
command -v jq >/dev/null || { echo "make check: jq is missing: tests/setup.sh run" >&2; exit 1; }
LIST=$(mktemp)
trap 'rm -f "$LIST"' EXIT
PACKAGES=$(cargo metadata --no-deps --format-version 1 | jq '.workspace_root as $root | [.packages[] | {
    name, manifest: .manifest_path, path: (.manifest_path | ltrimstr($root + "/") | rtrimstr("/Cargo.toml")),
    uses: [.dependencies[] | select(.path) | .name],
    tests: [.targets[] | select(.kind[0] == "test") | {name, path: (.src_path | ltrimstr($root + "/"))}]}]')
BASE=$(base "${1:-}")
CHANGED=$( (git diff --name-only "$BASE"; git ls-files --others --exclude-standard) | sort -u)
TOUCHED=$(touched <<<"$CHANGED" | tr '\n' ' ')
echo "--- changed since $(git rev-parse --short "$BASE"): $(wc -w <<<"$CHANGED") files, packages: ${TOUCHED:-none}"
# shellcheck disable=SC2086 # names of packages, word by word
TESTS=$(tests_of $TOUCHED | grep -v '^house ' || true)
step lints cargo clippy --workspace --all-targets --quiet -- -D warnings
[ -z "${TOUCHED// /}" ] || step tests run_tests "$TESTS"
echo "make check: all is well, $((SECONDS - FROM)) s"
