#!/bin/bash
# Every test that needs no VM, no GPU and no other Docker than this machine's; goes on after a failure and ends with "N passed, N failed".
#   tests/run/all.sh        everything
#   tests/run/all.sh rig    only the tests of units and packages
#   tests/run/all.sh answers  ten thousand made-up answers of a manager over TLS, where `make test` has one thousand
#   tests/run/all.sh docker only the tests on real Docker engines, which tests/docker/fetch.sh has brought
set -eu
# The front is another user, who reads what is written here.
umask 022
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

logs=out/test
passed=0
failed=0
mkdir -p "$logs"

# Runs one step with its whole output in a log; what failed is shown at once. What it took goes to the list of parts, where the
# caller keeps one.
step() {
    local name=$1 log=$logs/$1.log from=$SECONDS status=0
    shift
    printf '%-18s ' "$name"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    local took=$((SECONDS - from))
    [ -z "${PARTS:-}" ] || printf '  %s\t%d\n' "$name" "$took" >>"$PARTS"
    if [ "$status" = 0 ]; then
        printf 'ok      %4d s\n' "$took"
        return 0
    fi
    printf 'FAILED  %4d s, the end of %s:\n' "$took" "$log"
    tail -n 120 "$log"
    return 1
}

# A step that is one test.
check() { if step "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }

sum() { sed -n "s/^test result: .* \([0-9]*\) $1;.*/\1/p" "$2" | awk '{ all += $1 } END { print all + 0 }'; }

# The tests of the workspace, counted one by one. A run that ends without a failed test (it did not compile, a test
# process died) counts as one failure.
cargo_tests() {
    local log=$logs/cargo-test.log ended=0 bad
    step cargo-test cargo test --locked --workspace --no-fail-fast -- --show-output || ended=1
    passed=$((passed + $(sum passed "$log")))
    bad=$(sum failed "$log")
    [ "$ended" = 0 ] || [ "$bad" != 0 ] || bad=1
    failed=$((failed + bad))
    grep -hE '^(longest|product |early heartbeat)' "$log" | sed 's/^/    /' || true
    grep -hE '^ *SKIPPED' "$log" | sort | uniq -c || true
    printf '    %d ignored\n' "$(sum ignored "$log")"
}

# Those that cargo-test leaves out. The engines are many: more tests at once than this are not faster on two cores.
docker_tests() {
    local log=$logs/test-docker.log ended=0 bad
    # The disposable child, which a test starts as the host hand does.
    step docker-build cargo build --locked --workspace || ended=1
    step test-docker cargo test --locked --workspace --test engines --no-fail-fast -- --ignored --show-output --test-threads=4 || ended=1
    passed=$((passed + $(sum passed "$log")))
    bad=$(sum failed "$log")
    [ "$ended" = 0 ] || [ "$bad" != 0 ] || bad=1
    failed=$((failed + bad))
    grep -hE '^ *SKIPPED' "$log" | sort | uniq -c || true
}

rig() {
    check packages packaging/build.sh --profile dev out/test/packages
    check package-lint tests/rig/lint.sh out/test/packages
    check reproducible tests/rig/reproducible.sh
    check package-scripts tests/rig/scripts.sh
    check unit-scores tests/rig/security-scores.sh
    check package-rig tests/rig/packages.sh
}

case ${1:-all} in
all)
    check format cargo fmt --all --check
    check lints cargo clippy --locked --workspace --all-targets -- -D warnings
    check deny target/tools/bin/cargo-deny --locked check licenses bans sources
    # Programs and tests at once: built apart, what they share would be built twice, with other features.
    check build cargo build --locked --workspace --all-targets
    cargo_tests
    check fuzz env SECONDS_EACH=25 PLAIN="${CARGO_TARGET_DIR:-target}/debug/fuzz" tests/fuzz/run.sh
    sed 's/^/    /' "$logs/fuzz.log"
    rig
    ;;
rig) rig ;;
answers)
    check answers env ANSWERS_OVER_TLS=10000 cargo test --locked --workspace --test made_up -- --nocapture
    grep -hE ' answers to |^the heap ' "$logs/answers.log" | sed 's/^/    /'
    ;;
docker) docker_tests ;;
selinux) check selinux tests/rig/selinux.sh ;;
*)
    echo "tests/run/all.sh [all|rig|answers|docker|selinux]" >&2
    exit 2
    ;;
esac

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
