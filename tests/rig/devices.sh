#!/bin/bash
# devices.sh: to be sourced by what runs inside the container. Which device files the host hand can open, seen from inside its unit:
# NVIDIA's own, and of the MIG capabilities the monitor alone, whatever the driver's numbers are. The MIG hands can open the capabilities,
# and one of them can make their files, and no other.
OPENED=/run/rig-devices/opened
NODES=(/dev/nvidiactl /dev/nvidia0 /dev/nvidia-uvm /dev/nvidia-switch0 /dev/mem /dev/null)

# unused_majors: numbers of character devices that nobody has.
unused_majors() {
    local number
    for number in {200..254}; do
        if ! grep -q "^ *$number " /proc/devices; then echo "$number"; fi
    done
}
read -r -d '' CAPS UVM SWITCH _ < <(unused_majors) || true

# NVIDIA's driver as /proc shows it: to PID 1, which looks major numbers up, and to the units, each of which has a fresh /proc. The
# device files are made by a helper of NVIDIA's, here by hand. No driver serves them.
DRIVER=/run/rig-devices/driver
show_driver() {
    mkdir -p $DRIVER/nvidia-caps $DRIVER/nvidia/capabilities/mig &&
        echo "DeviceFileMinor: 1" >$DRIVER/nvidia/capabilities/mig/config &&
        { echo 'Character devices:'; printf '%s\n' "195 nvidia" "$CAPS nvidia-caps" "$UVM nvidia-uvm" "$SWITCH nvidia-nvswitch"
            sed 1d /proc/devices; } >/run/rig-devices/devices &&
        mount --bind /run/rig-devices/devices /proc/devices || return 1
    mknod /dev/nvidiactl c 195 255
    mknod /dev/nvidia0 c 195 0
    mknod /dev/nvidia-uvm c "$UVM" 0
    mknod /dev/nvidia-switch0 c "$SWITCH" 0
    [ -e /dev/mem ] || mknod /dev/mem c 1 1
    mkdir /dev/nvidia-caps
    for number in {0..5}; do mknod --mode=444 "/dev/nvidia-caps/nvidia-cap$number" c "$CAPS" "$number"; done
    for unit in gpuhostd-host gpuhostd-mig-monitor gpuhostd-mig gpuhostd-mig-mode; do
        mkdir -p /run/systemd/system/$unit.service.d
        printf '[Service]\nBindReadOnlyPaths=%s:/proc/driver %s:/proc/devices\n' $DRIVER /run/rig-devices/devices \
            >/run/systemd/system/$unit.service.d/driver.conf
    done
    systemctl daemon-reload
}
hide_driver() {
    rm -r /run/systemd/system/gpuhostd-{host,mig-monitor,mig,mig-mode}.service.d
    systemctl daemon-reload
    umount /proc/devices
    rm -rf /dev/nvidia* /dev/gpuhostd /dev/rig-mem /run/rig-devices
}
numbers() { printf '%s\n' "$@" >$DRIVER/nvidia-caps/mig-minors; }

