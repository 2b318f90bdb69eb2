//! Faults of disk, memory and limits.

use super::doctor_facts::DoctorFacts;
use super::rule::{Check, Hit, Ruled, Severity, hit_if, known, only_if};
use super::view::is_on_vfio;
use crate::host_facts::DiskUsage;

pub(super) const CHECKS: [Check; 6] = [
    Check {
        code: "docker_disk_full",
        severity: Severity::Warning,
        why: "images are pulled and workspaces write here; a full disk stops them all",
        cure: "`docker system df` shows what takes the space, `docker system prune` frees what is unused; or enlarge {}",
        rule: disk_full,
    },
    Check {
        code: "docker_disk_out_of_inodes",
        severity: Severity::Warning,
        why: "without inodes no file can be created, however much space is left",
        cure: "`docker system prune` frees what is unused; `du --inodes -xd2 {} | sort -n | tail` shows who has them",
        rule: inodes,
    },
    Check {
        code: "state_disk_full",
        severity: Severity::Error,
        why: "the daemon can store neither credentials nor events",
        cure: "make room: `du -xhd2 /var | sort -h | tail`, `journalctl --vacuum-size=500M`",
        rule: state_disk,
    },
    Check {
        code: "memory_low",
        severity: Severity::Warning,
        why: "the kernel will kill processes to free memory, possibly a workspace or the daemon",
        cure: "`ps -eo rss,pid,comm --sort=-rss | head` shows who has it; stop or move workspaces",
        rule: memory_low,
    },
    Check {
        code: "swap_missing",
        severity: Severity::Warning,
        why: "memory is almost fully used and there is no swap: at the next peak the kernel kills processes",
        cure: "`fallocate -l 16G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile`, and a line in /etc/fstab",
        rule: no_swap,
    },
    Check {
        code: "memlock_limit_low",
        severity: Severity::Warning,
        why: "VFIO locks all of a guest's memory; with this limit a guest with a GPU does not start",
        cure: "`LimitMEMLOCK=infinity` in the unit that starts the virtual machine, or `* - memlock unlimited` in \
               /etc/security/limits.d/",
        rule: memlock,
    },
];

const GIB: u64 = 1 << 30;

/// `part` is less than `percent` of `whole`.
const fn below(part: u64, percent: u64, whole: u64) -> bool {
    part.saturating_mul(100) < whole.saturating_mul(percent)
}

/// Docker's own disk is only known where Docker answers.
fn docker_disk(facts: &DoctorFacts) -> Result<&DiskUsage, super::rule::Skipped> {
    facts.docker()?;
    known(&facts.host.host.disk, "the disk of Docker")
}

fn disk_full(facts: &DoctorFacts) -> Ruled {
    let disk = docker_disk(facts)?;
    let full = below(disk.available_bytes, 5, disk.total_bytes) && disk.available_bytes < 50 * GIB;
    let found = || format!("{} GiB of {} GiB are free", disk.available_bytes / GIB, disk.total_bytes / GIB);
    hit_if(full, || Hit::of(&disk.path, found()))
}

fn inodes(facts: &DoctorFacts) -> Ruled {
    let disk = docker_disk(facts)?;
    let few = disk.inodes_total > 0 && below(disk.inodes_free, 3, disk.inodes_total);
    hit_if(few, || Hit::of(&disk.path, format!("{} of {} inodes are free", disk.inodes_free, disk.inodes_total)))
}

fn state_disk(facts: &DoctorFacts) -> Ruled {
    let disk = known(&facts.service.state_disk, "the disk of /var/lib")?;
    let full = disk.total_bytes > 0 && disk.available_bytes < 16 << 20;
    hit_if(full, || Hit::of(&disk.path, format!("{} KiB are free", disk.available_bytes / 1024)))
}

fn memory_low(facts: &DoctorFacts) -> Ruled {
    let host = &facts.host.host;
    let (total, left) =
        (*known(&host.mem_total_bytes, "/proc/meminfo")?, *known(&host.mem_available_bytes, "/proc/meminfo")?);
    hit_if(below(left, 4, total), || {
        Hit::of("/proc/meminfo", format!("{} MiB of {} MiB are available", left >> 20, total >> 20))
    })
}

fn no_swap(facts: &DoctorFacts) -> Ruled {
    let host = &facts.host.host;
    let (total, left) =
        (*known(&host.mem_total_bytes, "/proc/meminfo")?, *known(&host.mem_available_bytes, "/proc/meminfo")?);
    only_if(*known(&host.swap_total_bytes, "/proc/meminfo")? == 0)?;
    hit_if(below(left, 15, total), || {
        Hit::of("/proc/meminfo", format!("no swap, and {} MiB of {} MiB are available", left >> 20, total >> 20))
    })
}

/// libvirt raises the limit of each guest itself, so that the limit of a running one is the one that counts.
fn memlock(facts: &DoctorFacts) -> Ruled {
    only_if(facts.scan()?.gpus.iter().any(is_on_vfio))?;
    let guests = known(&facts.kernel.hypervisors, "the processes of virtual machines")?;
    let low = guests
        .iter()
        .filter_map(|guest| guest.memlock_bytes.filter(|bytes| *bytes < 256 << 20).map(|bytes| (guest, bytes)));
    Ok(low
        .map(|(guest, bytes)| {
            Hit::of(format!("process {}", guest.pid), format!("{} may lock {} KiB", guest.name, bytes / 1024))
        })
        .collect())
}
