//! The facts of a host that `gpuhostctl doctor` judges, read with the powers of the caller, each with its reason where it is
//! missing.

use crate::absence::Reading;
pub use crate::checkin::fault::TlsError;
use crate::host_facts::DiskUsage;
use crate::ids::PciAddress;
use crate::snapshot::Recorded;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Version of the document. A reader refuses any other; a field that is added has a default, and keeps it.
pub const FORMAT: u32 = 1;

/// All facts. What could not be read is absent with its reason; `Absence::None` reports that there is certainly none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorFacts {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the gpuhostd that read them.
    pub gpuhostd: String,
    /// When they were read.
    pub taken_at: UnixMillis,
    /// Read with all powers.
    pub as_root: bool,
    /// What the observer of the daemon would see: PCI, driver, Docker, host.
    pub host: Recorded,
    /// The kernel.
    #[serde(default)]
    pub kernel: KernelFacts,
    /// Files, devices and packages of NVIDIA's.
    #[serde(default)]
    pub nvidia: NvidiaFacts,
    /// Docker's settings on disk.
    #[serde(default)]
    pub docker: DockerFiles,
    /// Services and the daemon's own files.
    #[serde(default)]
    pub service: ServiceFacts,
    /// The way to each manager.
    #[serde(default)]
    pub managers: Vec<ManagerSeen>,
}

impl DoctorFacts {
    /// The observer's part, and of the rest nothing yet.
    #[must_use]
    pub fn of(host: Recorded, gpuhostd: &str, taken_at: UnixMillis) -> Self {
        Self {
            format: FORMAT,
            gpuhostd: gpuhostd.to_owned(),
            taken_at,
            as_root: false,
            host,
            kernel: KernelFacts::default(),
            nvidia: NvidiaFacts::default(),
            docker: DockerFiles::default(),
            service: ServiceFacts::default(),
            managers: Vec::new(),
        }
    }
}

/// The kernel, its modules and what it reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelFacts {
    /// `/proc/cmdline`.
    pub cmdline: Reading<String>,
    /// Names of the loaded modules (`/proc/modules`).
    pub modules: Reading<Vec<String>>,
    /// `/sys/module/nvidia/version`; `Absence::None` where the module is not loaded.
    pub nvidia_module: Reading<String>,
    /// File of NVIDIA's module below `/lib/modules/<release>`; `Absence::None` where there is none.
    pub nvidia_module_file: Reading<String>,
    /// The headers of the running kernel are there (`/lib/modules/<release>/build`).
    pub headers: Reading<bool>,
    /// The CPU reports that a hypervisor runs it (`/proc/cpuinfo`, flag `hypervisor`).
    pub virtual_machine: Reading<bool>,
    /// The firmware describes an IOMMU (ACPI table DMAR, IVRS or IORT).
    pub firmware_iommu: Reading<bool>,
    /// UEFI Secure Boot is on; `Absence::None` without UEFI.
    pub secure_boot: Reading<bool>,
    /// `/sys/module/vfio/parameters/enable_unsafe_noiommu_mode`.
    pub noiommu: Reading<bool>,
    /// Settings of modprobe that speak of GPUs or VFIO.
    pub modprobe: Reading<Vec<Setting>>,
    /// Version of the cgroup hierarchy, 1 or 2.
    pub cgroup: Reading<u32>,
    /// SELinux enforces; `Absence::None` where the kernel has no SELinux.
    pub selinux: Reading<bool>,
    /// The SELinux boolean `container_use_devices`.
    pub selinux_devices: Reading<bool>,
    /// Lines of the kernel's log of this boot that speak of GPUs, PCI, IOMMU or modules, the oldest first.
    pub log: Reading<Vec<String>>,
    /// Packages that wait for a reboot (`/run/reboot-required.pkgs`).
    pub reboot_required: Reading<Vec<String>>,
    /// Processes that run virtual machines.
    pub hypervisors: Reading<Vec<Hypervisor>>,
    /// More of each GPU than the scan shows.
    pub slots: Vec<PciSlot>,
}

