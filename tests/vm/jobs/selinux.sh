#!/bin/bash
# selinux.sh: the product on a kernel that enforces SELinux, with its module in the policy: each process in its domain, what a host does on
# an ordinary day, a GPU given to a guest and taken back; and the kernel and the bus have refused none of it.
# boot: -t 1500 -s
# image: selinux
source ./world.sh
A4000=0000:02:00.0 AUDIO=0000:02:00.1

# The kernel limits how many messages it prints without an audit daemon.
sysctl --quiet kernel.printk_ratelimit=0
check "SELinux enforces" is "$(getenforce)" Enforcing
check "the module is in the policy" grep -qx gpuhostd <(semodule --list-modules)
# NVIDIA's is a program and no script. What stands in for it here is one, and the policy lets the host hand start no shell: so its
# interpreter is a program of another name.
plain_interpreter() {
    cp /usr/bin/bash /usr/bin/rig-bash && chcon --type bin_t /usr/bin/rig-bash && sed -i '1s#.*#\#!/usr/bin/rig-bash#' /job/nvidia-smi
}
check "the stand-in for nvidia-smi needs no shell" plain_interpreter
# The rig's modules have the label of the job's folder, and modules of the kernel are loaded from files of their own type alone.
check "the rig's modules are labelled" chcon --type modules_object_t /job/modules/*.ko
check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
check "its files have their labels" is "$(stat -c %C /usr/bin/gpuhostd /usr/libexec/gpuhostd/gpuhostd-host /etc/gpuhostd | cut -d: -f3 | paste -sd' ')" \
    "gpuhostd_exec_t gpuhostd_host_exec_t gpuhostd_conf_t"
service_is_alive

runs_in() { is "$(cut -d: -f3 "/proc/$(main_pid "$1")/attr/current")" "$2"; }
check "the front is in its domain" within 30 runs_in gpuhostd.service gpuhostd_t
for role in host containers holders mig; do
    check "the $role hand is in its domain" within 30 runs_in "gpuhostd-$role.service" "gpuhostd_${role}_t"
done
check "the MIG mode hand is in that of the MIG hand" within 30 runs_in gpuhostd-mig-mode.service gpuhostd_mig_t

check "any user may read" as_user nobody gpuhostctl gpus
check "there are eight GPUs" is "$(gpuhostctl gpus --json | jq length)" 8
named() { is "$(bus_get 0000:01:00.0 Uuid)" "GPU-00000000-0000-0000-0000-000000001000"; }
check "nvidia-smi, run by the host hand, names the H100" within 60 named
check "the IOMMU groups are shown" gpuhostctl iommu
check "doctor runs" sh -c 'gpuhostctl doctor >/out/doctor; [ -s /out/doctor ]'
check "a rescan is done" gpuhostctl rescan
check "it reloads" systemctl reload gpuhostd.service
check "polkit is asked, and refuses" not as_user nobody gpuhostctl rescan --no-ask

keep_world
check "the plan can be seen" pass check $A4000
check "the A4000 is given away" pass bind $A4000
check "both functions are on vfio-pci" is "$(driver_of $A4000) $(driver_of $AUDIO)" "vfio-pci vfio-pci"
check "it is shown so" within 10 use_is $A4000 passthrough
check "it is taken back" within 60 pass release $A4000
check "everything is as before" unchanged
check "it stops within 10 s" faster 10000 systemctl stop gpuhostd.service
check "and starts again" systemctl start gpuhostd.service
service_is_alive

# What the kernel and the message bus have refused or, in permissive mode, would have: only where one of ours is a part of it.
denials() {
    { dmesg; journalctl --no-pager --output=cat; } | grep -E 'avc: +denied|USER_AVC' | tee /out/denials | grep gpuhostd |
        sed -E 's/.*(avc: +denied)/\1/; s/ (pid|ino)=[0-9]+//g' | sort | uniq -c | sort -rn
}
nothing_refused() { is "$(denials)" ""; }
check "nothing of ours was refused" nothing_refused
finish selinux
