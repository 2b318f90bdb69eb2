#!/bin/bash
# changes.sh: what changes on the bus by itself (a GPU that is removed, one that comes back, a driver that goes or comes) is announced
# on D-Bus and told to the manager.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
check "a manager runs" start_manager
check "it enrols" enrol
check "the manager takes a heartbeat" within 30 heartbeats_more_than 0
H100=0000:01:00.0
known() { gpuhostctl gpus --json | jq -e --arg a "$H100" 'any(.[]; .Address == $a)'; }
unknown() { gpuhostctl gpus --json | jq -e --arg a "$H100" 'all(.[]; .Address != $a)'; }
driver_is() { is "$(gpuhostctl gpus --json | jq -r --arg a "$H100" '.[] | select(.Address == $a) | .Driver')" "$1"; }
busctl monitor --json=short org.gpuhost.Agent1 >>/tmp/signals 2>/dev/null &
MONITOR=$!
announced() { jq -c "select(.type == \"signal\") | $1 | .member" /tmp/signals | grep .; }
removed='select(.member == "InterfacesRemoved" and .payload.data[0] == "/org/gpuhost/Agent1/gpu/0000_01_00_0")'
added='select(.member == "InterfacesAdded" and .payload.data[0] == "/org/gpuhost/Agent1/gpu/0000_01_00_0")'
driver_changed() {
    announced 'select(.member == "PropertiesChanged" and .path == "/org/gpuhost/Agent1/gpu/0000_01_00_0")
        | select((.payload.data[1] | has("Driver")) or (.payload.data[2] | index("Driver")))'
}
check "the H100 is known" within 10 known
check "its driver is nvidia" within 10 driver_is nvidia
# The monitor hears what comes after it; wait until it hears.
check "the monitor hears the bus" within 10 sh -c 'gpuhostctl rescan >/dev/null; test -s /tmp/signals'

timed_within() {
    local what=$1 from
    from=$(now_ms)
    shift
    check "$what" within 15 "$@"
    note "after $(($(now_ms) - from)) ms"
}
# What the last heartbeat with an inventory says.
manager_counts() { is "$(sed -n 's/^heartbeat accepted .* gpus=\([0-9]*\) .*inventory=yes.*/\1/p' /tmp/manager/log | tail -1)" "$1"; }

echo 1 >$PCI/devices/$H100/remove
timed_within "a GPU that is taken out is gone" unknown
check "D-Bus announces that" within 5 announced "$removed"
check "the manager hears of it in a heartbeat" within 60 manager_counts 7
echo 1 >$PCI/rescan
timed_within "a GPU that is put back is there" known
check "D-Bus announces that too" within 5 announced "$added"
check "the manager hears of that too" within 60 manager_counts 8
check "with its driver" within 10 driver_is nvidia

: >/tmp/signals
echo $H100 >$PCI/drivers/nvidia/unbind
timed_within "an unbound driver is gone" driver_is null
check "D-Bus announces the change of the driver" within 5 driver_changed
echo $H100 >$PCI/drivers/nvidia/bind
timed_within "a bound driver is shown" driver_is nvidia
modprobe vfio-pci
echo vfio-pci >$PCI/devices/$H100/driver_override
echo $H100 >$PCI/drivers/nvidia/unbind
echo $H100 >$PCI/drivers_probe
check "the kernel gives it to vfio-pci" is "$(driver_of $H100)" vfio-pci
timed_within "a GPU given to vfio-pci by hand is shown" driver_is vfio-pci
kill "$MONITOR"
head -c 200000 /tmp/signals >/out/signals
cp /tmp/manager/log /out/manager
journalctl --no-pager >/out/journal
finish changes
