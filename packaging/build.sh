#!/bin/bash
# build.sh [--profile release|dev] [--binaries DIR] OUTDIR: makes gpuhostd_<version>_<arch>.deb and the .rpm in OUTDIR.
# The programs (packaging/programs) are built with the profile, unless a folder with all of them is given.
set -euo pipefail
PROFILE=release BINARIES=
while [ $# -gt 1 ]; do
    case $1 in
    --profile) PROFILE=$2; shift 2 ;;
    --binaries) BINARIES=$(realpath "$2"); shift 2 ;;
    *) break ;;
    esac
done
[ $# -eq 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
OUT=$(realpath "$1")
cd "$(dirname "$0")/.."

for tool in dpkg-deb dpkg-shlibdeps rpmbuild; do
    command -v "$tool" >/dev/null || { echo "build.sh: $tool is missing: apt-get install dpkg-dev rpm" >&2; exit 1; }
done
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
head -1 packaging/changelog | grep -q "($VERSION)" || {
    echo "build.sh: the first entry of packaging/changelog is not $VERSION, the version in Cargo.toml" >&2
    exit 1
}
if [ -z "$BINARIES" ]; then
    # shellcheck disable=SC2046 # words on purpose
    cargo build --locked --profile "$PROFILE" $(sed 's/ .*//; s/^/-p /' packaging/programs)
    BINARIES=${CARGO_TARGET_DIR:-target}/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
fi
# Two builds of one commit give the same packages. Said only now: build scripts that see it, such as that of ring, would build anew
# what `cargo build` has built without it, and the other way round.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
umask 022

packaging/stage.sh "$BINARIES" "$WORK/deb" /lib/systemd/system
installed() { while read -r name folder _; do echo "$WORK/deb$folder/$name"; done <packaging/programs; }
mapfile -t PROGRAMS < <(installed)
strip --strip-unneeded "${PROGRAMS[@]}"
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
SIZE=$(du -sk --exclude=DEBIAN "$WORK/deb" | cut -f1)
sed "s/@VERSION@/$VERSION/; s/@ARCH@/$ARCH/; s/@SIZE@/$SIZE/; s/@LIBRARIES@/$LIBRARIES/" \
    packaging/deb/control >"$WORK/deb/DEBIAN/control"
install -m 755 packaging/deb/{postinst,prerm,postrm} "$WORK/deb/DEBIAN"
install -m 644 packaging/deb/triggers "$WORK/deb/DEBIAN"
(cd "$WORK/deb" && find etc -type f -printf '/%p\n') >"$WORK/deb/DEBIAN/conffiles"
(cd "$WORK/deb" && find usr lib -type f -exec md5sum {} + | LC_ALL=C sort -k2) >"$WORK/deb/DEBIAN/md5sums"
dpkg-deb --root-owner-group --build "$WORK/deb" "$OUT/gpuhostd_${VERSION}_$ARCH.deb"

packaging/stage.sh "$BINARIES" "$WORK/rpm" /usr/lib/systemd/system
(cd "$WORK/rpm" && find usr -type f -printf '/%p\n') >"$WORK/rpm.files"
rpmbuild --quiet -bb packaging/rpm/gpuhostd.spec --define "_topdir $WORK/rpmbuild" --define "_rpmdir $OUT" \
    --define "product_version $VERSION" --define "staged $WORK/rpm" --define "use_source_date_epoch_as_buildtime 1"
mv "$OUT"/*/gpuhostd-"$VERSION"-*.rpm "$OUT"
rmdir "$OUT/$(uname -m)"
ls -l "$OUT"/gpuhostd[_-]"$VERSION"*
