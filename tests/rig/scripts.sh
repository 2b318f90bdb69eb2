#!/bin/bash
# scripts.sh: what the scripts of the packages do for GPUs that are given to virtual machines, and for NVIDIA's devices before a reload, on a
# tree that is mounted over /sys/bus/pci, /var/lib and /dev/char in a mount namespace of its own. As root.
set -euo pipefail
if [ "${1:-}" != inside ]; then exec unshare --mount --propagation private "$(realpath "$0")" inside; fi
cd "$(dirname "$0")/../.."
failed=0
check() {
    local what=$1
    shift
    if "$@"; then echo "ok      $what"; else echo "FAILED  $what"; failed=1; fi
}
not() { ! "$@"; }

# A display function with a driver, as sysfs has it.
function_at() {
    mkdir -p "/sys/bus/pci/devices/$1" "/sys/bus/pci/drivers/$3"
    echo "$2" >"/sys/bus/pci/devices/$1/class"
    ln -sfn "/sys/bus/pci/drivers/$3" "/sys/bus/pci/devices/$1/driver"
    if [ -n "${4:-}" ]; then ln -sfn "../../../kernel/iommu_groups/$4" "/sys/bus/pci/devices/$1/iommu_group"; fi
}
# A record in the journal, of a boot.
record() { printf '{\n  "schema": 2,\n  "entry": {\n    "boot_id": "%s"\n  }\n}\n' "$2" >"/var/lib/gpuhostd/journal/$1"; }
boot=$(cat /proc/sys/kernel/random/boot_id)
earlier=00000000-0000-4000-8000-000000000000
# The scripts as the packages have them: those of the .deb, and of the spec the one that a removal runs.
SCRIPTS=$(mktemp -d)
trap 'rm -rf "$SCRIPTS"' EXIT
for script in prerm postrm postinst; do packaging/script.sh packaging/deb/$script >"$SCRIPTS/$script"; done
packaging/script.sh packaging/rpm/gpuhostd.spec | sed -n '/^%preun$/,/^%postun$/p' | sed '1d; $d; s/%%/%/g' >"$SCRIPTS/preun"
packaging/script.sh packaging/rpm/gpuhostd.spec | sed -n '/^%postun$/,/^%triggerin/p' | sed '1d; $d; s/%%/%/g' >"$SCRIPTS/postun"
# Nothing of this machine is in reach: no service, no user, no folder of an installation.
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/bus/pci
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /etc
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mkdir -p /var/lib/gpuhostd/journal /etc/gpuhostd
function_at 0000:41:00.0 0x030200 nvidia 6
function_at 0000:42:00.0 0x030000 amdgpu 7
function_at 0000:43:00.0 0x020000 vfio-pci 7
record change-1.group-7.json "$boot"
record change-2.group-8.gpu-0000_46_00_0.json "$boot"
record change-3.group-9.json "$earlier"
# GPUs of others: one of which an earlier boot has a record, one without any.
function_at 0000:45:00.0 0x030000 vfio-pci 9
function_at 0000:47:00.0 0x030000 vfio-pci 77

said=$(sh "$SCRIPTS/prerm" remove) && status=0 || status=$?
check "a removal with every GPU of ours at home has nothing to report" test "$status:$said" = 0:
function_at 0000:42:00.0 0x030000 vfio-pci
function_at 0000:44:00.0 0x120000 nvgrace_gpu_vfio_pci 8
function_at 0000:46:00.0 0x030200 vfio-pci
said=$(sh "$SCRIPTS/prerm" remove)
check "a removal names the GPUs that are given to virtual machines" grep -q 'left so: 0000:42:00.0 0000:44:00.0 0000:46:00.0 $' <<<"$said"
check "and no other function and no GPU of others" not grep -qE '0000:4[1357]:00.0' <<<"$said"
check "a removal of the .rpm names the same" test "$(sh "$SCRIPTS/preun" 0)" = "$said"
check "and an upgrade of it none" test -z "$(sh "$SCRIPTS/preun" 1)"
said=$(sh "$SCRIPTS/prerm" upgrade 0.2.0) && status=0 || status=$?
check "an upgrade names none" test "$status:$said" = 0:
said=$(sh "$SCRIPTS/postrm" purge 2>&1) && status=0 || status=$?
check "a purge is refused while one is given" test "$status" = 1
check "and names it" grep -q '0000:42:00.0' <<<"$said"
check "and its record" grep -q 'record: .*/change-1.group-7.json$' <<<"$said"
check "and no record of an earlier boot" not grep -qE 'change-3|0000:4[57]:00.0' <<<"$said"
check "and keeps the record" test -f /var/lib/gpuhostd/journal/change-1.group-7.json
check "and the configuration" test -d /etc/gpuhostd
function_at 0000:42:00.0 0x030000 amdgpu
function_at 0000:44:00.0 0x120000 nvidia
function_at 0000:46:00.0 0x030200 nvidia
for text in '' '{"schema": 2, "en' '{"boot_id": "unknown"}'; do
    printf '%s' "$text" >/var/lib/gpuhostd/journal/change-3.group-9.json
    said=$(sh "$SCRIPTS/postrm" purge 2>&1) && status=0 || status=$?
    check "a purge is refused where a record is '$text'" test "$status" = 1
    check "and names that record" grep -q 'record: .*/change-3.group-9.json$' <<<"$said"
done
record change-3.group-9.json "$earlier"
check "a GPU of others with a record of an earlier boot holds up no purge" sh "$SCRIPTS/postrm" purge
check "and nothing is left" not test -e /var/lib/gpuhostd -o -e /etc/gpuhostd
function_at 0000:42:00.0 0x030000 vfio-pci
check "a GPU of others, without a record of ours, holds up no purge" sh "$SCRIPTS/postrm" purge

# The links in /dev/char: as the function of the postinst makes them.
mkdir /dev/char /dev/nvidia-caps
mknod /dev/nvidia0 c 195 0
mknod /dev/nvidia-caps/nvidia-cap1 c 237 1
touch /dev/nvidia-text
ln -s ../gone /dev/char/237:1
. packaging/pieces/link-devices.sh
link_devices
gone=$(stat() { return 1; }; set -e; rm /dev/char/195:0; link_devices; ls /dev/char)
check "a device that goes meanwhile is left out" test "$gone" = 237:1
link_devices
check "each of NVIDIA's devices has its link" test "$(readlink /dev/char/195:0)" = ../nvidia0
check "a dangling one is replaced" test "$(readlink /dev/char/237:1)" = ../nvidia-caps/nvidia-cap1
check "and what is no device has none" test "$(ls /dev/char | wc -l)" = 2
# The line before each reload makes them.
linked_before_reload() {
    local line before='' reloads=0
    while read -r line; do
        case $line in "systemctl "*daemon-reload*) [ "$before" = link_devices ] && reloads=$((reloads + 1)) || return 1 ;; esac
        before=$line
    done <"$SCRIPTS/$1"
    [ "$reloads" -gt 0 ]
}
check "the links are made before PID 1 reloads" linked_before_reload postinst
check "by the .rpm too" linked_before_reload postun
exit "$failed"
