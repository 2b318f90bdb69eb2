#!/bin/bash
# kernel.sh: what a kernel does when GPUs are rebound by hand. The planner and the simulated host rest on these facts; the product is
# not installed here.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
H100=0000:01:00.0 A4000=0000:02:00.0 AUDIO=0000:02:00.1 T4=0000:04:01.0 OTHER_T4=0000:04:02.0 LONE=0000:41:00.0
check "vfio-pci can be loaded" modprobe vfio-pci
check "the driver has the cards" is "$(driver_of $H100) $(driver_of $A4000) $(driver_of $AUDIO)" "nvidia nvidia snd_hda_intel"

# give ADDRESS… / take ADDRESS…: to vfio-pci and back.
give() {
    local a
    for a in "$@"; do
        echo vfio-pci >$PCI/devices/$a/driver_override
        if [ -e $PCI/devices/$a/driver ]; then echo $a >$PCI/devices/$a/driver/unbind; fi
        echo $a >$PCI/drivers_probe
    done
}
take() {
    local a
    for a in "$@"; do
        echo >$PCI/devices/$a/driver_override
        if [ -e $PCI/devices/$a/driver ]; then echo $a >$PCI/devices/$a/driver/unbind; fi
        echo $a >$PCI/drivers_probe
    done
}
client() { ./modules/vfio_client "$(group_of "$1")" "$1"; }
ends_with() {
    local code=0
    "${@:2}" || code=$?
    is "$code" "$1"
}
refuse() { echo "$1" >/sys/module/nvidia/parameters/refuse; }
hang() { echo "$1" >/sys/module/nvidia/parameters/hang; }

give $A4000
check "with its audio function on another driver, its group is not viable" ends_with 3 client $A4000
give $AUDIO
check "with both given, a guest may open it" client $A4000
note "$(shown $A4000 $AUDIO | paste -sd';')"
check "DMA needs locked memory" not setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock prlimit --memlock=8388608 \
    ./modules/vfio_client "$(group_of $A4000)" $A4000
take $A4000 $AUDIO
check "taken back, both have their drivers and no override" is "$(shown $A4000 $AUDIO | paste -sd' ')" \
    "$A4000 driver=nvidia override= vfio= $AUDIO driver=snd_hda_intel override= vfio="

give $T4
check "one of two cards in a group is not viable" ends_with 3 client $T4
take $T4
check "a card without a group: the write to drivers_probe says yes" give $LONE
check "and binds nothing" is "$(driver_of $LONE)" ""
take $LONE

# Without an override first, the former driver takes the card back.
echo $H100 >$PCI/drivers/nvidia/unbind
echo $H100 >$PCI/drivers_probe
check "without an override the former driver is back at once" is "$(driver_of $H100)" nvidia
refuse $H100
echo $H100 >$PCI/drivers/nvidia/unbind
check "a driver that refuses: the write to drivers_probe says yes" sh -c "echo $H100 >$PCI/drivers_probe"
check "and binds nothing either" is "$(driver_of $H100)" ""
refuse none
echo $H100 >$PCI/drivers_probe
check "it binds again" is "$(driver_of $H100)" nvidia


# An unbind waits, not to be killed, for whoever has the card open.
in_d_state() { grep -q '^State:.D' "/proc/$1/status"; }
node=/dev/nvidia$(minor_of $H100)
check "its device node is there" test -c "$node"
sleep infinity <"$node" &
holder=$!
sh -c "echo $H100 >$PCI/drivers/nvidia/unbind" &
writer=$!
check "an unbind of a card in use hangs in the kernel" within 10 in_d_state $writer
kill -9 $writer
check "and cannot be killed" in_d_state $writer
# The kernel takes the link away before it calls the driver: no link does not mean that the card is free.
check "the link to the driver is gone already" is "$(driver_of $H100)" ""
check "but not the device node" test -c "$node"
# Nor can be read what needs the lock of the device: whoever looks at it is stuck as well.
cat $PCI/devices/$H100/driver_override >/tmp/override &
reader=$!
check "driver_override cannot be read meanwhile" within 10 in_d_state $reader
check "a probe meanwhile says yes at once and does nothing" timeout 10 sh -c "echo $H100 >$PCI/drivers_probe"
kill $holder
check "the unbind ends when the holder does" within 10 has_ended $writer
wait $reader
echo $H100 >$PCI/drivers_probe
check "then the driver can have it again" is "$(driver_of $H100)" nvidia
hang $H100
sh -c "echo $H100 >$PCI/drivers/nvidia/unbind" &
writer=$!
check "told so, it hangs for nobody's sake" within 10 in_d_state $writer
hang none
check "until told otherwise" within 10 has_ended $writer
wait $writer
check "then it is without a driver" is "$(driver_of $H100)" ""
echo $H100 >$PCI/drivers_probe
check "and binds again" is "$(driver_of $H100)" nvidia

# The same on the side of VFIO, from a virtual machine monitor and from a container.
give $H100
mkfifo /tmp/end
./modules/vfio_client "$(group_of $H100)" $H100 hold </tmp/end >/tmp/client &
exec 5>/tmp/end
check "a guest holds the card" within 10 grep -q holding /tmp/client
check "a second one is refused the group" not client $H100
sh -c "echo $H100 >$PCI/drivers/vfio-pci/unbind" 5>&- &
writer=$!
check "the unbind waits for the guest" within 10 grep vfio_unregister "/proc/$writer/stack"
exec 5>&-
check "and ends with it" within 10 has_ended $writer
wait
take $H100
check "the driver has it again" is "$(driver_of $H100)" nvidia

check "Docker runs" start_docker
give $H100
check "a container with the group and unlimited locked memory can open it" client_in_container $H100
take $H100
node=/dev/nvidia$(minor_of $H100)
docker run --detach --name holder --network none --device "$node" rig sh -c "exec 3<$node; exec sleep 100000" >/dev/null
check "a container holds the card" within 20 container_has_open holder "$node"
sh -c "echo $H100 >$PCI/drivers/nvidia/unbind" &
writer=$!
check "an unbind waits for the container" within 10 in_d_state $writer
docker rm --force holder >/dev/null
check "and ends with it" within 20 has_ended $writer
wait
echo $H100 >$PCI/drivers_probe

check "SR-IOV: two virtual functions" sh -c "echo 2 >$PCI/devices/0000:05:00.0/sriov_numvfs && test -e $PCI/devices/0000:05:00.0/virtfn1"
give 0000:05:00.1
check "one of them can be given to a guest" client 0000:05:00.1
finish kernel
