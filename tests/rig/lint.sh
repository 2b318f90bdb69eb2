#!/bin/bash
# lint.sh [PACKAGES]: lintian and rpmlint over the packages of that folder. What they find has an override with its reason
# (packaging/deb/lintian-overrides, packaging/rpm/rpmlint.toml) or fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
PACKAGES=${1:-out/test/packages}
lintian --fail-on error,warning --display-level '>=warning' --allow-root "$PACKAGES"/gpuhostd*.deb
said=$(rpmlint --config packaging/rpm/rpmlint.toml "$PACKAGES"/gpuhostd-*.rpm) || { echo "$said"; exit 1; }
echo "$said"
! grep -E ': [EW]: ' <<<"$said"