/// A line of a settings file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The file.
    pub file: String,
    /// The line, without comment and surrounding blanks.
    pub line: String,
}

/// A process that runs a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hypervisor {
    /// Process id.
    pub pid: u32,
    /// `qemu-system-x86`.
    pub name: String,
    /// Most bytes that it may lock in memory; none = no limit.
    pub memlock_bytes: Option<u64>,
}

/// More of a GPU's place on the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciSlot {
    /// The GPU.
    pub address: PciAddress,
    /// Size of BAR 1 in bytes; 0 where it was given no address.
    pub bar1_bytes: Reading<u64>,
    /// Largest size that a resizable BAR 1 could have, in bytes; `Absence::None` where it is not resizable.
    pub bar1_max_bytes: Reading<u64>,
}

/// Files, devices and packages of NVIDIA's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NvidiaFacts {
    /// `/dev/nvidia*`, with their permissions.
    pub nodes: Reading<Vec<DeviceNode>>,
    /// Permissions that the driver gives its devices (`DeviceFileMode` in `/proc/driver/nvidia/params`).
    pub node_mode: Reading<u32>,
    /// Links in `/dev/char` to NVIDIA's devices, `195:0`.
    pub char_links: Reading<Vec<String>>,
    /// Files `libnvidia-ml.so.<version>` in the folders of the dynamic linker.
    pub libraries: Reading<Vec<Library>>,
    /// `/usr/bin/nvidia-modprobe` is there: CUDA loads `nvidia_uvm` and makes devices through it.
    pub modprobe_tool: Reading<bool>,
    /// The uninstaller of NVIDIA's own installer is there.
    pub runfile: Reading<bool>,
    /// Installed packages of NVIDIA's.
    pub packages: Reading<Vec<Package>>,
    /// apt upgrades packages by itself at night.
    pub auto_upgrades: Reading<bool>,
    /// Package patterns that these upgrades leave alone.
    pub upgrade_exceptions: Vec<String>,
    /// A driver container's root is mounted on `/run/nvidia/driver`.
    pub container_driver: Reading<bool>,
    /// The process named in `/run/nvidia/nvidia-driver.pid` lives; `Absence::None` without that file.
    pub container_driver_alive: Reading<bool>,
    /// Version of the NVIDIA Container Toolkit; `Absence::None` where it is not installed.
    pub toolkit: Reading<String>,
    /// `no-cgroups = true` in `/etc/nvidia-container-runtime/config.toml`.
    pub no_cgroups: Reading<bool>,
    /// CDI specifications of NVIDIA's GPUs.
    pub cdi: Reading<Vec<CdiSpec>>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// `/dev/nvidia0`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
}

/// A library of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// The file.
    pub path: String,
    /// The driver version in its name.
    pub version: String,
    /// The one that `libnvidia-ml.so.1` in its folder leads to.
    pub current: bool,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The administrator holds it in this version.
    pub held: bool,
}

/// A CDI specification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CdiSpec {
    /// The file.
    pub path: String,
    /// Names of its devices (`0`, a UUID, `all`).
    pub devices: Vec<String>,
    /// Device nodes and files of the host that it names and that are not there.
    pub missing: Vec<String>,
    /// Driver versions in the names of its libraries.
    pub versions: Vec<String>,
    /// Why it cannot be read.
    #[serde(default)]
    pub broken: Option<String>,
}

/// Docker's settings on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerFiles {
    /// Its executable is there.
    pub installed: Reading<bool>,
    /// `/etc/docker/daemon.json`; `Absence::None` where there is none.
    pub config: Reading<DockerConfig>,
    /// The user of the container hand is in the group `docker`; `Absence::None` where there is no such user or group.
    pub hand_in_group: Reading<bool>,
}

