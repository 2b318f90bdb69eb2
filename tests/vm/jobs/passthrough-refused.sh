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
mkdir -p /etc/gpuhostd
policy 60

# A kernel without its extra modules.
cp /lib/modules/"$(uname -r)"/modules.dep /tmp/
mv "$MODULE" /tmp/
sed -i '/vfio-pci\.ko/d' /lib/modules/"$(uname -r)"/modules.dep
check "apt installs the product" install_product
refused $H100 vfio_missing
mv /tmp/vfio-pci.ko* "$MODULE"
cp /tmp/modules.dep /lib/modules/"$(uname -r)"/

# What the card is used for besides.
echo $H100 >$EXTRAS/framebuffer
check "the kernel has a frame buffer on the H100" test -e $PCI/devices/$H100/graphics/fb0
refused $H100 console_in_use
echo none >$EXTRAS/framebuffer
echo $H100 >$EXTRAS/mdev
refused $H100 mediated_devices
echo none >$EXTRAS/mdev
echo $AUDIO >$EXTRAS/usb
refused $A4000 in_use
check "what is plugged in is named" check_says $A4000 "Keyboard of the rig"
echo none >$EXTRAS/usb

# What the driver says of it. says WHAT: the stand-in for nvidia-smi.
mkdir -p /run/nvidia-smi.d
says() { echo "$1" >/run/nvidia-smi.d/$H100; }
says 'mig=Enabled'
refused $H100 mig_enabled
says "virtualization='Host VGPU'"
refused $H100 vgpu_host
says 'virtualization=VGPU'
refused $H100 vgpu_guest
says 'pid=4000000'
refused $H100 in_use
check "the process that only the driver knows is named" check_says $H100 4000000
rm /run/nvidia-smi.d/$H100

refused $H100 guest_memory --guest-memory-mib 4096
echo 'two words' >$PCI/devices/$H100/driver_override
keep_world
refused $H100 member_unreadable
echo >$PCI/devices/$H100/driver_override

# Somebody else gave it away: by hand, as driverctl does. One function of the card is enough.
modprobe vfio-pci
echo vfio-pci >$PCI/devices/$AUDIO/driver_override
echo $AUDIO >$PCI/drivers/snd_hda_intel/unbind
echo $AUDIO >$PCI/drivers_probe
check "the audio function is on vfio-pci by hand" is "$(driver_of $AUDIO)" vfio-pci
keep_world
refused $A4000 bound_by_others
check "nor is it taken back" codes release $A4000 bound_by_others
check "it is still on vfio-pci" unchanged
echo >$PCI/devices/$AUDIO/driver_override
echo $AUDIO >$PCI/drivers/vfio-pci/unbind
echo $AUDIO >$PCI/drivers_probe

# A holders hand that may not look into other people's processes.
DROPIN=/run/systemd/system/gpuhostd-holders.service.d
mkdir -p $DROPIN
printf '[Service]\nCapabilityBoundingSet=\nAmbientCapabilities=\n' >$DROPIN/blind.conf
systemctl daemon-reload
systemctl stop gpuhostd-holders.service
keep_world
refused $H100 unknown_holder
rm -r $DROPIN
systemctl daemon-reload
systemctl stop gpuhostd-holders.service

# What is no GPU, over the bus and from a front that was taken over: the hand itself refuses.
call() { busctl call org.gpuhost.Agent1 "/org/gpuhost/Agent1/gpu/$1" org.gpuhost.Agent1.Gpu "$2" 'a{sv}' 0; }
act() { ask gpuhostd host "{\"id\":1,\"deadline_ms\":20000,\"ask\":{\"act\":{\"scope\":{\"lane\":$2,\"gpu\":\"$1\",\"members\":[\"$1\"]},\
\"step\":{\"set_driver_override\":{\"address\":\"$1\",\"to\":\"vfio-pci\"}}}}}"; }
hand_refuses() {
    local said
    said=$(act "$1" "$2")
    # A request that is no request at all is closed without an answer.
    [ -z "$said" ] || grep -F '"Err"' <<<"$said"
}
no_gpu() {
    local group
    group=$(group_of "$1")
    check "$1 ($2): the bus has no such GPU to give away" not call "${1//[:.]/_}" BindPassthrough
    check "$1 ($2): nor to take back" not call "${1//[:.]/_}" ReleasePassthrough
    check "$1 ($2): the command line has none either" not pass bind "$1"
    check "$1 ($2): the hand refuses" hand_refuses "$1" "${group:+{\"group\":$group\}}${group:-{\"gpu\":\"$1\"\}}"
}
echo 2 >$PCI/devices/$A100/sriov_numvfs
keep_world
refused $A100 sriov_vfs_active
ROOT=$(basename "$(readlink -f "/sys/class/block/$(findmnt --noheadings --output MAJ:MIN / | xargs -I{} readlink /sys/dev/block/{} | xargs basename)/device/device")")
no_gpu "$ROOT" "the disk with the root"
no_gpu $VIRTUAL "a virtual function"
no_gpu $AUDIO "an audio function"
no_gpu 0000:07:02.0 "an NVSwitch"
no_gpu 0000:00:00.0 "the host bridge"
no_gpu 0000:00:10.0 "a bridge above a GPU"
no_gpu 0000:01:00.1 "a function that is not there"
no_gpu 0001:01:00.0 "another domain"
no_gpu 0000:00:1f.2/../.. "a path"
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
