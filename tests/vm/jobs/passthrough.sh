#!/bin/bash
# passthrough.sh: GPUs are given to a guest and taken back by the product; refusals; holders in a process and in a container. What the
# kernel shows afterwards decides.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
H100=0000:01:00.0 A4000=0000:02:00.0 AUDIO=0000:02:00.1
client() { ./modules/vfio_client "$(group_of "$1")" "$1"; }
keep_world

check "the plan can be seen" pass check $A4000
check "and tried without effect" pass bind $A4000 --dry-run
check "which changes nothing" unchanged

check "the A4000 is given away" pass bind $A4000
given="$A4000 driver=vfio-pci override=vfio-pci vfio=$(group_of $A4000) $AUDIO driver=vfio-pci override=vfio-pci vfio=$(group_of $A4000)"
check "both functions are on vfio-pci" is "$(shown $A4000 $AUDIO | paste -sd' ')" "$given"
check "a guest can open it" client $A4000
check "it is shown so" within 10 use_is $A4000 passthrough
check "giving it again changes nothing" sh -c "gpuhostctl passthrough bind $A4000; true"
check "it is still given" is "$(shown $A4000 $AUDIO | paste -sd' ')" "$given"
mkfifo /tmp/end
./modules/vfio_client "$(group_of $A4000)" $A4000 hold </tmp/end >/tmp/client &
exec 5>/tmp/end
check "a guest holds it" within 10 grep -q holding /tmp/client
check "it is not taken back from under the guest" not pass release $A4000
check "it is still the guest's" is "$(shown $A4000 $AUDIO | paste -sd' ')" "$given"
exec 5>&-
wait
check "without the guest it is taken back" within 20 pass release $A4000
check "everything is as before" unchanged

refused 0000:04:01.0 group_not_isolated
refused 0000:07:01.0 group_not_isolated
refused 0000:41:00.0 no_iommu_group
refused 0000:00:14.0 "boot_vga console_in_use"
echo 2 >$PCI/devices/0000:05:00.0/sriov_numvfs
refused 0000:05:00.0 sriov_vfs_active
echo 0 >$PCI/devices/0000:05:00.0/sriov_numvfs

node=/dev/nvidia$(minor_of $H100)
sleep infinity <"$node" &
holder=$!
refused $H100 in_use
check "the holder is named by its pid" check_says $H100 $holder
kill $holder
wait $holder 2>/dev/null

check "Docker runs" start_docker
docker run --detach --name holder --network none --device "$node" rig sh -c "exec 3<$node; exec sleep 100000" >/dev/null
check "a container holds the card" within 20 container_has_open holder "$node"
refused $H100 in_use
check "the container is named" check_says $H100 "$(docker inspect --format '{{slice .Id 0 12}}' holder)"
docker rm --force holder >/dev/null

printf '[host.passthrough]\nnever = ["%s"]\n' $H100 >/etc/gpuhostd/policy.toml
systemctl reload gpuhostd.service
check "a policy takes effect" within 10 check_says $H100 denied_by_policy
refused $H100 denied_by_policy
rm /etc/gpuhostd/policy.toml
systemctl reload gpuhostd.service
check "nobody may not give a GPU away" not as_user nobody gpuhostctl passthrough bind $H100
check "nothing has changed" unchanged

check "a change to be confirmed is made" pass bind $H100 --confirm-within 5
check "and undone where nobody confirms it" within 30 unchanged
check "one that is confirmed" within 20 pass bind $H100 --confirm-within 60
check "is confirmed" pass confirm $H100
check "and stays" is "$(driver_of $H100)" vfio-pci
check "a container with the group can open it" client_in_container $H100
check "it is taken back" within 20 pass release $H100
check "everything is as before" unchanged

# A driver that does not take its card back.
check "the H100 is given away" pass bind $H100
echo $H100 >/sys/module/nvidia/parameters/refuse
check "a release whose driver refuses is no success" not pass release $H100
check "and is told on D-Bus" within 10 not use_is $H100 host
echo none >/sys/module/nvidia/parameters/refuse
finish passthrough
