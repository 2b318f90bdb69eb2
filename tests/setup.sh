#!/bin/bash
# Makes sure that the tools of the named tiers are here, and installs only what is missing.
#   tests/setup.sh build run test docker vm fuzz packages selinux bench fresh
set -eu
cd "$(dirname "$0")/.."

RUST_MINIMUM=1.89
CARGO_DENY=0.20.2

# Debian package, and what shows that it is here: a command, a file (/…) or a pkg-config module (pc:…).
tier() {
    case $1 in
    build) echo "gcc=cc libc6-dev=/usr/include/stdio.h pkg-config=pkg-config libudev-dev=pc:libudev" ;;
    run) echo "dbus=dbus-daemon jq=jq util-linux=setpriv" ;;
    test) echo "dbus=dbus-daemon polkitd=/usr/lib/polkit-1/polkitd docker.io=dockerd docker-cli=docker umockdev=umockdev-run \
mmdebstrap=mmdebstrap systemd=systemd-analyze udev=/usr/lib/udev/hwdb.bin procps=/usr/bin/kill jq=jq curl=curl strace=/usr/bin/strace bsdutils=script \
util-linux=setpriv python3-jsonschema=py:jsonschema python3-configobj=py:configobj python3-jinja2=py:jinja2 python3-jsonpatch=py:jsonpatch \
python3-requests=py:requests \
python3-yaml=py:yaml python3-prometheus-client=py:prometheus_client zsh=zsh fish=fish man-db=man $(tier fuzz) $(tier packages)" ;;
    docker) echo "docker.io=dockerd docker-cli=docker curl=curl procps=/usr/bin/kill dpkg=dpkg-deb util-linux=nsenter \
libdevmapper1.02.1=/usr/lib/$(uname -m)-linux-gnu/libdevmapper.so.1.02.1" ;;
    vm) echo "qemu-system-x86=qemu-system-x86_64 mmdebstrap=mmdebstrap make=make gcc=gcc libc6-dev=/usr/lib/x86_64-linux-gnu/libc.a \
fdisk=sfdisk e2fsprogs=mkfs.ext4 kmod=depmod util-linux=unshare" ;;
    fuzz) echo "g++=c++" ;;
    packages) echo "dpkg-dev=dpkg-shlibdeps rpm=rpmbuild binutils=objdump python3=/usr/bin/python3 lintian=lintian rpmlint=rpmlint git=git $(tier selinux)" ;;
    selinux) echo "selinux-policy-dev=/usr/share/selinux/devel/Makefile checkpolicy=checkmodule semodule-utils=semodule_link setools=sesearch make=make bzip2=bunzip2" ;;
    fresh) echo "mmdebstrap=mmdebstrap util-linux=unshare" ;;
    bench) echo "pciutils=lspci driverctl=driverctl lshw=lshw python3=/usr/bin/python3 libxml2-utils=xmllint \
prometheus-node-exporter=prometheus-node-exporter containerd=containerd systemd=systemd-analyze dbus=dbus-daemon \
strace=strace valgrind=valgrind \
docker.io=dockerd docker-cli=docker mmdebstrap=mmdebstrap $(tier packages)" ;;
    *) echo "tests/setup.sh: there is no tier '$1' (build, run, test, docker, vm, fuzz, packages, selinux, bench, fresh)" >&2; return 1 ;;
    esac
}

here() {
    case $1 in
    /*) test -e "$1" ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
    *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    local entry
    for entry in "$@"; do
        here "${entry#*=}" || echo "${entry%%=*}"
    done | sort -u
}

install_packages() {
    command -v apt-get >/dev/null || {
        echo "These tools are missing and this is no Debian or Ubuntu: install what your distribution calls $*" >&2
        exit 1
    }
    local as_root=
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as_root=sudo
        else
            echo "Run as root, then again: apt-get install --no-install-recommends $*" >&2
            exit 1
        fi
    fi
    echo "Installing: $*"
    local install="env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    # The lists may be absent or old: only then are they fetched. And what is a package of its own in one release is a part of
    # another in the one before (docker-cli of docker.io): what apt does not know is left out, and looked for at the end.
    $as_root $install "$@" >/dev/null 2>&1 || {
        $as_root apt-get update -qq
        local name known=()
        for name in "$@"; do
            if apt-cache show "$name" >/dev/null 2>&1; then known+=("$name"); fi
        done
        $as_root $install "${known[@]}" >/dev/null
    }
}

need_rust() {
    PATH="$PATH:$HOME/.cargo/bin"
    local have
    have=$(cargo --version 2>/dev/null | cut -d' ' -f2) || true
    if [ -z "$have" ] || [ "$(printf '%s\n' "$RUST_MINIMUM" "$have" | sort -V | head -1)" != "$RUST_MINIMUM" ]; then
        cat >&2 <<END
Rust $RUST_MINIMUM or newer is needed, found: ${have:-none}. Install it with rustup, then run this again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt
(Debian 13, Ubuntu 24.04 and newer: apt install rustup && rustup default stable)
END
        exit 1
    fi
}

need_lints() {
    local part
    for part in clippy rustfmt; do
        cargo "${part/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$part" || {
            echo "cargo ${part/rustfmt/fmt} is missing: rustup component add $part" >&2
            exit 1
        }
    done
    local deny=target/tools/bin/cargo-deny
    if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
        echo "Building cargo-deny $CARGO_DENY (once, about a minute)"
        CARGO_TARGET_DIR=target/tools/build cargo install -q --debug --locked --force --root target/tools "cargo-deny@$CARGO_DENY"
        rm -rf target/tools/build
    fi
}

# Only unpacked: an installed cloud-init would be a service that acts at the next boot.
need_cloud_init() {
    local tree=target/tools/cloud-init debs
    [ ! -e "$tree/usr/lib/python3/dist-packages/cloudinit" ] || return 0
    debs=$(mktemp -d)
    chmod 0755 "$debs"
    (cd "$debs" && { apt-get download -qq cloud-init 2>/dev/null || { apt-get update -qq && apt-get download -qq cloud-init; }; }) || {
        rm -rf "$debs"
        echo "cloud-init cannot be downloaded with apt-get; a test checks docs/autoscale/user-data.yaml with it" >&2
        exit 1
    }
    rm -rf "$tree"
    mkdir -p "$tree"
    dpkg-deb -x "$debs"/cloud-init*.deb "$tree"
    rm -rf "$debs"
}

wanted=()
for name in "$@"; do
    entries=$(tier "$name")
    read -ra entries <<<"$entries"
    wanted+=("${entries[@]}")
done
mapfile -t missing < <(missing_packages "${wanted[@]}")
[ "${#missing[@]}" = 0 ] || install_packages "${missing[@]}"
mapfile -t missing < <(missing_packages "${wanted[@]}")
[ "${#missing[@]}" = 0 ] || {
    echo "Still missing after the installation: ${missing[*]}" >&2
    exit 1
}
case " $* " in *" build "*) need_rust ;; esac
case " $* " in *" test "*) need_lints && need_cloud_init ;; esac
