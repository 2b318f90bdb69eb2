//! Facts of the simulated host that are no GPU's: cores, memory, disk, interfaces.

use crate::description::Description;
use model::absence::Reading;
use model::host_facts::{CpuTicks, DiskUsage, HostFacts, Nic};

const MIB: u64 = 1024 * 1024;
/// Clock ticks in a second (`USER_HZ`).
const TICKS: u64 = 100;
/// What is known of the firmware, in this order.
const DMI: [&str; 4] = ["sys_vendor", "product_name", "board_name", "bios_version"];

/// The facts; the disk is the one that holds `docker_root`.
#[must_use]
pub fn facts(description: &Description, docker_root: Option<String>) -> HostFacts {
    let host = &description.host;
    HostFacts {
        hostname: Reading::Known(hostname(description)),
        boot_id: Reading::Known(boot_id(description)),
        uptime_s: Reading::Known(host.uptime_s),
        os_id: Reading::Known(host.os_id.clone()),
        os_version_id: Reading::Known(host.os_version_id.clone()),
        os_name: Reading::Known(host.os_name.clone()),
        kernel: Reading::Known(host.kernel.clone()),
        arch: host.arch.clone(),
        cores: Reading::Known(host.cores),
        cpu: Reading::Known(cpu(description)),
        load_hundredths: Reading::Known([host.cores.saturating_mul(10); 3]),
        mem_total_bytes: Reading::Known(host.memory_mib.saturating_mul(MIB)),
        mem_available_bytes: Reading::Known(host.memory_available_mib.saturating_mul(MIB)),
        swap_total_bytes: Reading::Known(host.swap_mib.saturating_mul(MIB)),
        swap_free_bytes: Reading::Known(host.swap_mib.saturating_mul(MIB)),
        disk: Reading::Known(disk(description, docker_root)),
        io_read_bytes: Reading::Known(host.io_read_mib.saturating_mul(MIB)),
        io_write_bytes: Reading::Known(host.io_write_mib.saturating_mul(MIB)),
        nics: nics(description),
        stack: crate::software::facts(description),
        mig_masters: Vec::new(),
        dmi: DMI.iter().filter_map(|name| Some(((*name).to_owned(), host.dmi.get(*name)?.clone()))).collect(),
    }
}

/// The host's name: the described one, else the description's.
#[must_use]
pub fn hostname(description: &Description) -> String {
    if description.host.hostname.is_empty() { description.name.clone() } else { description.host.hostname.clone() }
}

/// A boot id that is the host's own: made of its name.
#[must_use]
pub fn boot_id(description: &Description) -> String {
    let hash = description
        .name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("51a00000-0000-4000-8000-{:012x}", hash & 0xffff_ffff_ffff)
}

/// Ticks since boot of a host that has been idle nine tenths of its time.
#[must_use]
pub fn cpu(description: &Description) -> CpuTicks {
    let total = description.host.uptime_s.saturating_mul(TICKS).saturating_mul(u64::from(description.host.cores));
    CpuTicks { total, idle: total / 10 * 9 }
}

/// By name, whatever their order in the description.
fn nics(description: &Description) -> Vec<Nic> {
    let mut nics = description.host.nics.clone();
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    nics
}

fn disk(description: &Description, docker_root: Option<String>) -> DiskUsage {
    let host = &description.host;
    let free = host.disk_mib.saturating_sub(host.disk_used_mib);
    DiskUsage {
        path: docker_root.unwrap_or_else(|| "/".to_owned()),
        total_bytes: host.disk_mib.saturating_mul(MIB),
        available_bytes: free.saturating_mul(MIB),
        used_bytes: host.disk_used_mib.saturating_mul(MIB),
        inodes_total: host.disk_mib.saturating_mul(64),
        inodes_free: free.saturating_mul(64),
    }
}
