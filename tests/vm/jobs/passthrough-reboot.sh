#!/bin/bash
# passthrough-reboot.sh: the machine loses power in the middle of a change. After the next start the host is as before the change, no entry
# stays open, and the next change works.
# boot: -t 900 -r
source ./world.sh
H100=0000:01:00.0
as_before() { diff /out/before <(shown $H100); }
no_open_entry() { is "$(find /var/lib/gpuhostd/journal -type f 2>/dev/null)" ""; }

if [ ! -e /out/phase ]; then
    # The GPUs must be there before the service is: the modules are loaded by the system, at each start.
    install -D -t "/lib/modules/$(uname -r)/extra" modules/*.ko
    depmod
    printf 'options pcimask map=%s\n' "$(identities)" >/etc/modprobe.d/rig.conf
    printf 'pcimask\nnvidia\nsnd_hda_intel\n' >/etc/modules-load.d/rig.conf
    install -m 755 nvidia-smi /usr/bin/nvidia-smi
    check "the system loads the modules" systemctl restart systemd-modules-load.service
    check "each function has its identity" within 10 world_is_whole
    check "apt installs the product" install_product
    shown $H100 >/out/before
    # The unbind hangs, so that the power goes in the middle for certain.
    echo $H100 >/sys/module/nvidia/parameters/hang
    echo power-cut >/out/phase
    sync
    gpuhostctl passthrough bind $H100 >/dev/null 2>&1 &
    # Asked of the journal and of the processes, not of the device: its files wait for the unbind that hangs.
    in_the_middle() { not no_open_entry && ps -eo ppid=,stat= | awk '$1 != 2 && $2 ~ /^D/ { hangs = 1 } END { exit !hangs }'; }
    check "the change is in its middle" within 60 in_the_middle
    # The log is the only thing of ours that must outlive the cut; what the product needs it must have written through itself.
    sync -d /out/log
    echo b >/proc/sysrq-trigger
    exec sleep infinity
fi
check "each function has its identity after the cut" within 10 world_is_whole
check "the service is back" within 60 active gpuhostd.service
check "the host is as before" within 30 as_before
check "no open entry is left" within 30 no_open_entry
# On a machine that is slow to start the daemon is ready before the bus is.
check "it answers on the bus" within 120 gpuhostctl gpus
check "the GPU can be given away now" gpuhostctl passthrough bind $H100
check "a guest can open it" ./modules/vfio_client "$(group_of $H100)" $H100
check "and it is taken back" gpuhostctl passthrough release $H100
check "as before" as_before
finish passthrough-reboot
