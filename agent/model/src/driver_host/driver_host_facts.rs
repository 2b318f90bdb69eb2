//! What was read of a host before a driver container runs on it; each fact is optional, and an absence has the reason why it is not known.

use super::mounts::RunNvidiaMounts;
use crate::absence::Reading;
use crate::host_facts::DiskUsage;
use crate::ids::{DriverName, PciAddress};
use serde::{Deserialize, Serialize};

/// An NVIDIA GPU and the kernel driver that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuBinding {
    /// The GPU.
    pub gpu: PciAddress,
    /// Its driver; `Absence::None` where none is bound.
    pub driver: Reading<DriverName>,
}

/// A loaded kernel module (`/proc/modules`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelModule {
    /// Its name, with underscores.
    pub name: String,
    /// How many references it has: other modules, and open device files.
    pub references: u32,
    /// Modules that use it.
    pub used_by: Vec<String>,
}

/// NVIDIA's library on the host itself, not in a driver container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLibrary {
    /// Where it is, `/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1`.
    pub path: String,
    /// Its version, where the name that the link leads to has one.
    pub version: Option<String>,
}

/// Which tools administer the packages and the initramfs of a host, so that a remedy fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageTool {
    /// apt, dpkg and update-initramfs.
    Apt,
    /// dnf, rpm and dracut; what is not known counts as this.
    #[default]
    Dnf,
}

impl PackageTool {
    /// How the initramfs is written again.
    #[must_use]
    pub const fn initramfs(self) -> &'static str {
        match self {
            Self::Apt => "update-initramfs -u",
            Self::Dnf => "dracut -f",
        }
    }
}

/// All of it. `Absence::None` is "the host has none".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverHostFacts {
    /// `os-release` ID.
    pub os_id: Reading<String>,
    /// `os-release` VERSION_ID.
    pub os_version_id: Reading<String>,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: Reading<String>,
    /// How packages are administered.
    pub tool: PackageTool,
    /// systemd runs the machine (sd_booted(3)).
    pub systemd: bool,
    /// NVIDIA GPUs on the bus, physical functions only.
    pub gpus: Reading<Vec<GpuBinding>>,
    /// NVSwitches on the bus.
    pub nvswitches: Vec<PciAddress>,
    /// UEFI Secure Boot is on; `Absence::None` without UEFI.
    pub secure_boot: Reading<bool>,
    /// Lockdown of the kernel: `none`, `integrity` or `confidentiality`.
    pub lockdown: Reading<String>,
    /// The kernel was started with `module.sig_enforce`, or built so.
    pub signatures_enforced: Reading<bool>,
    /// Loaded modules of NVIDIA's driver and those that use it.
    pub modules: Reading<Vec<KernelModule>>,
    /// `/sys/module/nvidia/refcnt`; `Absence::None` where the module is not loaded.
    pub module_references: Reading<u32>,
    /// Version of the loaded module `nvidia`; `Absence::None` where it is not loaded.
    pub module_version: Reading<String>,
    /// File of the module `nvidia` below `/lib/modules/RELEASE`; `Absence::None` where there is none.
    pub module_file: Reading<String>,
    /// NVIDIA's library on the host; `Absence::None` where there is none.
    pub host_library: Reading<HostLibrary>,
    /// Version of NVIDIA's library below `/run/nvidia/driver`; `Absence::None` where there is none.
    pub container_library: Reading<String>,
    /// `/run/nvidia/driver` has a `dev` folder, so that device files are looked for there.
    pub container_dev: bool,
    /// Packages of NVIDIA's driver that are installed, each with its version; not known where dpkg is not used.
    pub packages: Reading<Vec<String>>,
    /// The uninstaller that NVIDIA's installer leaves, `/usr/bin/nvidia-uninstall`; `Absence::None` where there is none.
    pub installer: Reading<String>,
    /// `/lib/modules/RELEASE/build` leads to something.
    pub kernel_build: Reading<bool>,
    /// A package with the headers of the running kernel is installed.
    pub headers_package: Reading<bool>,
    /// The running kernel is from a package of the distribution, so that its mirror has or had the headers.
    pub kernel_package: Reading<bool>,
    /// The file system of Docker's root folder.
    pub disk: Reading<DiskUsage>,
    /// `/sys/module/firmware_class/parameters/path`; `Absence::None` where it is empty.
    pub firmware_path: Reading<String>,
    /// Mounts at and below `/run/nvidia`, as PID 1 has them.
    pub mounts: Reading<RunNvidiaMounts>,
    /// gpuhostd has mounted `/run/nvidia` on itself since the boot.
    pub run_nvidia_is_ours: bool,
    /// First line of `/run/nvidia/validations/.driver-daemons-status`; `Absence::None` where there is no such file.
    pub daemons_status: Reading<String>,
    /// The digest that the entrypoint stored after its last installation; `Absence::None` where there is no such file.
    pub installed_digest: Reading<String>,
    /// A process holds the lock on `/run/nvidia/nvidia-driver.pid`: the entrypoint of a driver container runs. `Absence::None` where
    /// there is no such file.
    pub entrypoint_runs: Reading<bool>,
    /// Readiness files that are there, by name.
    pub readiness_files: Vec<String>,
}

impl DriverHostFacts {
    /// What is known of a loaded module.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<&KernelModule> {
        self.modules.known()?.iter().find(|module| module.name == name)
    }

    /// The module `nvidia` is loaded.
    #[must_use]
    pub fn is_module_loaded(&self) -> bool {
        self.module_references.known().is_some()
            || self.module_version.known().is_some()
            || self.module("nvidia").is_some()
    }

    /// A driver container has been here since the boot: its root, its process or what its entrypoint stored is there.
    #[must_use]
    pub fn has_container_trace(&self) -> bool {
        self.installed_digest.known().is_some()
            || self.entrypoint_runs.known().is_some()
            || self.container_library.known().is_some()
            || self.mounts.known().is_some_and(RunNvidiaMounts::has_driver_root)
    }
}
