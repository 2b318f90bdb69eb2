#!/bin/bash
# desired.sh: a manager's document gives a GPU to vfio-pci, the next revision takes it back, a third holds over a cut of the power while
# no manager answers; a lock, the policy and a file of the host have precedence over a manager. What the kernel shows decides.
# boot: -t 900 -r
source ./world.sh
H100=0000:01:00.0
# The manager's files must outlive the cut.
KEPT=/var/lib/rig-manager WISH=$KEPT/wish.json
as_before() { diff /out/before <(shown $H100); }
given() { is "$(driver_of $H100)" vfio-pci; }
# wish REVISION USE: the manager wishes this from now on.
wish() {
    printf '{"epoch":"rig","revision":%d,"issued_at":"2026-01-01T00:00:00Z","agent":{"labels":{"revision":"%d"}},"gpus":[{"match":{"bdf":"%s"},"use":"%s"}]}\n' \
        "$1" "$1" $H100 "$2" >$WISH.new && mv $WISH.new $WISH
}
manager_up() { mkdir -p $KEPT /tmp/manager && cp -a $KEPT/. /tmp/manager/ && start_manager --every 5 --dump-last /tmp/manager/last.json --desired $WISH; }
# told FILTER VALUE: what the last heartbeat says.
told() { is "$(jq -r "$1" /tmp/manager/last.json)" "$2"; }
applied() { told .observed.applied_revision "$1"; }
unmet() { told '[.observed.unmet[].code] | unique | join(" ")' "$1"; }

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
    check "a manager runs" manager_up
    check "the host enrols" enrol
    wish 1 passthrough
    check "without leave of the policy a GPU stays" within 60 unmet denied_by_local_policy
    check "and the labels are set all the same" within 10 told .effective.labels.revision 1
    check "the GPU has its driver" as_before
    printf '[manager]\npassthrough = true\nchanges_per_minute = 6\n' >/etc/gpuhostd/policy.toml
    systemctl reload gpuhostd.service
    check "with it the first revision gives the GPU away" within 60 given
    check "and is told as applied" within 60 applied 1
    check "a guest can open it" ./modules/vfio_client "$(group_of $H100)" $H100
    wish 2 containers
    check "the second takes it back" within 60 as_before
    check "and is told as applied" within 60 applied 2
    check "a lock holds the manager" gpuhostctl lock
    wish 3 passthrough
    check "the third is held" within 60 unmet remote_locked
    check "and the GPU stays" as_before
    check "without the lock" gpuhostctl unlock
    check "it is given away" within 60 given
    check "and is told as applied" within 60 applied 3
    systemctl stop rig-manager.service
    cp -a /tmp/manager/. $KEPT/
    echo power-cut >/out/phase
    sync
    echo b >/proc/sysrq-trigger
    exec sleep infinity
fi
check "each function has its identity after the cut" within 10 world_is_whole
check "the service is back" within 60 active gpuhostd.service
check "the third revision is in force again, without a manager" within 120 given
check "it is shown so on the bus" within 60 use_is $H100 passthrough
check "the manager comes back" manager_up
check "and hears that it is applied" within 60 applied 3
mkdir -p /etc/gpuhostd/desired.d
printf '[[gpus]]\nmatch = { bdf = "%s" }\nuse = "containers"\n' $H100 >/etc/gpuhostd/desired.d/50-own.toml
check "a file of the host has precedence" within 60 as_before
check "and the manager hears it" within 60 unmet held_locally
rm /etc/gpuhostd/desired.d/50-own.toml
check "without the file the manager's wish is done" within 120 given
wish 4 containers
check "and the last revision takes it back" within 120 as_before
check "as the manager hears" within 60 applied 4
finish desired