/// What matters of `/etc/docker/daemon.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerConfig {
    /// The file.
    pub path: String,
    /// Why Docker cannot read it.
    pub error: Option<String>,
    /// `features.cdi`.
    pub cdi: Option<bool>,
    /// `selinux-enabled`.
    pub selinux: bool,
    /// Runtimes whose executable is not there: name and path.
    pub missing_runtimes: Vec<(String, String)>,
}

/// Services, and the daemon's own files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceFacts {
    /// Units of systemd that matter; absent where systemd is not the init.
    pub units: Reading<Vec<ServiceUnit>>,
    /// The socket of the system bus is there.
    pub bus_socket: Reading<bool>,
    /// polkit can be started on the bus.
    pub polkit: Reading<bool>,
    /// The daemon on the bus; `Absence::None` where nobody owns its name.
    pub daemon: Reading<DaemonSeen>,
    /// What is wrong with the configuration; `Absence::None` = nothing.
    pub config_error: Reading<String>,
    /// What is wrong with the policy file; `Absence::None` = nothing, or there is none.
    pub policy_error: Reading<String>,
    /// The configuration trusts any certificate of a manager.
    pub insecure: Reading<bool>,
    /// Files and folders of the daemon that others must not read or write.
    pub guarded: Vec<Guarded>,
    /// Files that the configuration names and that are not there: setting and path.
    pub missing_files: Vec<(String, String)>,
    /// Sockets of the hands that are not there; absent where the daemon's runtime folder is not.
    pub missing_sockets: Reading<Vec<String>>,
    /// The file system of the daemon's state.
    pub state_disk: Reading<DiskUsage>,
    /// The clock is synchronised; `Absence::None` where nobody is to synchronise it (a container).
    pub clock_synchronised: Reading<bool>,
    /// Until when the credential for the manager is good; `Absence::None` = for ever, or there is none.
    pub credential_until: Reading<UnixMillis>,
}

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceUnit {
    /// `docker.service`.
    pub name: String,
    /// `loaded`, `not-found`, `masked`.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`.
    pub active: String,
    /// `success`, `exit-code`, `watchdog`, …
    pub result: String,
    /// `enabled`, `disabled`, `static`, … ; empty where there is none.
    pub enabled: String,
}

/// The daemon as it shows itself on the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSeen {
    /// Its version.
    pub version: String,
    /// The state of the check-in (`ok`, `unauthenticated`, …).
    pub manager_state: String,
    /// Why the last heartbeat failed.
    pub manager_error: Option<String>,
    /// What it reports about hands that it cannot reach; an older program does not say it.
    #[serde(default)]
    pub hands_unreachable: Vec<String>,
}

/// A file or folder that others must not read or write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Where.
    pub path: String,
    /// What it holds.
    pub what: GuardedKind,
    /// Permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
}

/// What a guarded file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardedKind {
    /// A token: others must not read it.
    Token,
    /// Credentials: nobody but their owner may read them.
    Credentials,
    /// Policy or configuration: only root may write it.
    Rules,
}

/// The way to a manager, tried once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerSeen {
    /// Its address.
    pub url: String,
    /// How far the way went.
    pub reach: Reach,
    /// How its certificate is to be judged could be read.
    pub trust_known: bool,
    /// End of its certificate.
    pub certificate_until: Reading<UnixMillis>,
    /// Its clock minus ours in milliseconds.
    pub skew_ms: Reading<i64>,
}

/// How far the way to a manager went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reach", rename_all = "snake_case")]
pub enum Reach {
    /// It answered.
    Answered {
        /// HTTP status.
        status: u16,
    },
    /// Its name has no address.
    NoName {
        /// What the resolver reported.
        said: String,
    },
    /// Nobody takes the connection.
    NoConnection {
        /// The address that was tried last.
        address: String,
        /// What the host answered.
        said: String,
    },
    /// Its certificate is refused.
    Tls {
        /// Why.
        fault: TlsError,
        /// What the TLS library reported.
        said: String,
    },
    /// It takes the connection and gives no HTTP answer.
    NoAnswer {
        /// What went wrong.
        said: String,
    },
}
