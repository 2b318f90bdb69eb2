#!/bin/bash
# image.sh DIR [selinux]: makes below DIR, once, a bootable Debian of this machine's suite: root.img, vmlinuz, kernel-release and the
# headers that the rig's modules are built with. Prints the folder. Later runs reuse it. With selinux its policy and the module of this
# tree are installed, and each file has its label: in a running guest that takes minutes.
set -euo pipefail
# The headers name their folder by its absolute path.
DIR=$(realpath -m "${1:?usage: image.sh DIR [selinux]}") KIND=${2:-}
case $KIND in '' | selinux) ;; *) echo "image.sh: there is no image '$KIND'" >&2; exit 2 ;; esac
HERE=$(cd "$(dirname "$0")" && pwd)
SUITE=$(. /etc/os-release && echo "$VERSION_CODENAME")
for SOURCES in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    if [ -s "$SOURCES" ]; then break; fi
done
PACKAGES=systemd,systemd-sysv,dbus,polkitd,udev,libudev1,kmod,pciutils,procps,init-system-helpers,passwd,jq,curl
PACKAGES=$PACKAGES,docker.io,busybox-static
# Docker's command line: a part of docker.io until Debian 12, then a package of its own.
[ "$SUITE" = bookworm ] || PACKAGES=$PACKAGES,docker-cli
PARTS_OF_RECIPE=("$HERE/image.sh" "$HERE"/guest/runner*)
if [ "$KIND" = selinux ]; then
    PACKAGES=$PACKAGES,selinux-policy-default,policycoreutils,selinux-utils
    PARTS_OF_RECIPE+=("$HERE"/../../selinux/gpuhostd.*)
fi
KERNEL=linux-image-cloud-amd64
HEADERS=linux-headers-cloud-amd64

# What the image is made of stands in its name: another recipe makes another image.
RECIPE=$(cat "${PARTS_OF_RECIPE[@]}" <(echo "$SUITE") | sha256sum | cut -c1-12)
IMAGE=$DIR/${KIND}image-$RECIPE
if [ -s "$IMAGE/root.img" ]; then
    echo "$IMAGE"
    exit
fi
mkdir -p "$DIR"
WORK=$(mktemp -d "$DIR/building.XXXXXX")
# mmdebstrap mounts /proc, /sys and /dev/shm of this machine into the tree. In a mount namespace of its own no end of it,
# however violent, leaves them where we delete; and what we delete never reaches into another file system.
delete() { rm -rf --one-file-system -- "${@:?}"; }
trap 'delete "$WORK"' EXIT
TREE=$WORK/tree

# In the hook: the packages behind a metapackage, downloaded with the tree's own lists but not installed. The kernel needs no
# initial RAM disk, since NVMe and ext4 are built into it, so nothing that makes one is installed either.
cat >"$WORK/download" <<'HOOK'
set -eu
export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
behind() { apt-cache depends --important "$1" | sed -n "s/.*Depends: \($2\)/\1/p" | head -1; }
kernel=$(behind "$KERNEL" 'linux-image-[0-9].*')
headers=$(behind "$HEADERS" 'linux-headers-[0-9].*')
cd "$DEBS"
apt-get --quiet --quiet -o APT::Sandbox::User=root download "$kernel" "$headers" \
    "$(behind "$headers" 'linux-headers-.*-common')" "$(behind "$headers" 'linux-kbuild-.*')"
echo "${kernel#linux-image-}" >release
HOOK
export KERNEL HEADERS DEBS=$WORK/debs
mkdir "$DEBS"
unshare --mount --propagation private nice mmdebstrap --mode=root --variant=minbase --format=directory --quiet \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='force-unsafe-io' --include="$PACKAGES" \
    --customize-hook="sh '$WORK/download'" "$SUITE" "$TREE" "$SOURCES" >&2
RELEASE=$(cat "$DEBS/release")

