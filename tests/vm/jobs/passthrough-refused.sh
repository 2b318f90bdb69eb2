#!/bin/bash
# passthrough-refused.sh: what stands in the way of giving a GPU away, each made real and refused by its own name; and requests for what
# is no GPU. The kernel shows afterwards what it showed before.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
insmod modules/extras.ko
EXTRAS=/sys/module/extras/parameters
H100=0000:01:00.0 A4000=0000:02:00.0 AUDIO=0000:02:00.1 A100=0000:05:00.0 VIRTUAL=0000:05:00.1
MODULE=$(modinfo --field filename vfio-pci)
keep_world
policy() { printf '[host.passthrough]\nchanges_per_minute = %d\n' "$1" >/etc/gpuhostd/policy.toml; }

# A kernel without its extra modules.
cp /lib/modules/"$(uname -r)"/modules.dep /tmp/
mv "$MODULE" /tmp/
sed -i '/vfio-pci\.ko/d' /lib/modules/"$(uname -r)"/modules.dep
check "apt installs the product" install_product
refused $H100 vfio_missing
mv /tmp/vfio-pci.ko* "$MODULE"
cp /tmp/modules.dep /lib/modules/"$(uname -r)"/

# What the card is used for besides, and what its driver says of it. All at once: each attempt takes seconds, and each of these must be
# named by itself. says WHAT: the stand-in for nvidia-smi.
mkdir -p /run/nvidia-smi.d
says() { printf '%s\n' "$@" >/run/nvidia-smi.d/$H100; }
echo $H100 >$EXTRAS/framebuffer
check "the kernel has its console on the H100" test -e $PCI/devices/$H100/graphics/fb0
echo $H100 >$EXTRAS/mdev
echo 'two words' >$PCI/devices/$H100/driver_override
says mig=Enabled "virtualization='Host VGPU'" persistence=Enabled pid=4000000
keep_world
refused $H100 "console_in_use guest_memory in_use mediated_devices member_unreadable mig_enabled persistence_mode vgpu_host" --guest-memory-mib 4096
check "the process that only the driver knows is named" grep -w 4000000 /tmp/said
check "and the command that ends persistence mode" grep -F "nvidia-smi -i $H100 -pm 0" /tmp/said
check "and the driver of the frame buffer" grep -E 'frame buffer fb[0-9]+ \(.+\)' /tmp/said
echo none >$EXTRAS/framebuffer
echo none >$EXTRAS/mdev
echo >$PCI/devices/$H100/driver_override

# A virtual GPU of another host, and a holders hand that may not look into other people's processes.
says virtualization=VGPU
DROPIN=/run/systemd/system/gpuhostd-holders.service.d
mkdir -p $DROPIN
printf '[Service]\nCapabilityBoundingSet=\nAmbientCapabilities=\n' >$DROPIN/blind.conf
# stop_hand: the next question starts it again as its unit then says.
stop_hand() { systemctl daemon-reload && systemctl stop gpuhostd-holders.service 2>/dev/null; }
stop_hand
keep_world
refused $H100 "unknown_holder vgpu_guest"
rm -r $DROPIN /run/nvidia-smi.d/$H100
stop_hand

# A keyboard behind the card, and a function that somebody else gave away by hand, as driverctl does. One of a card is enough.
echo $AUDIO >$EXTRAS/usb
modprobe vfio-pci
echo vfio-pci >$PCI/devices/$AUDIO/driver_override
echo $AUDIO >$PCI/drivers/snd_hda_intel/unbind
echo $AUDIO >$PCI/drivers_probe
check "the audio function is on vfio-pci by hand" is "$(driver_of $AUDIO)" vfio-pci
keep_world
refused $A4000 "bound_by_others in_use"
check "the keyboard is named" grep "Keyboard of the rig" /tmp/said
check "nor is it taken back" codes release $A4000 bound_by_others
check "it is still on vfio-pci" unchanged
echo none >$EXTRAS/usb
echo >$PCI/devices/$AUDIO/driver_override
echo $AUDIO >$PCI/drivers/vfio-pci/unbind
echo $AUDIO >$PCI/drivers_probe

# What is no GPU, over the bus and from a front that was taken over: the hand itself refuses.
calls() {
    local said
    if said=$(busctl call org.gpuhost.Agent1 "/org/gpuhost/Agent1/gpu/$1" org.gpuhost.Agent1.Gpu "$2" 'a{sv}' 0 2>&1); then return 1; fi
    grep -E "$3" <<<"$said" || { echo "$said"; return 1; }
}
# hand_refuses ADDRESS WHY: a front that was taken over asks for the first step.
hand_refuses() {
    local lane group said
    group=$(group_of "$1")
    if [ -n "$group" ]; then lane="{\"group\":$group}"; else lane="{\"gpu\":\"$1\"}"; fi
    said=$(call_verb gpuhostd host apply_step "{\"scope\":{\"lane\":$lane,\"gpu\":\"$1\",\"members\":[\"$1\"]},\
\"step\":{\"set_driver_override\":{\"address\":\"$1\",\"to\":\"vfio-pci\"}}}")
    grep -E "$2" <<<"$said" || { echo "$said"; return 1; }
}
unknown() {
    local said
    if said=$(pass bind "$1" 2>&1); then return 1; fi
    grep -E 'no GPU|neither a PCI address' <<<"$said" || { echo "$said"; return 1; }
}
no_gpu() {
    check "$1 ($2): the bus has no such GPU to give away" calls "${1//[:.]/_}" BindPassthrough 'Unknown object'
    check "$1 ($2): nor to take back" calls "${1//[:.]/_}" ReleasePassthrough 'Unknown object'
    check "$1 ($2): the command line has none either" unknown "$1"
    check "$1 ($2): the hand refuses" hand_refuses "$1" '"Err"'
}
echo 2 >$PCI/devices/$A100/sriov_numvfs
keep_world
no_gpu 0000:00:02.0 "the disk with the root"
no_gpu $VIRTUAL "a virtual function"
no_gpu $AUDIO "an audio function"
no_gpu 0000:07:02.0 "an NVSwitch"
no_gpu 0000:00:00.0 "the host bridge"
no_gpu 0000:00:10.0 "a bridge above a GPU"
no_gpu 0000:01:00.1 "a function that is not there"
no_gpu 0001:01:00.0 "another domain"
# Neither the bus nor the hand takes these for an address at all.
check "a path: no object of the bus" calls '0000_00_1f_2/../..' BindPassthrough 'Invalid|not a valid'
check "a path: no GPU" unknown 0000:00:1f.2/../..
check "a path: no request to the hand" hand_refuses 0000:00:1f.2/../.. 'is not a PCI address'
check "nothing has changed" unchanged
echo 0 >$PCI/devices/$A100/sriov_numvfs

policy 1
systemctl reload gpuhostd.service
check "the H100 is given away" pass bind $H100
keep_world
check "a second change in the same minute is too many" codes release $H100 rate_limited
check "it stays given away" unchanged
policy 60
systemctl reload gpuhostd.service
check "with another limit it is taken back" within 10 pass release $H100
check "none of all this has touched it" is "$(shown $H100)" "$H100 driver=nvidia override= vfio="
finish passthrough-refused
