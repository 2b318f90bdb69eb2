#!/bin/bash
# root-tree.sh DIR: makes DIR/root.tar, a small Debian with systemd, a message bus, polkit and rpm, once; later runs reuse it.
set -euo pipefail
DIR=${1:?usage: root-tree.sh DIR}
# The suite and the sources of this machine, so that what is built here also runs there.
SUITE=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
for SOURCES in /etc/apt/sources.list.d/{debian,ubuntu}.sources /etc/apt/sources.list; do
    if [ -s "$SOURCES" ]; then break; fi
done
PACKAGES=systemd,systemd-sysv,dbus,polkitd,libudev1,procps,init-system-helpers,rpm,passwd,e2fsprogs,mount
# What the tree is made of stands in its name: another list makes another tree.
TREE=$DIR/root-$(printf '%s %s' "$SUITE" "$PACKAGES" | sha256sum | cut -c1-12).tar
if [ ! -s "$TREE" ]; then
    command -v mmdebstrap >/dev/null || {
        echo "root-tree.sh: mmdebstrap is not installed: apt-get install mmdebstrap" >&2
        exit 1
    }
    mkdir -p "$DIR"
    nice mmdebstrap --mode=root --variant=minbase --format=tar --quiet \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='force-unsafe-io' --include="$PACKAGES" \
        "$SUITE" "$TREE.part" "$SOURCES"
    mv "$TREE.part" "$TREE"
fi
echo "$TREE"
