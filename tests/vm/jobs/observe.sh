#!/bin/bash
# observe.sh: the package installed by apt; what the product shows of GPUs and IOMMU groups is what lspci and sysfs show, address by
# address; the powers of its processes under the guest's systemd.
# boot: -t 600
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
echo 2 >$PCI/devices/0000:05:00.0/sriov_numvfs
check "the A100 has two virtual functions" test -e $PCI/devices/0000:05:00.0/virtfn1
lspci -nnk >/out/lspci

# The topology itself: what the kernel makes of the emulated machine.
group_has() { is "$(endpoints_of_group "$(group_of "$1")" | paste -sd' ')" "$2"; }
check "the H100 is alone in its group" group_has 0000:01:00.0 "0000:01:00.0"
check "the A4000 and its audio function share one" group_has 0000:02:00.0 "0000:02:00.0 0000:02:00.1"
check "two T4 share one" group_has 0000:04:01.0 "0000:04:01.0 0000:04:02.0"
check "an A100 and an NVSwitch share one" group_has 0000:07:01.0 "0000:07:01.0 0000:07:02.0"
check "a virtual function has its own" group_has 0000:05:00.1 "0000:05:00.1"
check "the GTX 970 has none" is "$(group_of 0000:41:00.0)" ""
check "the console is of another vendor" is "$(cat $PCI/devices/0000:00:14.0/boot_vga)" 1

from=$(now_ms)
check "apt installs the product" install_product
note "installed and active after $(($(now_ms) - from)) ms"
service_is_alive
check "it has told systemd that it is ready" is "$(property gpuhostd.service SubState)" running

# What sysfs and lspci say of all functions, as lines: few processes, since each costs a tenth of a second here.
facts() {
    lspci -Dvmmnk | awk '/^Slot:/ { slot = $2 } /^(Vendor|Device|Driver):/ { print "lspci", slot, tolower(substr($1, 1, length($1) - 1)), $2 }'
    find $PCI/devices/*/ -maxdepth 1 -type l -printf 'link %h %f %l\n' | sed 's# [^ ]*/devices/# #; s#/ # #; s# [^ ]*/# #'
    grep -H . $PCI/devices/*/{class,subsystem_vendor,subsystem_device,boot_vga,power_state} 2>/dev/null |
        sed 's#.*/devices/\([^/]*\)/\([^:]*\):#file \1 \2 #; s# 0x# #; s# (null)$##'
}
# The same in the words of the product's JSON.
cat >/tmp/kernel.jq <<'END'
def card: .address[0:10];
def is_gpu: .class[0:2] == "03";
def is_bridge: .class[0:4] == "0604" or .class[0:4] == "0600";
def pci_id: .lspci_vendor + ":" + .lspci_device;
def object: "/org/gpuhost/Agent1/gpu/" + (.address | gsub("[:.]"; "_"));
[inputs | split(" ")] | group_by(.[1]) | map(reduce .[] as $fact ({address: .[0][1]};
    . + {(if $fact[0] == "lspci" then "lspci_" + $fact[2] else $fact[2] end): $fact[3]})) as $all
| ($all | map(select(is_gpu and .physfn == null))) as $gpus
| {gpus: [$gpus[] | . as $gpu | {
    Address: .address, Class: .class, PciId: pci_id, SubsystemId: (.subsystem_vendor + ":" + .subsystem_device),
    Driver: .lspci_driver, DriverOverride: null,
    IommuGroup: (.iommu_group | if . then "/org/gpuhost/Agent1/iommu_group/" + . else null end),
    BootVga: (.boot_vga | if . then . == "1" else null end),
    PowerState: (.power_state | if . == "unknown" then null else . end),
    Companions: [$all[] | select(card == ($gpu | card) and .address != $gpu.address and .physfn == null) | .address],
    VirtualFunctions: ([to_entries[] | select(.key | startswith("virtfn")) | .value] | sort)}],
   groups: [$all | map(select(.iommu_group)) | group_by(.iommu_group | tonumber)[] | . as $members
    | map(select(is_gpu)) as $inside | select($inside | any(.physfn == null)) | ($inside | map(card)) as $cards
    | ($members | map(select(is_bridge | not))) as $endpoints | {
    Id: (.[0].iommu_group | tonumber),
    Members: map({Address: .address, PciId: pci_id, Class: .class, Driver: .driver}),
    Gpus: ($inside | map(object)),
    Foreign: [$endpoints[] | select(card as $card | $cards | index($card) | not) | .address],
    Isolated: ($endpoints | map(card) | unique | length == 1),
    Viable: ($endpoints | all(.driver == null or .driver == "vfio-pci"))}]}
END
cat >/tmp/product.jq <<'END'
{gpus: [.[0][] | {Address, Class, PciId, SubsystemId, Driver, DriverOverride, IommuGroup, BootVga, PowerState, Companions,
                  VirtualFunctions}],
 groups: [.[1][] | {Id, Members: [.Members[] | {Address, PciId, Class, Driver}], Gpus, Foreign, Isolated, Viable}]}
