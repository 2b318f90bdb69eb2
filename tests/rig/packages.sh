#!/bin/bash
# packages.sh [PACKAGES [PART…]]: installs, exercises and removes the .deb and the .rpm of that folder under a real systemd, and
# upgrades the .deb ten times, and lets a probe hang in the kernel for STUCK_SECONDS. The parts are deb, rpm, upgrades and stuck.
set -euo pipefail
PACKAGES=$(realpath "${1:-$(dirname "$0")/../../out/test/packages}")
source "$(dirname "$0")/rig.sh"
for kind in deb rpm; do
    compgen -G "$PACKAGES/gpuhostd*.$kind" >/dev/null || {
        echo "packages.sh: no .$kind in $PACKAGES: packaging/build.sh $PACKAGES" >&2
        exit 1
    }
done
# The manager that the service enrols with.
(cd "$RIG_HERE/../.." && cargo build --quiet --locked -p manager)
install -D -t "$RIG/bin" "$(realpath "${CARGO_TARGET_DIR:-$RIG_HERE/../../target}")/debug/reference-manager"
rig_docker
rig_image
shift || true
[ $# -gt 0 ] || set -- deb rpm upgrades stuck
failed=0
for part in "$@"; do
    rig_boot "gpuhostd-rig-$part" --volume "$PACKAGES:/packages:ro" --volume "$RIG_HERE:/rig:ro" \
        --volume "$RIG/bin:/rig-bin:ro"
    rig_in "gpuhostd-rig-$part" env STUCK_SECONDS="${STUCK_SECONDS:-75}" bash "/rig/inside-$part.sh" || failed=1
    docker rm --force --volumes "gpuhostd-rig-$part" >/dev/null
done
exit "$failed"
