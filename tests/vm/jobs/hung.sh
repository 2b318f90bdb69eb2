#!/bin/bash
# hung.sh: somebody unbinds a driver by hand and that hangs in the kernel, which then holds the lock of the device: files such as
# driver_override and uevent cannot be read until it ends. The daemon goes on for all other GPUs.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
check "a manager runs" start_manager
check "it enrols" enrol
check "the manager takes a heartbeat" within 30 heartbeats_more_than 0
H100=0000:01:00.0 LONE=0000:41:00.0
in_d_state() { grep -q '^State:.D' "/proc/$1/status"; }
echo $H100 >/sys/module/nvidia/parameters/hang
sh -c "echo $H100 >$PCI/drivers/nvidia/unbind" &
writer=$!
check "an unbind hangs" within 10 in_d_state $writer
for file in driver_override uevent power_state vendor; do
    cat $PCI/devices/$H100/$file >/dev/null &
    if within 2 has_ended $!; then note "$file can be read meanwhile"; else note "$file cannot be read meanwhile"; fi
done
shown_gpus() { timeout 5 gpuhostctl gpus --json | jq -r '.[].Address' | paste -sd' '; }
timeout 20 gpuhostctl rescan >/tmp/rescan 2>&1
note "a rescan ended with $?: $(paste -sd' ' /tmp/rescan)"
check "D-Bus answers" faster 5000 shown_gpus
echo 1 >$PCI/devices/$LONE/remove
gone() { not grep -q $LONE <(shown_gpus); }
check "another GPU that is taken out is gone" within 30 gone
check "the H100 is still listed" grep -q $H100 <(shown_gpus)
beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
check "heartbeats go on" within 60 heartbeats_more_than "$beats"
note "threads of the front in D state: $(cat "/proc/$(main_pid gpuhostd.service)"/task/*/status | grep -c '^State:.D')"
check "the service stops within 10 s" faster 10000 systemctl stop gpuhostd.service
note "then it is $(property gpuhostd.service ActiveState), $(property gpuhostd.service Result)"
check "and starts again within 30 s" faster 30000 timeout 60 systemctl start gpuhostd.service
check "and lists what is there" grep -q 0000:02:00.0 <(shown_gpus)
echo none >/sys/module/nvidia/parameters/hang
check "when the kernel lets go, the H100 is shown without a driver" within 40 \
    sh -c "gpuhostctl gpus --json | jq -e 'any(.[]; .Address == \"$H100\" and .Driver == null)'"
timeout 10 journalctl --no-pager >/out/journal
finish hung
