#!/bin/bash
# selinux-boot.sh …: boots as boot.sh does, with the same arguments, a kernel on which SELinux is on.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
SHIM=$(mktemp -d)
trap 'rm -rf "$SHIM"' EXIT
# The arguments of the kernel are boot.sh's, but for one.
cat >"$SHIM/qemu-system-x86_64" <<END
#!/bin/bash
exec $(command -v qemu-system-x86_64) "\${@/selinux=0/security=selinux selinux=1}"
END
chmod 755 "$SHIM/qemu-system-x86_64"
PATH=$SHIM:$PATH "$HERE/boot.sh" "$@"
