#!/bin/bash
# fetch.sh: puts real Docker engines, a registry and a static busybox below target/docker, from Debian's packages and beside those
# of the machine: nothing is installed. What is there already is not fetched again.
#   target/docker/20.10  26.1       dockerd, containerd and its shim: these must be there
#   target/docker/28.5              the same of unstable, or 28.5.absent with the reason
#   target/docker/tools             docker-registry, busybox
set -euo pipefail
cd "$(dirname "$0")/../.."
TOP=$PWD/target/docker
APT=$TOP/apt
mkdir -p "$TOP"

fail() { echo "tests/docker/fetch.sh: $*" >&2; exit 1; }

# Where this machine's apt finds Debian. The other suites are beside it.
archive() {
    local release
    release=$(. /etc/os-release && echo "${ID:-} ${VERSION_CODENAME:-}")
    [ "${release% *}" = debian ] || fail "the engines are Debian's: this needs a Debian 12 or newer"
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="${release#* }" '$2 == release && $3 == "main" { print $1; exit }'
}

# An apt with lists and settings of its own, which reaches the network as the machine's does.
own_apt() {
    local uri keys=/usr/share/keyrings/debian-archive-keyring.gpg
    uri=$(archive)
    [ -n "$uri" ] || fail "no source of this machine's apt has Debian's main of this release"
    [ -e "$keys" ] || keys=$(ls /usr/share/keyrings/debian-archive-keyring.* | head -n 1)
    mkdir -p "$APT"/{lists/partial,archives/partial,state}
    printf 'Types: deb\nURIs: %s\nSuites: bookworm trixie sid\nComponents: main\nSigned-By: %s\n' "$uri" "$keys" >"$APT/debian.sources"
    cat >"$APT/apt.conf" <<END
Dir::Etc::sourcelist "$APT/debian.sources";
Dir::Etc::sourceparts "-";
Dir::State "$APT/state";
Dir::State::status "/dev/null";
Dir::State::lists "$APT/lists";
Dir::Cache "$APT";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "root";
END
    export APT_CONFIG=$APT/apt.conf
    apt-get update -qq
}

# unpacked TREE PACKAGE/SUITE…: replaces the tree by the files of these packages.
unpacked() {
    local tree=$TOP/$1 deb debs
    shift
    debs=$(mktemp -d "$TOP/debs.XXXXXX")
    (cd "$debs" && apt-get download -qq "$@") || { rm -rf "$debs"; return 1; }
    rm -rf "$tree" "$tree.new"
    mkdir "$tree.new"
    for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$tree.new"; done
    rm -rf "$debs" "$tree.new/usr/share"
    mv "$tree.new" "$tree"
}

# engine VERSION SUITE: fails where that suite has another version, or where this machine cannot run it.
engine() {
    local version said
    unpacked "$1" "docker.io/$2" "containerd/$2" || { echo "Debian $2 has no docker.io and containerd to download"; return 1; }
    version=$("$TOP/$1/usr/sbin/dockerd" --version 2>&1) || { echo "dockerd of Debian $2 does not run here: $version"; rm -rf "${TOP:?}/$1"; return 1; }
    case $version in
    "Docker version $1."*) said=$("$TOP/$1/usr/bin/containerd" --version) ;;
    *) echo "Debian $2 has $version, and not $1"; rm -rf "${TOP:?}/$1"; return 1 ;;
    esac
    echo "$version, $said"
}

must() {
    local said
    [ ! -e "$TOP/$1" ] || return 0
    said=$(engine "$@") || fail "$said"
    echo "$said"
}

if [ ! -e "$TOP/20.10" ] || [ ! -e "$TOP/26.1" ] || [ ! -e "$TOP/tools" ] || { [ ! -e "$TOP/28.5" ] && [ ! -e "$TOP/28.5.absent" ]; }; then
    own_apt
    must 20.10 bookworm
    must 26.1 trixie
    if [ ! -e "$TOP/28.5" ] && ! said=$(engine 28.5 sid 2>&1); then echo "$said" >"$TOP/28.5.absent"; fi
    if [ ! -e "$TOP/tools" ]; then
        unpacked tools docker-registry/bookworm busybox-static/bookworm || fail "the registry and busybox cannot be downloaded"
    fi
    rm -rf "$APT"
fi
if [ -e "$TOP/28.5.absent" ]; then echo "SKIPPED: Docker 28.5: $(cat "$TOP/28.5.absent")"; fi
