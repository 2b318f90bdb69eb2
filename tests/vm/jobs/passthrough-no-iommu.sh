#!/bin/bash
# passthrough-no-iommu.sh: a machine without an IOMMU, then with groups as vfio makes them without one. No GPU is given away, since a guest
# could write to all memory.
# boot: -t 600 -n
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "there is no IOMMU group" is "$(ls /sys/kernel/iommu_groups)" ""
insmod modules/extras.ko
check "apt installs the product" install_product
H100=0000:01:00.0 A4000=0000:02:00.0
keep_world
refused $H100 iommu_off
# This kernel is built without no-IOMMU mode (CONFIG_VFIO_NOIOMMU); a module of the rig makes the group by the same calls.
echo $H100 >/sys/module/extras/parameters/noiommu
keep_world
check "the H100 is in a group that protects nobody" is "$(cat $PCI/devices/$H100/iommu_group/name)" vfio-noiommu
check "the product has seen the group" within 10 codes check $H100 no_iommu_mode
refused $H100 no_iommu_mode
refused $A4000 no_iommu_group
finish passthrough-no-iommu
