#!/bin/bash
# run.sh [TARGET…]: lets libFuzzer look for inputs that break a target; all targets where none is named.
#   SECONDS_EACH=40 tests/fuzz/run.sh            each for 40 s, as many at once as there are cores
#   SECONDS_EACH=3600 tests/fuzz/run.sh smi      one for an hour
# What is interesting is kept in out/fuzz/corpus and is where the next run begins. A find is written to out/fuzz/finds; mended, it
# goes to tests/fuzz/finds/TARGET, where every `cargo test` looks at it again.
#
# The search is guided by coverage: LLVM's own pass counts edges and compared values. It is a plain codegen option of the
# stable compiler; without a sanitizer, memory errors of C would not be seen, but the targets are safe Rust.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin"
SECONDS_EACH=${SECONDS_EACH:-40}
OUT=$PWD/out/fuzz
HOST=$(rustc -vV | sed -n 's/^host: //p')
COVERAGE="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"

# The targets without libFuzzer: they write the seeds, and run a find again. `make test` has built them.
if [ -z "${PLAIN:-}" ]; then
    made_up=${ANSWERS:-1000000}
    cargo build --quiet --locked --bin fuzz -p fuzz
    PLAIN=${CARGO_TARGET_DIR:-target}/debug/fuzz
fi
# shellcheck disable=SC2086 # one line of flags
RUSTFLAGS=$(echo $COVERAGE) cargo build --quiet --locked --profile fuzz -p fuzz --bin fuzz --target "$HOST" --target-dir target/fuzz
FUZZ=target/fuzz/$HOST/fuzz/fuzz

TARGETS=("$@")
[ $# -gt 0 ] || mapfile -t TARGETS < <("$PLAIN" | cut -d' ' -f1)

# search TARGET: one line with what was done, and the find where there is one.
search() {
    local name=$1 log=$OUT/$1.log status=0 find
    mkdir -p "$OUT/corpus/$name" "$OUT/finds/$name"
    "$PLAIN" "$name" --seeds "$OUT/seeds/$name"
    FUZZ_TARGET=$name "$FUZZ" -max_total_time="$SECONDS_EACH" -timeout=60 -rss_limit_mb=1024 -len_control=20 -max_len=65536 \
        -dict="$OUT/seeds/$name.words" -artifact_prefix="$OUT/finds/$name/" -print_final_stats=1 -verbosity=1 \
        "$OUT/corpus/$name" "$OUT/seeds/$name" >"$log" 2>&1 || status=$?
    awk -v name="$name" -v status="$status" '
        /^stat::number_of_executed_units:/ { runs = $2 }
        /^stat::average_exec_per_sec:/ { rate = $2 }
        /^stat::peak_rss_mb:/ { rss = $2 }
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1); else if ($i == "corp:") corpus = $(i + 1) }
        END { printf "%-12s %10d runs %8d /s %6d edges  corpus %-14s %4d MiB  %s\n", name, runs, rate, cov, corpus, rss,
                     status == 0 ? "no find" : "FOUND SOMETHING" }' "$log"
    [ "$status" = 0 ] && return
    grep -hE "panicked at|^ALARM|ERROR: libFuzzer" -A2 "$log" | head -12 | sed 's/^/    /'
    find=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    echo "    again: target/debug/fuzz $name $find"
    return 1
}
export -f search
export OUT PLAIN FUZZ SECONDS_EACH
# Answers that are made up by their fields find what changed bytes seldom reach.
if [ $# -eq 0 ] && [ -n "${made_up:-}" ]; then
    ANSWERS=$made_up cargo test --quiet --locked -p fuzz --test answers -- --nocapture | grep 'answers, at most'
fi
printf '%s\n' "${TARGETS[@]}" | xargs -P "$(nproc)" -I{} bash -c 'search {}'
