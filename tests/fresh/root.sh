#!/bin/bash
# root.sh DIR RELEASE: makes DIR, the files of a bare Debian of that release: what is essential, apt, and what the README asks
# for. It finds its packages as this machine does (the same sources, proxy and certificates), and knows no more of it.
set -euo pipefail
DIR=$(realpath -m "${1:?usage: root.sh DIR RELEASE}") RELEASE=${2:?usage: root.sh DIR RELEASE}
ASKED_FOR=git,make,ca-certificates,curl,sudo
HERE_RELEASE=$(. /etc/os-release && echo "$VERSION_CODENAME")
for SOURCES in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    if [ -s "$SOURCES" ]; then break; fi
done

# How this machine's apt reaches its sources.
network() { apt-config dump | grep -E '^Acquire::(https?|Check-[A-Za-z-]+|Force[A-Za-z0-9]+|Retries)(::| )' || true; }
NETWORK=$(mktemp)
trap 'rm -f "$NETWORK"' EXIT
network >"$NETWORK"

mkdir -p "$(dirname "$DIR")"
sed "s/\b$HERE_RELEASE\b/$RELEASE/g" "$SOURCES" | nice mmdebstrap --mode=root --variant=minbase --format=directory --quiet \
    --aptopt="$NETWORK" --dpkgopt='force-unsafe-io' --include="$ASKED_FOR" "$RELEASE" "$DIR" -

# As an installer leaves it: the sources under their usual name, a host name that is known, root's home for root alone.
cd "$DIR"
if [ -e etc/apt/sources.list.d/0000main.sources ]; then
    mv etc/apt/sources.list.d/0000main.sources etc/apt/sources.list.d/debian.sources
fi
printf '127.0.0.1 localhost %s\n::1 localhost ip6-localhost\n' "$(cat etc/hostname)" >etc/hosts
chmod 700 root
# Certificates that this machine trusts beside those of the package, as behind a proxy that has its own.
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt
fi
