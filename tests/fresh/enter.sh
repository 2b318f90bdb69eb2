#!/bin/bash
# enter.sh ROOT COMMAND…: runs a command as root on a machine whose files are those below ROOT. It has this machine's kernel,
# devices and network, and namespaces of its own for mounts, processes and IPC: nothing that it started outlives it. From outside
# it has the Rust toolchain (read-only), the downloaded crates, and the recordings beside the checkout where there are any.
set -euo pipefail
ROOT=$(realpath "${1:?usage: enter.sh ROOT COMMAND…}")
shift
TOOLCHAIN=$(rustc --print sysroot)
[ -x "$TOOLCHAIN/bin/cargo" ] || {
    echo "enter.sh: the Rust toolchain in $TOOLCHAIN has no cargo of its own: install it with rustup" >&2
    exit 1
}
CRATES=${CARGO_HOME:-$HOME/.cargo}
RECORDINGS=$(realpath -m "$(dirname "$0")/../../../shared")
HOME_THERE=$ROOT/root
mkdir -p "$CRATES/registry" "$ROOT/opt/rust" "$HOME_THERE"/.cargo/registry "$HOME_THERE/shared"
for file in config.toml config; do
    if [ -e "$CRATES/$file" ]; then cp "$CRATES/$file" "$HOME_THERE/.cargo/$file"; fi
done
export ROOT TOOLCHAIN CRATES RECORDINGS HOME_THERE

# How to reach the network, and what the tests are asked for; nothing else of this environment.
mapfile -t KEPT < <(env | grep -E '^((https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY|CARGO_(HTTP|NET|REGISTR)[A-Z_]*|CI|GPUHOSTD_TEST_[A-Z]+|PARTS)=' || true)

# shellcheck disable=SC2016 # expanded inside
exec unshare --mount --propagation private --pid --fork --kill-child --ipc bash -euc '
    mount --bind "$ROOT" "$ROOT"
    mount --rbind /dev "$ROOT/dev"
    mount --rbind /sys "$ROOT/sys"
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
    mount --bind "$TOOLCHAIN" "$ROOT/opt/rust"
    mount -o remount,bind,ro "$ROOT/opt/rust"
    mount --bind "$CRATES/registry" "$HOME_THERE/.cargo/registry"
    if [ -d "$RECORDINGS" ]; then
        mount --bind "$RECORDINGS" "$HOME_THERE/shared"
        mount -o remount,bind,ro "$HOME_THERE/shared"
    fi
    cd "$ROOT"
    pivot_root . mnt
    umount --lazy /mnt
    # This shell is the first process there: it stays, so that somebody takes the leave of orphans. What is built there is built
    # once, so nothing is kept for the next time.
    env -i HOME=/root USER=root LOGNAME=root LANG=C.UTF-8 TERM="${TERM:-dumb}" CARGO_INCREMENTAL=0 "$@"
    exit
' bash PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${KEPT[@]}" "$@"
