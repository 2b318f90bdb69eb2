//! The host around the GPUs, each fact on its own: what cannot be read costs that fact.

mod disk;
mod driver_host;
mod machine;
mod mig_masters;
mod network;
mod stack;
mod text;

pub use stack::driver_load;

use model::absence::Reading;
use model::host_facts::HostFacts;
use std::path::PathBuf;
use text::{first_line, read};

/// Where the facts are read from; another root than `/` is for tests and simulated hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactsRoot {
    /// The process file system, `/proc`.
    pub proc: PathBuf,
    /// The device tree of the kernel, `/sys`.
    pub sys: PathBuf,
    /// Folders with an `os-release`, in the order of trust: `/etc`, `/usr/lib`.
    pub os_release: Vec<PathBuf>,
    /// Where `etc`, `usr`, `lib`, `run` and `var` stand, `/`.
    pub files: PathBuf,
}

impl Default for FactsRoot {
    fn default() -> Self {
        let os_release = vec!["/etc".into(), "/usr/lib".into()];
        Self { proc: "/proc".into(), sys: "/sys".into(), os_release, files: "/".into() }
    }
}

impl FactsRoot {
    /// Reads all facts; `docker_root` is the folder whose file system is measured (`/` where unknown). Blocking: `statvfs`
    /// of a dead network file system can hang.
    #[must_use]
    pub fn read(&self, docker_root: Option<&str>) -> HostFacts {
        let line = |file: &str| first_line(&self.proc.join(file));
        let os = machine::os_release(&self.os_release);
        let cpu = machine::cpu(&self.proc);
        let memory = machine::memory(&self.proc);
        let io = disk::io_bytes(&self.proc, &self.sys);
        let kernel = line("sys/kernel/osrelease");
        HostFacts {
            hostname: line("sys/kernel/hostname"),
            boot_id: line("sys/kernel/random/boot_id"),
            uptime_s: read(&self.proc.join("uptime"), |text| text.split(['.', ' ']).next()?.parse().ok()),
            os_id: os.id,
            os_version_id: os.version_id,
            os_name: os.pretty_name,
            stack: stack::read(self, kernel.known().map(String::as_str)),
            kernel,
            arch: std::env::consts::ARCH.to_owned(),
            cores: cpu.clone().map(|(cores, _)| cores),
            cpu: cpu.map(|(_, ticks)| ticks),
            load_hundredths: machine::load(&self.proc),
            mem_total_bytes: memory.of("MemTotal"),
            mem_available_bytes: memory.of("MemAvailable"),
            swap_total_bytes: memory.of("SwapTotal"),
            swap_free_bytes: memory.of("SwapFree"),
            disk: disk::usage(docker_root.unwrap_or("/")),
            io_read_bytes: io.clone().map(|(read, _)| read),
            io_write_bytes: io.map(|(_, written)| written),
            nics: network::interfaces(&self.sys),
            mig_masters: mig_masters::read(&self.files),
            dmi: self.dmi(),
        }
    }

    /// Space of the file system that holds a folder. Blocking: `statvfs` of a dead network file system can hang.
    #[must_use]
    pub fn disk(folder: &str) -> Reading<model::host_facts::DiskUsage> {
        disk::usage(folder)
    }

    /// What the firmware reports about the machine; serial numbers are left out on purpose.
    fn dmi(&self) -> Vec<(String, String)> {
        let folder = self.sys.join("class/dmi/id");
        ["sys_vendor", "product_name", "board_name", "bios_version"]
            .into_iter()
            .filter_map(|name| match first_line(&folder.join(name)) {
                Reading::Known(value) => Some((name.to_owned(), value)),
                Reading::Absent(_) => None,
            })
            .collect()
    }
}