unpack() { dpkg-deb --fsys-tarfile "$1" | tar -C "$2" -x --keep-directory-symlink --exclude=./usr/share; }
unpack "$(echo "$DEBS"/linux-image-*.deb)" "$TREE"
chroot "$TREE" depmod "$RELEASE"
mv "$TREE/boot/vmlinuz-$RELEASE" "$WORK/vmlinuz"
delete "$TREE"/boot/* "$TREE"/var/lib/apt/lists/*
mkdir "$WORK/headers"
for deb in "$DEBS"/linux-headers-*.deb "$DEBS"/linux-kbuild-*.deb; do unpack "$deb" "$WORK/headers"; done
# They name each other by absolute paths; here they stand below a folder.
find "$WORK/headers/usr/src" -maxdepth 2 -name Makefile -exec sed -i "s#/usr/src/#$IMAGE/headers/usr/src/#g" {} +

echo gpu-host >"$TREE/etc/hostname"
printf '127.0.0.1 localhost gpu-host\n' >"$TREE/etc/hosts"
: >"$TREE/etc/fstab"
install -m 755 "$HERE/guest/runner" "$TREE/usr/local/sbin/runner"
install -m 644 "$HERE/guest/runner.service" "$TREE/etc/systemd/system/runner.service"
UNITS=$TREE/etc/systemd/system
mkdir -p "$UNITS/multi-user.target.wants"
ln -s ../runner.service "$UNITS/multi-user.target.wants/runner.service"
# What slows the start down and tests nothing of ours. Docker starts in the jobs that use it.
for unit in systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service getty@tty1.service serial-getty@ttyS0.service systemd-hwdb-update.service; do
    ln -sf /dev/null "$UNITS/$unit"
done
rm -f "$UNITS"/*.wants/{docker,containerd}.service "$UNITS"/*.wants/docker.socket

# The policy with our module, enforced from the first process on, and the label of each file. The job runs as an administrator's script does.
enforce_selinux() {
    cp "$HERE"/../../selinux/gpuhostd.* "$WORK/policy"
    make --silent -C "$WORK/policy" -f /usr/share/selinux/devel/Makefile NAME=default gpuhostd.pp >&2
    cp "$WORK/policy/gpuhostd.pp" "$TREE/var/tmp/"
    chroot "$TREE" semodule --noreload --store=default --install=/var/tmp/gpuhostd.pp >&2
    rm "$TREE/var/tmp/gpuhostd.pp"
    printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >"$TREE/etc/selinux/config"
    mkdir -p "$UNITS/runner.service.d"
    printf '[Service]\nSELinuxContext=system_u:system_r:initrc_t:s0\n' >"$UNITS/runner.service.d/selinux.conf"
    # It names files by /proc/self/fd.
    unshare --mount --propagation private sh -euc 'mount -t proc proc "$1/proc"
        chroot "$1" setfiles -F -e /proc /etc/selinux/default/contexts/files/file_contexts /' sh "$TREE" >&2
}
if [ "$KIND" = selinux ]; then
    mkdir "$WORK/policy"
    enforce_selinux
fi

# A fixed partition id: NVMe disks are found in any order, and without an initial RAM disk root= knows no label.
truncate -s 3G "$WORK/root.img"
sfdisk --quiet "$WORK/root.img" <<'END'
label: gpt
start=2048, type=linux, uuid=6f1d0c5e-0001-4000-8000-0000005219a1
END
mkfs.ext4 -q -F -L root -b 4096 -J size=16 -E offset=1048576,lazy_itable_init=1 \
    -d "$TREE" "$WORK/root.img" $((3 * 1024 * 256 - 512))
delete "$TREE" "$DEBS" "$WORK/download"
echo "$RELEASE" >"$WORK/kernel-release"
trap - EXIT
mv "$WORK" "$IMAGE"
for old in "$DIR/${KIND}image"-*; do if [ "$old" != "$IMAGE" ]; then delete "$old"; fi; done
echo "$IMAGE"
