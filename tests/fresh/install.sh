#!/bin/bash
# install.sh DEB: on a bare machine, as root: apt installs the package with what it depends on, its programs run, and a purge leaves nothing of
# it. No service is started: PID 1 here is none.
set -euo pipefail
DEB=$(realpath "${1:?usage: install.sh DEB}")
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq
apt-get install -qq --yes --no-install-recommends "$DEB" >/dev/null
dpkg-query --show --showformat='${Package} ${Version}: ${Status}\n${Depends}\n' gpuhostd
for program in gpuhostctl gpuhostd; do "$program" --version; done
for program in /usr/bin/gpuhost* /usr/libexec/gpuhostd/*; do
    if ldd "$program" | grep 'not found'; then echo "$program needs a library that is not here" >&2; exit 1; fi
done
gpuhostctl config check /etc/gpuhostd/config.toml
systemd-analyze verify /usr/lib/systemd/system/gpuhostd.service
apt-get purge -qq --yes gpuhostd >/dev/null
for left in /etc/gpuhostd /var/lib/gpuhostd /usr/bin/gpuhostd /usr/libexec/gpuhostd; do
    if [ -e "$left" ]; then echo "the purge has left $left" >&2; exit 1; fi
done
if getent passwd | grep ^gpuhostd; then echo "the purge has left a user" >&2; exit 1; fi
echo "installed, run and purged"