# start_hand: a fresh host hand, which first says what it can open.
start_hand() {
    # In this order: the front may ask for it, and so start it, at any time.
    rm -f "$OPENED"
    systemctl stop gpuhostd-host.service
    answered gpuhostd host
}
says() { grep -qx "$1 $2" "$OPENED" || { echo "it is not: $1 $2"; cat "$OPENED"; return 1; }; }
# capabilities WANTED…: the numbers of those that it may open for reading.
capabilities() { is "$(sed -n 's/.*nvidia-cap\([0-9]\) ENXIO$/\1/p' "$OPENED" | xargs)" "$*"; }
refuses_all_others() { is "$(grep nvidia-cap "$OPENED" | grep -vc ' EPERM$')" 1; }
monitor_leads_to() { is "$(readlink /dev/gpuhostd/mig-monitor)" "$1"; }
# start_mig_hand ROLE: a fresh MIG hand, which first says in $OPENED what it can open and make.
start_mig_hand() {
    rm -f "$OPENED"
    mkdir -p "/run/systemd/system/gpuhostd-$1.service.d"
    cat >"/run/systemd/system/gpuhostd-$1.service.d/devices.conf" <<UNIT
[Service]
ReadWritePaths=${OPENED%/*}
ExecStartPre=/bin/bash -c '/rig/open-nodes.sh rw ${NODES[*]} >$OPENED; /rig/open-nodes.sh r /dev/nvidia-caps/* >>$OPENED'
ExecStartPre=/bin/bash -c 'mknod /dev/nvidia-caps/nvidia-cap9 c $CAPS 9 && echo made cap9 >>$OPENED || echo refused cap9 >>$OPENED'
ExecStartPre=/bin/bash -c 'mknod /dev/rig-mem c 1 1 && echo made mem >>$OPENED || echo refused mem >>$OPENED'
UNIT
    systemctl daemon-reload
    systemctl stop "gpuhostd-$1.service"
    answered gpuhostd "$1"
}
# Of control groups the host hand may write those of containers and services: devices in version 1, and these two in version 2.
writes_groups_of_containers_alone() {
    grep -q '^/sys/fs/cgroup/[^ ]* writable$' "$OPENED" &&
        ! grep '^/sys/fs/cgroup/[^ ]* writable$' "$OPENED" | grep -vE '^/sys/fs/cgroup/(devices|system\.slice|docker) '
}
nothing_missed() { ! journalctl _PID=1 --no-pager --output=cat | grep "Couldn't stat device"; }

mkdir -p "${OPENED%/*}" /run/systemd/system/gpuhostd-host.service.d
cat >/run/systemd/system/gpuhostd-host.service.d/devices.conf <<UNIT
[Service]
ReadWritePaths=${OPENED%/*}
ExecStartPre=/bin/bash -c '/rig/open-nodes.sh rw ${NODES[*]} >$OPENED; /rig/open-nodes.sh r /dev/nvidia-caps/* /proc/driver/nvidia/capabilities/mig/config >>$OPENED; /rig/writable-groups.sh >>$OPENED'
UNIT
systemctl daemon-reload

check "without a driver the monitor's name leads nowhere" monitor_leads_to /dev/null
check "and PID 1 misses no device file" nothing_missed
check "NVIDIA's driver is shown" show_driver
numbers 'config 1' 'monitor 2' 'gpu0/gi0/access 3'
check "the host hand starts with it" within 10 start_hand
for node in /dev/nvidiactl /dev/nvidia0 /dev/nvidia-uvm; do check "it may open $node" says "$node" ENXIO; done
check "it may not open an NVSwitch" says /dev/nvidia-switch0 EPERM
check "nor the memory" says /dev/mem EPERM
check "of the MIG capabilities it may open the monitor" capabilities 2
check "and no other: not the configuration" says /dev/nvidia-caps/nvidia-cap1 EPERM
check "nor that of an instance, nor the fabric's" refuses_all_others
check "nor the configuration by its old way" says /proc/driver/nvidia/capabilities/mig/config EACCES
check "of control groups it may write those of containers and services" writes_groups_of_containers_alone
sed 's/^/        /' "$OPENED" >&3
numbers 'monitor 5' 'config 2'
check "with a driver of other numbers it starts too" within 10 start_hand
check "and may open the monitor" capabilities 5
check "and not the configuration, which has the other's number" says /dev/nvidia-caps/nvidia-cap2 EPERM
check "and no other" refuses_all_others
numbers 'config 2'
check "with a driver that names no monitor it starts" within 10 start_hand
check "and may open none" capabilities
numbers 'config 1' 'monitor 2' 'gpu0/gi0/access 3'
check "the MIG hand starts with a driver" within 10 start_mig_hand mig
for node in /dev/nvidiactl /dev/nvidia0; do check "it may open $node" says "$node" ENXIO; done
check "and the MIG configuration" says /dev/nvidia-caps/nvidia-cap1 ENXIO
for node in /dev/nvidia-uvm /dev/nvidia-switch0 /dev/mem; do check "it may not open $node" says "$node" EPERM; done
check "it may make the file of an instance" says made cap9
check "and no other device file" says refused mem
rm -f /dev/nvidia-caps/nvidia-cap9
check "the MIG mode hand starts with a driver" within 10 start_mig_hand mig-mode
for node in /dev/nvidiactl /dev/nvidia0; do check "it may open $node" says "$node" ENXIO; done
for node in /dev/nvidia-uvm /dev/nvidia-switch0 /dev/mem; do check "it may not open $node" says "$node" EPERM; done
check "it may make no device file" says refused cap9
check "nor the memory's" says refused mem
check "NVIDIA's driver is gone" hide_driver
systemctl stop gpuhostd-host.service gpuhostd-mig.service gpuhostd-mig-mode.service
check "the host hand goes on without it" within 10 answered gpuhostd host