END
of_kernel() { facts | jq -nR -f /tmp/kernel.jq | tee /out/kernel.json | jq -S "$1"; }
of_product() { (gpuhostctl gpus --json && gpuhostctl iommu --json) | jq -s -f /tmp/product.jq | tee /out/product.json | jq -S "$1"; }
same() { diff <(of_kernel "$1") <(of_product "$1"); }
check "each GPU is shown as the kernel shows it" within 10 same .gpus
check "each IOMMU group is shown as the kernel shows it" within 10 same .groups
gpuhostctl gpus --json >/out/gpus
gpuhostctl gpus >/out/gpus.txt
gpuhostctl iommu >/out/iommu.txt
check "there are eight GPUs" is "$(jq length /out/gpus)" 8
# A virtual function is no GPU of its own: its group is not shown.
check "seven of them in six groups" is "$(jq '[.groups[].Gpus | length] | length, add' /out/kernel.json | paste -sd' ')" "6 7"
note "$(jq -r '[.[] | .Address + " " + (.Driver // "none") + " " + .Use] | join("; ")' /out/gpus)"

for key in Address PciId Class; do
    check "D-Bus gives the same $key" is "$(bus_get 0000:02:00.0 $key)" "$(jq -r ".[] | select(.Address == \"0000:02:00.0\") | .$key" /out/gpus)"
done
check "the group of the H100 on D-Bus is the kernel's" \
    is "$(bus_get 0000:01:00.0 IommuGroup)" "/org/gpuhost/Agent1/iommu_group/$(group_of 0000:01:00.0)"
reasons_of() { jq -r ".[] | select(.Address == \"$1\") | .PassthroughReasons | join(\" \")" /out/gpus; }
reasons_name() { grep -w "$2" <<<"$(reasons_of "$1")" || { echo "$1: '$(reasons_of "$1")' lacks $2"; return 1; }; }
check "the T4 cannot be given away alone" reasons_name 0000:04:01.0 group_not_isolated
check "nor can the A100 beside an NVSwitch" reasons_name 0000:07:01.0 group_not_isolated
check "nor can the console" reasons_name 0000:00:14.0 boot_vga
note "reasons: $(jq -r '[.[] | .Address + ": " + (.PassthroughReasons | join(","))] | join("; ")' /out/gpus)"
named() { is "$(bus_get 0000:01:00.0 Uuid)" "GPU-00000000-0000-0000-0000-$1"; }
check "nvidia-smi, run by the host hand, names the H100" within 30 named 000000001000

# One step, really written by the host hand as its unit runs it, and one that it must not take.
scope_of() { printf '{"lane":{"group":%s},"gpu":"%s","members":["%s"]}' "$(group_of "$1")" "$1" "$1"; }
act() { call_verb gpuhostd host apply_step "{\"scope\":$(scope_of "$1"),\"step\":$2}"; }
override_step() { printf '{"set_driver_override":{"address":"%s","to":%s}}' "$1" "$2"; }
check "the host hand writes an override" grep -F '"reply":{"Ok":null}' <(act 0000:01:00.0 "$(override_step 0000:01:00.0 '"vfio-pci"')")
check "the kernel has it" is "$(override_of 0000:01:00.0)" vfio-pci
check "and clears it" grep -F '"reply":{"Ok":null}' <(act 0000:01:00.0 "$(override_step 0000:01:00.0 null)")
check "the kernel has none" is "$(override_of 0000:01:00.0)" ""
check "it does not give away a GPU beside an NVSwitch" \
    grep -F '"Err"' <(act 0000:07:01.0 "$(override_step 0000:07:01.0 '"vfio-pci"')")
check "whose override is not set" is "$(override_of 0000:07:01.0)" ""
check "a close look finds the module of vfio-pci" grep -E '"module":"load(ed|able)"' \
    <(call_verb gpuhostd host inspect_scope "{\"scope\":$(scope_of 0000:01:00.0)}")

# The powers of the processes, from /proc under this systemd.
note "$(systemctl --version | head -1), $(uname -sr)"
for unit in gpuhostd gpuhostd-host gpuhostd-containers; do check "$unit has no power" powerless "$unit.service"; done
check "the front has its own user" runs_as gpuhostd.service gpuhostd
check "the host hand is root" runs_as gpuhostd-host.service root
check "the holders hand has its own user" runs_as gpuhostd-holders.service gpuhostd-holders
check "the holders hand has two powers and no other" only_looks
check "it looks into every process" sees_everybody
check "the container hand has its own user" runs_as gpuhostd-containers.service gpuhostd-containers
for role in host holders containers; do check "the $role hand does not hear root" unheard root "$role"; done
cannot_write() { not nsenter --target "$(main_pid "$1")" --mount -- sh -c "echo > $2" 2>/dev/null; }
for unit in gpuhostd gpuhostd-holders gpuhostd-containers; do
    check "$unit cannot write to sysfs" cannot_write "$unit.service" $PCI/devices/0000:01:00.0/driver_override
done
check "any user may read" as_user nobody gpuhostctl gpus
check "nobody may not ask for a rescan" not as_user nobody gpuhostctl rescan
check "it stops within 10 s" faster 10000 systemctl stop gpuhostd.service
check "and starts again" systemctl start gpuhostd.service
service_is_alive
finish observe
