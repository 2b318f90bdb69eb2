#!/bin/bash
# world.sh: to be sourced by a job. Makes the GPUs of the guest what the rig shows, installs the product, and reads back what the
# kernel shows. Checks and counts come from the container rig.
ln -sfn /job/packages /packages
ln -sfn /job/bin /rig-bin
source /job/inside.sh
PCI=/sys/bus/pci

# The list of identities as pcimask takes it.
identities() { sed -n 's/^\([0-9a-f:.]*\) \([0-9a-f:]*\).*/\1=\2/p' /job/identities | paste -sd,; }
# The emulator runs the processors in threads, and has crashed where one of them moved the windows of many devices while the other
# read one: while all buses are scanned anew there is one processor.
one_processor() { echo $((1 - $1)) >/sys/devices/system/cpu/cpu1/online; }
# The identities, the stand-in for the driver, and the tool that speaks with it.
make_world() {
    install -m 755 /job/nvidia-smi /usr/bin/nvidia-smi && one_processor 1 &&
        insmod /job/modules/pcimask.ko "map=$(identities)" && insmod /job/modules/nvidia.ko &&
        insmod /job/modules/snd_hda_intel.ko && one_processor 0
}
# world_is_whole: each function of the list that is not virtual is there under its new identity.
world_is_whole() {
    local address identity device id
    while read -r address identity _; do
        device=$PCI/devices/$address
        case $address in 0000:05:00.[12]) continue ;; [0-9]*) ;; *) continue ;; esac
        id=$(cat "$device"/{vendor,device,class} 2>/dev/null | sed 's/^0x//' | paste -sd:)
        is "$address $id" "$address $(cut -d: -f1-3 <<<"$identity")" || return 1
    done </job/identities
}
install_product() { apt install --yes "$DEB" && within 30 active gpuhostd.service; }

link_name() { basename "$(readlink "$1" || echo)"; }
has_ended() { not kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }
driver_of() { link_name "$PCI/devices/$1/driver"; }
group_of() { link_name "$PCI/devices/$1/iommu_group"; }
override_of() { sed 's/^(null)$//' "$PCI/devices/$1/driver_override"; }

# Each member of an IOMMU group that is no bridge.
endpoints_of_group() {
    local member
    for member in "/sys/kernel/iommu_groups/$1/devices"/*; do
        case $(cat "$member/class") in 0x0604* | 0x0600*) ;; *) basename "$member" ;; esac
    done
}
# shown ADDRESS…: what the kernel says of each: its driver, its override, and the VFIO node of its group.
shown() {
    local address group
    for address in "$@"; do
        group=$(group_of "$address")
        printf '%s driver=%s override=%s vfio=%s\n' "$address" "$(driver_of "$address")" "$(override_of "$address")" \
            "$([ -n "$group" ] && [ -c "/dev/vfio/$group" ] && echo "$group")"
    done
}
minor_of() { sed -n 's/^Device Minor:[[:space:]]*//p' "/proc/driver/nvidia/gpus/$1/information"; }

# Docker with one small image, `rig`.
start_docker() {
    systemctl start docker.service && mkdir -p /tmp/image/usr/bin && ln -s usr/bin /tmp/image/bin &&
        cp /usr/bin/busybox /tmp/image/usr/bin/ && cp /job/modules/vfio_client /tmp/image/ &&
        ln -s busybox /tmp/image/usr/bin/sh && ln -s busybox /tmp/image/usr/bin/sleep &&
        tar -C /tmp/image -c . | docker import - rig >/dev/null
}
# container_has_open NAME NODE
container_has_open() { find "/proc/$(docker inspect --format '{{.State.Pid}}' "$1")/fd" -lname "$2" | grep .; }
# The group of a GPU, opened in a container as a workspace with a guest has it.
client_in_container() {
    docker run --rm --network none --ulimit memlock=-1:-1 --device /dev/vfio/vfio --device "/dev/vfio/$(group_of "$1")" rig \
        /vfio_client "$(group_of "$1")" "$1"
}
# The state that a change touches, of every function that was there when it was kept, and the group nodes of VFIO. Few processes, since
# each costs a tenth of a second here.
world() {
    find "${FUNCTIONS[@]}" -maxdepth 1 -type l '(' -name driver -o -name iommu_group ')' -printf '%p %l\n'
    grep -H . "${FUNCTIONS[@]/%/driver_override}" "${FUNCTIONS[@]/%/d3cold_allowed}" "${FUNCTIONS[@]/%/power/control}" 2>/dev/null
    find /dev/vfio -name '[0-9]*' 2>/dev/null
}
keep_world() {
    FUNCTIONS=("$PCI"/devices/*/)
    BEFORE=$(world)
}
unchanged() { diff <(echo "$BEFORE") <(world); }

pass() { gpuhostctl passthrough "$@"; }
# codes VERB ADDRESS CODES [OPTION…]: it ends with a refusal that names these and no other. What it said is in /tmp/said.
codes() {
    if pass "$1" "$2" --json "${@:4}" >/tmp/said 2>/tmp/stderr; then echo "it was not refused"; return 1; fi
    is "$(jq -r '[.Blockers[].Code] | sort | join(" ")' /tmp/said)" "$3" || { cat /tmp/stderr; return 1; }
}
# refused ADDRESS CODES [OPTION…]: by the check and by the attempt, which name the same, and without effect.
refused() {
    check "$1: the check says $2" codes check "$@"
    check "$1: the attempt is refused with $2" codes bind "$@"
    check "$1: nothing has changed" unchanged
}
# check_says ADDRESS WORD: in the answer of `passthrough check`.
check_says() { grep -w -- "$2" <(pass check "$1" --json 2>&1); }

object_of() { echo "/org/gpuhost/Agent1/gpu/${1//[:.]/_}"; }
bus_get() { busctl --json=short get-property org.gpuhost.Agent1 "$(object_of "$1")" org.gpuhost.Agent1.Gpu "$2" | jq -r .data; }
use_is() { is "$(bus_get "$1" Use)" "$2"; }
note() { echo "        $*"; }
# Milliseconds since the start of the guest.
now_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
