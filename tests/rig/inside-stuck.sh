#!/bin/bash
# inside-stuck.sh: a probe that hangs in the kernel (D state), as nvidia-smi does on a broken GPU: a write to a frozen file
# system, for STUCK_SECONDS. Nothing may wait for it, no second one may be started beside it, every heartbeat must come on time,
# and nothing may grow.
source /rig/inside.sh
STUCK_SECONDS=${STUCK_SECONDS:-75}
EVERY=5
apt install --yes "$DEB" >/dev/null 2>&1

# Whatever happens, nothing stays frozen: the container could not end.
thaw() {
    if mountpoint --quiet /frozen; then
        fsfreeze --unfreeze /frozen
        umount --lazy /frozen
        losetup --detach "$device"
    fi
} 2>/dev/null
trap thaw EXIT

truncate --size=16M /tmp/frozen.img
mkfs.ext4 -q /tmp/frozen.img
mkdir /frozen
# In a container /dev does not grow: the loop device may have to be made.
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
device=$(losetup --find)
[ -e "$device" ] || mknod "$device" b 7 "${device#/dev/loop}"
losetup "$device" /tmp/frozen.img
mount "$device" /frozen
printf '#!/bin/sh\necho x >>/frozen/x\n' >/usr/bin/nvidia-smi
chmod 755 /usr/bin/nvidia-smi
printf '[agent]\nsample_interval_s = 5\n[nvidia]\nprobe_timeout_ms = 1000\n' >/etc/gpuhostd/config.toml
# One GPU that a driver serves, so that the front itself asks for it with every sample.
gpu=/tmp/bus/0000:41:00.0
mkdir -p "$gpu"
for attribute in class=0x030200 vendor=0x10de device=0x20b0; do echo "${attribute#*=}" >"$gpu/${attribute%=*}"; done
ln -s /tmp/nvidia "$gpu/driver"
mount --bind /tmp/bus /sys/bus/pci/devices
# The hand may write nowhere; the stand-in has to, so as to hang.
mkdir -p /run/systemd/system/gpuhostd-host.service.d
printf '[Service]\nReadWritePaths=/frozen\n' >/run/systemd/system/gpuhostd-host.service.d/rig.conf
systemctl daemon-reload
systemctl stop gpuhostd-host.service
fsfreeze --freeze /frozen
systemctl restart gpuhostd.service

# The brackets keep grep from finding itself, which may well wait for the disk.
stuck() { ps -eo stat=,args= | grep '^D.*/usr/bin/[n]vidia-smi'; }
one_stuck() { is "$(stuck | wc -l)" 1; }
probe() { call_verb gpuhostd host probe_smi '{}'; }
says_stuck() { probe | grep '"fault":"stuck"'; }
at_least() { [ "$1" -ge "$2" ] || { echo "$1 is less than $2"; return 1; }; }
at_most() { [ "$1" -le "$2" ] || { echo "$1 is more than $2"; return 1; }; }

check "a probe that hangs is reported as stuck" within 30 says_stuck
check "one process hangs" one_stuck
check "the next question is answered at once" faster 1000 says_stuck
check "a manager runs" start_manager --every "$EVERY"
check "the host is enrolled with it" enrol
check "it takes a heartbeat" within 20 heartbeats_more_than 0

# Resident kilobytes, open descriptors and threads of a unit's main process.
size_of() {
    local process
    process=/proc/$(main_pid "$1")
    echo "$(sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "$process/status") $(find "$process/fd" -type l 2>/dev/null | wc -l)" \
        "$(find "$process/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)"
}

# The instant at which each heartbeat was told, in milliseconds.
tail --lines=0 --follow /tmp/manager/log | while read -r line; do
    case $line in 'heartbeat accepted'*) echo "${EPOCHREALTIME//[.,]/}" | sed 's/...$//' ;; esac
done >/tmp/beats &
hand=$(main_pid gpuhostd-host.service)
front=$(main_pid gpuhostd.service)
begin=$SECONDS
most_stuck=0
while [ $((SECONDS - begin)) -lt "$STUCK_SECONDS" ]; do
    now=$(stuck | wc -l)
    [ "$now" -le 1 ] || stuck
    most_stuck=$((now > most_stuck ? now : most_stuck))
    for unit in gpuhostd.service gpuhostd-host.service; do
        echo "$((SECONDS - begin)) $(size_of "$unit")" >>"/tmp/size-$unit"
    done
    sleep 1
done
lasted=$((SECONDS - begin))

# Early heartbeats come on top of those on time: what counts is that no gap is longer than the interval.
read -r beats longest < <(awk 'NR > 1 && $1 - last > gap { gap = $1 - last } { last = $1 } END { print NR, gap + 0 }' /tmp/beats)
echo "        $lasted s stuck: $beats heartbeats (one each $EVERY s would be $((lasted / EVERY))), longest gap $longest ms"
check "every heartbeat came" at_least "$beats" $((lasted / EVERY - 1))
check "each on time, within a second" at_most "$longest" $((EVERY * 1000 + 1000))
check "never more than one process hung" is "$most_stuck" 1
check "it is the same front" is "$(main_pid gpuhostd.service)" "$front"
# grown COLUMN UNIT: by how much the lowest of the last third is above the lowest of the second third. The lowest: a probe that
# is under way has pipes.
grown() {
    awk -v column="$1" -v all="$lasted" '
        $1 >= all / 3 && $1 < all * 2 / 3 && (!before || $column < before) { before = $column }
        $1 >= all * 2 / 3 && (!after || $column < after) { after = $column }
        END { print after - before }' "/tmp/size-$2"
}
for unit in gpuhostd.service gpuhostd-host.service; do
    echo "        $unit, kB, descriptors, threads: first $(sed -n '1s/^[0-9]* //p' "/tmp/size-$unit")," \
        "last $(sed -n '$s/^[0-9]* //p' "/tmp/size-$unit")"
    check "$unit holds no more memory" at_most "$(grown 2 "$unit")" 512
    check "$unit holds no more descriptors" at_most "$(grown 3 "$unit")" 0
    check "$unit has no more threads" at_most "$(grown 4 "$unit")" 0
done

check "the front stops within 2 s all the same" faster 2000 systemctl stop gpuhostd.service
check "and starts within 5 s" faster 5000 systemctl start gpuhostd.service
told=$(grep -c '^heartbeat accepted' /tmp/manager/log)
check "and its heartbeats go on" within 20 heartbeats_more_than $((told + 2))
check "none was refused" not grep '^heartbeat refused' /tmp/manager/log
check "the hand that knows of it has stayed" is "$(main_pid gpuhostd-host.service)" "$hand"
check "it is still reported as stuck" says_stuck
check "still one process hangs" one_stuck
check "the hand itself stops within 10 s" faster 10000 systemctl stop gpuhostd-host.service
fsfreeze --unfreeze /frozen
check "thawed, it ends" within 5 not stuck
check "and the next probe runs" within 30 not says_stuck
finish stuck
