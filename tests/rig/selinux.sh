#!/bin/bash
# selinux.sh: compiles the SELinux module, expands it with Debian's whole reference policy, and asks the result what each domain may do.
# The policy itself is not installed: its package is only unpacked, once, below target/selinux.
set -euo pipefail
cd "$(dirname "$0")/../.."
CACHE=$(realpath -m "${CARGO_TARGET_DIR:-target}/selinux")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cp selinux/gpuhostd.* "$WORK"
make --silent -C "$WORK" -f /usr/share/selinux/devel/Makefile NAME=default gpuhostd.pp
if [ ! -f "$CACHE/base.pp" ]; then
    (cd "$WORK" && apt-get download -qq -o APT::Sandbox::User=root selinux-policy-default && dpkg-deb --extract selinux-policy-default_*.deb policy)
    mkdir -p "$CACHE.new"
    for module in "$WORK"/policy/usr/share/selinux/default/*.pp.bz2; do bunzip2 --stdout "$module" >"$CACHE.new/$(basename "$module" .bz2)"; done
    rm -rf "$CACHE"
    mv "$CACHE.new" "$CACHE"
fi
mapfile -t others < <(find "$CACHE" -name '*.pp' ! -name base.pp | sort)
semodule_link -o "$WORK/linked" "$CACHE/base.pp" "${others[@]}" "$WORK/gpuhostd.pp" >/dev/null 2>&1
# The rules that must never be are checked here.
semodule_expand "$WORK/linked" "$WORK/policy.bin"

failed=0
# says WORDS EXPECTED QUERY…: whether the policy has a rule for the query; EXPECTED is yes or no.
asks() {
    local what=$1 expected=$2 found=no rules
    shift 2
    rules=$(sesearch --allow "$@" "$WORK/policy.bin") || { echo "FAILED  $what: sesearch $* failed"; failed=1; return 0; }
    [ -z "$rules" ] || found=yes
    if [ "$found" = "$expected" ]; then echo "ok      $what"; else echo "FAILED  $what: sesearch $*"; failed=1; fi
}
asks "the front reads sysfs" yes --source gpuhostd_t --target sysfs_t --class file --perm read
asks "and does not write it" no --source gpuhostd_t --target sysfs_t --class file --perm write
asks "the child of the host hand does" yes --source gpuhostd_host_child_t --target sysfs_t --class file --perm write
asks "the front reads the files of control groups" yes --source gpuhostd_t --target cgroup_t --class file --perm read
asks "the child of the host hand writes them" yes --source gpuhostd_host_child_t --target cgroup_t --class file --perm write
for domain in gpuhostd_t gpuhostd_host_t gpuhostd_containers_t gpuhostd_holders_t gpuhostd_mig_t; do
    asks "$domain does not" no --source $domain --target cgroup_t --class file --perm write
done
asks "the host hand opens a GPU, for nvidia-smi" yes --source gpuhostd_host_t --target xserver_misc_device_t --class chr_file --perm open
for domain in containers holders mig; do
    asks "the $domain hand opens none" no --source gpuhostd_${domain}_t --target xserver_misc_device_t --class chr_file --perm open
done
asks "the front opens no GPU" no --source gpuhostd_t --target xserver_misc_device_t --class chr_file --perm open
asks "the child of the host hand does" yes --source gpuhostd_host_child_t --target xserver_misc_device_t --class chr_file --perm open
for domain in host containers holders mig; do
    asks "the $domain hand makes no TCP socket" no --source gpuhostd_${domain}_t --class tcp_socket --perm create
    asks "the front connects to the $domain hand" yes --source gpuhostd_t --target gpuhostd_${domain}_t --class unix_stream_socket --perm connectto
done
asks "the front listens on no TCP port" no --source gpuhostd_t --class tcp_socket --perm listen
for domain in gpuhostd_t gpuhostd_host_t gpuhostd_host_child_t gpuhostd_containers_t gpuhostd_holders_t; do
    asks "$domain opens no MIG capability" no --source $domain --target gpuhostd_migcap_device_t --class chr_file --perm open
done
asks "the child of the MIG hands does" yes --source gpuhostd_mig_child_t --target gpuhostd_migcap_device_t --class chr_file --perm open
for domain in holders mig containers; do
    asks "the $domain hand does not speak to PID 1" no --source gpuhostd_${domain}_t --target init_t --class dbus --perm send_msg
done
asks "the holders hand looks into processes" yes --source gpuhostd_holders_t --target gpuhostd_holders_t --class capability --perm sys_ptrace
asks "the front has no capability" no --source gpuhostd_t --target gpuhostd_t --class capability
exit "$failed"
