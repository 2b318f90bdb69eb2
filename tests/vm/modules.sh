#!/bin/bash
# modules.sh IMAGE: builds the rig's kernel modules for the image's kernel, and its VFIO client. Prints their folder. Later runs
# reuse it.
set -euo pipefail
IMAGE=$(realpath "${1:?usage: modules.sh IMAGE}")
HERE=$(cd "$(dirname "$0")" && pwd)
RECIPE=$(cat "$HERE"/modules.sh "$HERE"/kmod/* "$HERE/vfio_client.c" | sha256sum | cut -c1-12)
BUILT=$IMAGE/modules-$RECIPE
if [ ! -d "$BUILT" ]; then
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    cp "$HERE"/kmod/* "$WORK"
    nice make -s -C "$WORK" KDIR="$IMAGE/headers/usr/src/linux-headers-$(cat "$IMAGE/kernel-release")" >&2
    gcc -O2 -Wall -Werror -static -o "$WORK/vfio_client" "$HERE/vfio_client.c"
    rm -rf "$IMAGE"/modules-*
    install -D -t "$BUILT" "$WORK"/*.ko "$WORK/vfio_client"
fi
echo "$BUILT"
