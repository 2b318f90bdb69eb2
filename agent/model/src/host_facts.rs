//! The host around the GPUs: cores, memory, disk, network, identity. Raw counters; rates are computed over an interval.

use crate::absence::Reading;
use crate::mig::MigMaster;
use crate::stack::StackFacts;
use serde::{Deserialize, Serialize};

/// CPU time of the whole machine since boot, in clock ticks (`/proc/stat`, first line).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuTicks {
    /// All ticks of all states.
    pub total: u64,
    /// Ticks spent idle or waiting for I/O.
    pub idle: u64,
}

impl CpuTicks {
    /// Per cent of CPU used between an earlier reading and this one; `None` where no tick has passed.
    #[must_use]
    pub fn used_pct_since(self, earlier: Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|t| *t > 0)?;
        let idle = self.idle.saturating_sub(earlier.idle).min(total);
        let per_mille = (total - idle).checked_mul(1000)? / total;
        Some(f64::from(u32::try_from(per_mille).ok()?) / 10.0)
    }
}

/// Space and inodes of one file system (`statvfs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUsage {
    /// The folder that was asked for.
    pub path: String,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Free for an unprivileged user, in bytes.
    pub available_bytes: u64,
    /// Used, in bytes.
    pub used_bytes: u64,
    /// Inodes in all; 0 where the file system has none to count.
    pub inodes_total: u64,
    /// Inodes free.
    pub inodes_free: u64,
}

/// One network interface that is not loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Kernel name.
    pub name: String,
    /// Hardware address, lower case with colons.
    pub mac: Option<String>,
    /// Addresses with prefix length, `192.0.2.7/24`.
    pub addresses: Vec<String>,
    /// Carrier state as the kernel reports it (`operstate`).
    pub state: Option<String>,
    /// Link speed in Mbit/s.
    pub speed_mbit_s: Option<u32>,
    /// Bytes received since boot.
    pub rx_bytes: Option<u64>,
    /// Bytes sent since boot.
    pub tx_bytes: Option<u64>,
}

/// Everything about the host that is no GPU. A field that could not be read costs that field only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Kernel's host name.
    pub hostname: Reading<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Reading<String>,
    /// Seconds since boot.
    pub uptime_s: Reading<u64>,
    /// `os-release` ID.
    pub os_id: Reading<String>,
    /// `os-release` VERSION_ID.
    pub os_version_id: Reading<String>,
    /// `os-release` PRETTY_NAME.
    pub os_name: Reading<String>,
    /// Kernel release.
    pub kernel: Reading<String>,
    /// Machine architecture, `x86_64`.
    pub arch: String,
    /// Logical CPUs online.
    pub cores: Reading<u32>,
    /// CPU time since boot.
    pub cpu: Reading<CpuTicks>,
    /// Load averages of 1, 5 and 15 minutes (`/proc/loadavg`), in hundredths.
    pub load_hundredths: Reading<[u32; 3]>,
    /// MemTotal in bytes.
    pub mem_total_bytes: Reading<u64>,
    /// MemAvailable in bytes.
    pub mem_available_bytes: Reading<u64>,
    /// SwapTotal in bytes.
    pub swap_total_bytes: Reading<u64>,
    /// SwapFree in bytes.
    pub swap_free_bytes: Reading<u64>,
    /// The file system of Docker's root folder (of `/` where Docker is unknown).
    pub disk: Reading<DiskUsage>,
    /// Bytes read from block devices since boot.
    pub io_read_bytes: Reading<u64>,
    /// Bytes written to block devices since boot.
    pub io_write_bytes: Reading<u64>,
    /// Interfaces, by name.
    pub nics: Vec<Nic>,
    /// DMI vendor, product and board, where the firmware has them.
    pub dmi: Vec<(String, String)>,
    /// The GPU driver's software.
    pub stack: StackFacts,
    /// Other programs that set MIG layouts by themselves.
    pub mig_masters: Vec<MigMaster>,
}
