#!/bin/bash
# boot.sh [-t SECONDS] [-r] [-n] IMAGE JOB OUT: boots a throw-away copy of the image, runs JOB/run.sh in it as root, and brings its /out
# back to OUT, with the console. Ends as the job did; with 124 where it did not end in time, with 125 where the guest never
# started it. -r: a reboot of the guest is part of the job. -n: the machine has no IOMMU.
set -euo pipefail
SECONDS_AT_MOST=300 REBOOT=-no-reboot IOMMU=(-device intel-iommu,intremap=on,caching-mode=on)
while getopts t:rn option; do
    case $option in
    t) SECONDS_AT_MOST=$OPTARG ;;
    r) REBOOT= ;;
    n) IOMMU=() ;;
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
mapfile -t TOPOLOGY < <(tr ' ' '\n' <"$HERE/topology.args")
# The emulator's clocks are exact but late where this machine is busy: the kernel must neither panic because the timer's first
# interrupts did not come in time (no_timer_check) nor give up its clock because two of them differ (tsc=reliable).
# KVM is not asked for: the machines that run this are virtual themselves and lend none, and a run that differs between two
# machines proves less.
# shellcheck disable=SC2086 # REBOOT is one argument or none
nice timeout --kill-after=5 "$SECONDS_AT_MOST" qemu-system-x86_64 \
    -machine q35,kernel-irqchip=split -accel tcg,thread=multi,tb-size=512 -cpu max -m 2048 -smp 2 \
    -nodefaults -vga none -display none $REBOOT -monitor none -serial "file:$OUT/console" \
    "${IOMMU[@]}" -kernel "$IMAGE/vmlinuz" \
    -append "root=PARTUUID=6f1d0c5e-0001-4000-8000-0000005219a1 rw rootwait console=ttyS0,115200 panic=-1 intel_iommu=on \
iommu=nopt no_timer_check tsc=reliable net.ifnames=0 apparmor=0 selinux=0 systemd.show_status=0 loglevel=4" \
    -drive "if=none,id=root,file=$IMAGE/root.img,format=raw,snapshot=on,cache=unsafe" \
    -device nvme,drive=root,serial=root,addr=0x2 \
    -drive "if=none,id=job,file=$WORK/job,format=raw,readonly=on" -device nvme,drive=job,serial=job,addr=0x3 \
    -drive "if=none,id=result,file=$WORK/result,format=raw,cache=unsafe" -device nvme,drive=result,serial=result,addr=0x4 \
    "${TOPOLOGY[@]}" >"$OUT/emulator" 2>&1 || true
tar -C "$OUT" -xf "$WORK/result" 2>/dev/null || true
if [ ! -e "$OUT/started" ]; then exit 125; fi
if [ ! -s "$OUT/code" ]; then exit 124; fi
CODE=$(cat "$OUT/code")
# What 124 and 125 mean is ours: a job that ends with one of them has failed.
case $CODE in 124 | 125) CODE=1 ;; esac
exit "$CODE"
