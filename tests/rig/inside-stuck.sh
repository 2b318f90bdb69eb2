#!/bin/bash
# inside-stuck.sh: a probe that hangs in the kernel (D state), as nvidia-smi does on a broken GPU: a write to a frozen file
# system. Nothing may wait for it, and no second one may be started beside it.
source /rig/inside.sh
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
printf '[nvidia]\nprobe_timeout_ms = 1000\n' >/etc/gpuhostd/config.toml
# The hand may write nowhere; the stand-in has to, so as to hang.
mkdir -p /run/systemd/system/gpuhostd-host.service.d
printf '[Service]\nReadWritePaths=/frozen\n' >/run/systemd/system/gpuhostd-host.service.d/rig.conf
systemctl daemon-reload
systemctl stop gpuhostd-host.service
fsfreeze --freeze /frozen
systemctl restart gpuhostd.service

stuck() { ps -eo stat=,args= | grep '^D.*nvidia-smi'; }
one_stuck() { is "$(stuck | wc -l)" 1; }
probe() { ask gpuhostd host '{"id":1,"deadline_ms":20000,"ask":{"probe_driver":"smi"}}'; }
says_stuck() { probe | grep '"fault":"stuck"'; }

check "a probe that hangs is reported as stuck" within 30 says_stuck
check "one process hangs" one_stuck
check "the next question is answered at once" faster 1000 says_stuck
hand=$(main_pid gpuhostd-host.service)
check "the front stops within 2 s all the same" faster 2000 systemctl stop gpuhostd.service
check "and starts within 5 s" faster 5000 systemctl start gpuhostd.service
check "the hand that knows of it has stayed" is "$(main_pid gpuhostd-host.service)" "$hand"
check "it is still reported as stuck" says_stuck
check "still one process hangs" one_stuck
check "the hand itself stops within 10 s" faster 10000 systemctl stop gpuhostd-host.service
fsfreeze --unfreeze /frozen
check "thawed, it ends" within 5 not stuck
check "and the next probe runs" within 30 not says_stuck
finish stuck
