#!/bin/bash
# boot.sh [-t SECONDS] [-r] [-n] [-s] IMAGE JOB OUT: boots a throw-away copy of the image, runs JOB/run.sh in it as root, and brings its /out
# back to OUT, with the console. Ends as the job did; with 124 where it did not end in time, with 125 where the guest never
# started it, with 126 where the emulator itself broke. -r: one reboot of the guest, or cut of its power, is part of the job. -n: the
# machine has no IOMMU. -s: SELinux is on.
set -euo pipefail
SECONDS_AT_MOST=300 STARTS=1 IOMMU=(-device intel-iommu,intremap=on,caching-mode=on) SELINUX=selinux=0
while getopts t:rns option; do
    case $option in
    t) SECONDS_AT_MOST=$OPTARG ;;
    r) STARTS=2 ;;
    n) IOMMU=() ;;
    s) SELINUX="security=selinux selinux=1" ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
IMAGE=${1:?usage: boot.sh [-t SECONDS] [-r] [-n] IMAGE JOB OUT} JOB=${2:?} OUT=${3:?}
HERE=$(cd "$(dirname "$0")" && pwd)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
rm -rf "$OUT"
mkdir -p "$OUT"

tar -C "$JOB" -cf "$WORK/job" .
truncate -s %1M "$WORK/job"
truncate -s 64M "$WORK/result"
# What the guest wrote must outlive its reboot, and no longer.
cp --sparse=always --reflink=auto "$IMAGE/root.img" "$WORK/root"
mapfile -t TOPOLOGY < <(tr ' ' '\n' <"$HERE/topology.args")
# The emulator's clocks are exact but late where this machine is busy: the kernel must neither panic because the timer's first
# interrupts did not come in time (no_timer_check) nor give up its clock because two of them differ (tsc=reliable).
# KVM is not asked for: the machines that run this are virtual themselves and lend none, and a run that differs between two
# machines proves less.
# A reset ends the emulator, and a second one starts with the same disks: a power cut takes all else from the machine, and an emulator
# that is reset under load was seen to break.
emulate() {
    nice timeout --kill-after=5 "$1" qemu-system-x86_64 \
        -machine q35,kernel-irqchip=split -accel tcg,thread=multi,tb-size=512 -cpu max -m 2048 -smp 2 \
        -nodefaults -vga none -display none -no-reboot -monitor none \
        -chardev "file,id=console,path=$OUT/console,append=on" -serial chardev:console \
        "${IOMMU[@]}" -kernel "$IMAGE/vmlinuz" \
        -append "root=PARTUUID=6f1d0c5e-0001-4000-8000-0000005219a1 rw rootwait console=ttyS0,115200 panic=-1 intel_iommu=on \
iommu=nopt no_timer_check tsc=reliable net.ifnames=0 apparmor=0 $SELINUX systemd.show_status=0 loglevel=4" \
        -drive "if=none,id=root,file=$WORK/root,format=raw,cache=unsafe" \
        -device nvme,drive=root,serial=root,addr=0x2 \
        -drive "if=none,id=job,file=$WORK/job,format=raw,readonly=on" -device nvme,drive=job,serial=job,addr=0x3 \
        -drive "if=none,id=result,file=$WORK/result,format=raw,cache=unsafe" -device nvme,drive=result,serial=result,addr=0x4 \
        "${TOPOLOGY[@]}" >>"$OUT/emulator" 2>&1
}
bring_back() { tar -C "$OUT" -xf "$WORK/result" 2>/dev/null || true; }
CODE=0
while [ "$STARTS" -gt 0 ] && [ "$SECONDS" -lt "$SECONDS_AT_MOST" ] && [ ! -s "$OUT/code" ] && [ "$CODE" = 0 ]; do
    STARTS=$((STARTS - 1))
    emulate $((SECONDS_AT_MOST - SECONDS)) || CODE=$?
    bring_back
done
case $CODE in
0 | 124 | 137) ;;
*)
    echo "boot.sh: the emulator ended with $CODE: $(tail -n 3 "$OUT/emulator")" >&2
    exit 126
    ;;
esac
if [ ! -e "$OUT/started" ]; then exit 125; fi
if [ ! -s "$OUT/code" ]; then exit 124; fi
CODE=$(cat "$OUT/code")
# What 124 to 126 mean is ours: a job that ends with one of them has failed.
case $CODE in 124 | 125 | 126) CODE=1 ;; esac
exit "$CODE"
