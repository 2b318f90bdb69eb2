#!/bin/bash
# passthrough-stuck.sh: an unbind that hangs in the kernel. The GPU is quarantined, everything else goes on, and the service stops in time.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
check "a manager runs" start_manager
check "it enrols" enrol
H100=0000:01:00.0 A4000=0000:02:00.0 AUDIO=0000:02:00.1
stuck_are() { is "$(ps -eo stat= | grep -c '^D')" "$1"; }
echo $H100 >/sys/module/nvidia/parameters/hang
check "a bind whose unbind hangs is no success" not timeout 120 gpuhostctl passthrough bind $H100
check "the GPU is quarantined" within 30 use_is $H100 quarantined
check "one process hangs" stuck_are 1
beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
check "heartbeats go on" within 60 heartbeats_more_than "$beats"
check "D-Bus answers within a second" faster 3000 gpuhostctl gpus
check "it is refused another change" not gpuhostctl passthrough bind $H100
check "still one process hangs" stuck_are 1
check "another GPU can be given away" gpuhostctl passthrough bind $A4000
check "and taken back" gpuhostctl passthrough release $A4000
check "the service stops within 10 s" faster 10000 systemctl stop gpuhostd.service
check "and starts again" faster 60000 systemctl start gpuhostd.service
check "it still knows" within 30 use_is $H100 quarantined
echo none >/sys/module/nvidia/parameters/hang
check "when the kernel lets go, nothing hangs" within 20 stuck_are 0
note "$(shown $H100 $A4000 $AUDIO | paste -sd';')"
finish passthrough-stuck
