#!/bin/bash
# build.sh [--profile release|dev] [--binaries DIR] OUTDIR: makes gpuhostd_<version>_<arch>.deb and the .rpm in OUTDIR, and those of
# gpuhostd-selinux: the .deb only where Debian's tools for policies are (tests/setup.sh selinux).
# The programs (packaging/programs) are built with the profile, unless a folder with all of them is given. The same commit gives the
# same packages, in whatever folder.
set -euo pipefail
PROFILE=release BINARIES=
while [ $# -gt 1 ]; do
    case $1 in
    --profile) PROFILE=$2; shift 2 ;;
    --binaries) BINARIES=$(realpath "$2"); shift 2 ;;
    *) break ;;
    esac
done
[ $# -eq 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
OUT=$(realpath "$1")
cd "$(dirname "$0")/.."

for tool in dpkg-deb dpkg-shlibdeps rpmbuild objdump python3; do
    command -v "$tool" >/dev/null || {
        echo "build.sh: $tool is missing: apt-get install dpkg-dev rpm binutils python3" >&2
        exit 1
    }
done
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
head -1 packaging/changelog | grep -q "($VERSION)" || {
    echo "build.sh: the first entry of packaging/changelog is not $VERSION, the version in Cargo.toml" >&2
    exit 1
}
# The programs name the files that their panics are in: not where these are on the machine that builds them. Only for what is shipped:
# with other flags than cargo's own everything would be built again for a test.
forget_folders() {
    local home=${CARGO_HOME:-$HOME/.cargo} crates flags=()
    cargo fetch --locked --quiet
    flags=("--remap-path-prefix=$PWD=/usr/src/gpuhostd" "--remap-path-prefix=$home=/usr/src/cargo")
    if [ -n "${CARGO_TARGET_DIR:-}" ]; then flags+=("--remap-path-prefix=$(realpath -m "$CARGO_TARGET_DIR")=/usr/src/target"); fi
    for crates in "$home"/registry/src/*/; do flags+=("--remap-path-prefix=${crates%/}=/usr/src/crates"); done
    export RUSTFLAGS="${RUSTFLAGS:-} ${flags[*]}"
    export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/usr/src/gpuhostd -ffile-prefix-map=$home=/usr/src/cargo"
}
if [ -z "$BINARIES" ]; then
    if [ "$PROFILE" = release ]; then forget_folders; fi
    # shellcheck disable=SC2046 # words on purpose
    cargo build --locked --profile "$PROFILE" $(sed 's/ .*//; s/^/-p /' packaging/programs)
    BINARIES=${CARGO_TARGET_DIR:-target}/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
fi
# Set only now: build scripts that see it, such as that of ring, would build again what `cargo build` has built without it, and the
# other way round.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
umask 022

packaging/stage.sh deb "$BINARIES" "$WORK/deb"
packaging/stage.sh rpm "$BINARIES" "$WORK/rpm"
packaging/third-party.py "$VERSION" "$WORK/sbom.cdx.json" "$WORK/third-party-licenses.txt"
gzip -9n "$WORK/third-party-licenses.txt"
for kind in deb rpm; do
    while read -r name folder _; do strip --strip-unneeded "$WORK/$kind$folder/$name"; done <packaging/programs
    install -m 644 "$WORK/sbom.cdx.json" "$WORK/third-party-licenses.txt.gz" -t "$WORK/$kind/usr/share/doc/gpuhostd"
done
installed() { while read -r name folder _; do echo "$WORK/deb$folder/$name"; done <packaging/programs; }
mapfile -t PROGRAMS < <(installed)
# What a program must not have in it, it has not: the places of its panics name the crates that it is made of.
while read -r name folder never; do
    for crate in ${never//,/ }; do
        if grep -qaE "/$crate-[0-9]+\.[0-9]+" "$WORK/deb$folder/$name"; then
            echo "build.sh: $name has code of $crate in it, which packaging/programs forbids" >&2
            exit 1
        fi
    done
done <packaging/programs
gzip -9n <packaging/changelog >"$WORK/deb/usr/share/doc/gpuhostd/changelog.gz"
mkdir -p "$WORK/deb/DEBIAN" "$WORK/source/debian"
ARCH=$(dpkg --print-architecture)
printf 'Source: gpuhostd\n\nPackage: gpuhostd\nArchitecture: any\n' >"$WORK/source/debian/control"
LIBRARIES=$(cd "$WORK/source" && dpkg-shlibdeps -O "${PROGRAMS[@]}" | sed -n 's/^shlibs:Depends=//p')
# As dpkg-gencontrol counts: what a file has in whole KiB, whatever the file system of this machine needs for it.
SIZE=$(find "$WORK/deb" -path "$WORK/deb/DEBIAN" -prune -o -type f -printf '%s\n' -o -type d -printf '1\n' |
    awk '{ all += int(($1 + 1023) / 1024) } END { print all }')
sed "s/@VERSION@/$VERSION/; s/@ARCH@/$ARCH/; s/@SIZE@/$SIZE/; s/@LIBRARIES@/$LIBRARIES/" \
    packaging/deb/control >"$WORK/deb/DEBIAN/control"
for script in postinst prerm postrm; do
    packaging/script.sh packaging/deb/$script >"$WORK/deb/DEBIAN/$script"
    chmod 755 "$WORK/deb/DEBIAN/$script"
done
install -m 644 packaging/deb/triggers "$WORK/deb/DEBIAN"
(cd "$WORK/deb" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$WORK/deb/DEBIAN/conffiles"
(cd "$WORK/deb" && find usr lib -type f -exec md5sum {} + | LC_ALL=C sort -k2) >"$WORK/deb/DEBIAN/md5sums"
# For a test quick before small: packing what is not optimized takes minutes.
PACK_DEB=() PACK_RPM=()
if [ "$PROFILE" = dev ]; then
    PACK_DEB=(-Zgzip -z1)
    PACK_RPM=(--define "_binary_payload w1.gzdio")
fi
dpkg-deb --root-owner-group "${PACK_DEB[@]}" --build "$WORK/deb" "$OUT/gpuhostd_${VERSION}_$ARCH.deb"

(cd "$WORK/rpm" && { find usr -type f -printf '/%p\n'; find etc -type f -printf '%%config(noreplace) /%p\n'; } | LC_ALL=C sort) >"$WORK/rpm.files"
packaging/script.sh packaging/rpm/gpuhostd.spec >"$WORK/gpuhostd.spec"
rpmbuild --quiet -bb "$WORK/gpuhostd.spec" --define "_topdir $WORK/rpmbuild" --define "_rpmdir $WORK/rpms" \
    --define "product_version $VERSION" --define "staged $WORK/rpm" --define "selinux_sources $PWD/selinux" --define "_buildhost reproducible" \
    --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
    "${PACK_RPM[@]}"
mv "$WORK"/rpms/*/gpuhostd-*.rpm "$OUT"

# The module, compiled against the policy of this release. The .rpm has its source, and compiles it where it is installed: this machine
# has no policy of Fedora's or RHEL's.
selinux_deb() {
    local tree=$WORK/selinux-deb size
    mkdir -p "$WORK/policy" "$tree/DEBIAN"
    cp selinux/gpuhostd.* "$WORK/policy"
    make --silent -C "$WORK/policy" -f /usr/share/selinux/devel/Makefile NAME=default gpuhostd.pp >/dev/null
    install -D -m 644 -t "$tree/usr/share/selinux/packages/gpuhostd" "$WORK/policy/gpuhostd.pp"
    install -D -m 644 -t "$tree/usr/share/doc/gpuhostd-selinux" packaging/copyright selinux/README.md
    install -D -m 644 packaging/deb/selinux/lintian-overrides "$tree/usr/share/lintian/overrides/gpuhostd-selinux"
    gzip -9n <packaging/changelog >"$tree/usr/share/doc/gpuhostd-selinux/changelog.gz"
    size=$(find "$tree/usr" -type f -printf '%s\n' -o -type d -printf '1\n' | awk '{ all += int(($1 + 1023) / 1024) } END { print all }')
    sed "s/@VERSION@/$VERSION/; s/@SIZE@/$size/" packaging/deb/selinux/control >"$tree/DEBIAN/control"
    for script in postinst postrm; do
        packaging/script.sh packaging/deb/selinux/$script >"$tree/DEBIAN/$script"
        chmod 755 "$tree/DEBIAN/$script"
    done
    (cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k2) >"$tree/DEBIAN/md5sums"
    dpkg-deb --root-owner-group "${PACK_DEB[@]}" --build "$tree" "$OUT/gpuhostd-selinux_${VERSION}_all.deb"
}
if [ -e /usr/share/selinux/devel/Makefile ]; then
    selinux_deb
else
    echo "no gpuhostd-selinux_${VERSION}_all.deb: selinux-policy-dev is not here; see tests/setup.sh selinux"
fi

# Both have the same files, but for where a distribution has its own folders and what belongs to its packages.
same_files() {
    (cd "$WORK/$1" && find . -type f -not -path './DEBIAN/*') | sed -E 's#^\./lib/#./usr/lib/#; s#/zsh/(vendor-completions|site-functions)/#/zsh/#' |
        grep -vE '/(copyright|changelog\.gz|lintian/overrides/gpuhostd|licenses/gpuhostd/LICENSE)$' | LC_ALL=C sort
}
diff <(same_files deb) <(same_files rpm) || { echo "build.sh: the packages do not have the same files" >&2; exit 1; }
echo "needs glibc $(objdump -T "${PROGRAMS[@]}" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1 | cut -d_ -f2) or newer"
(cd "$OUT" && sha256sum gpuhostd*"$VERSION"*)
ls -l "$OUT"/gpuhostd*"$VERSION"*
