//! What a host description may say: the types that a `tests/hosts/*.toml` file is read into.

mod described_mig;
mod described_sensors;
mod described_software;
mod described_state;
mod described_workspaces;

pub use described_mig::{MigDescription, MigInstance};
pub use described_sensors::SensorsDescription;
pub use described_software::SoftwareDescription;
pub use described_state::StateDescription;
pub use described_workspaces::{DescribedImage, DescribedPull, DescribedStranger, WorkspacesDescription};

use crate::faults::Faults;
use model::docker::DockerFacts;
use model::health::facts::HealthFacts;
use model::host_facts::Nic;
use model::metric::Metric;
use model::{Absence, DriverName, GpuUuid, PciAddress, PciClass, PciId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One simulated host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Short name, as `dgx-a100`.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Default domain type of the IOMMU groups (`DMA`, `DMA-FQ`, `identity`).
    #[serde(default)]
    pub iommu_type: Option<String>,
    /// Plain functions are added until the bus has so many.
    #[serde(default)]
    pub functions_total: Option<u32>,
    /// The NVIDIA driver; none where it is missing.
    #[serde(default)]
    pub driver: Option<NvidiaDriver>,
    /// What Docker reports about itself; no Docker where it is missing.
    #[serde(default)]
    pub docker: Option<DockerFacts>,
    /// What Docker has for workspaces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workspaces: WorkspacesDescription,
    /// The host around the GPUs.
    #[serde(default)]
    pub host: HostDescription,
    /// What the kernel has logged so far.
    #[serde(default)]
    pub kernel_log: Vec<KernelLine>,
    /// What of the driver's software is not as the driver would have it.
    #[serde(default)]
    pub software: SoftwareDescription,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Faults,
    /// Kinds of cards, by the name that `gpus.model` uses.
    #[serde(default)]
    pub models: BTreeMap<String, CardModel>,
    /// The GPUs.
    #[serde(default)]
    pub gpus: Vec<GpuDescription>,
    /// Whatever else sits on the bus: bridges, NVSwitches, network cards.
    #[serde(default)]
    pub functions: Vec<OtherFunction>,
}

/// One record of the kernel log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelLine {
    /// Seconds since the kernel started.
    pub at: f64,
    /// Its text.
    pub line: String,
}

impl KernelLine {
    /// As `/dev/kmsg` gives it, with the sequence number that it has there.
    #[must_use]
    pub fn record(&self, sequence: usize) -> String {
        let text = self.line.replace('\\', "\\x5c").replace('\n', "\\x0a");
        format!("3,{sequence},{:.0},-;{text}", self.at.max(0.0) * 1e6)
    }
}

/// The NVIDIA driver of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaDriver {
    /// `580.105.08`: also decides the shape of `nvidia-smi -q -x`.
    pub version: String,
    /// `13.0`.
    pub cuda: String,
    /// The user space lives in a driver container: under `/run/nvidia/driver` and not in `/usr`.
    #[serde(default)]
    pub in_container: bool,
}

impl NvidiaDriver {
    /// The branch, `580`; `None` where the version does not begin with a number.
    #[must_use]
    pub fn branch(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

/// A kind of card: what all cards of it have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardModel {
    /// PCI vendor and device.
    pub id: PciId,
    /// PCI class code in 24 bits.
    pub class: PciClass,
    /// PCI subsystem vendor and device.
    pub subsystem: PciId,
    /// PCI revision.
    #[serde(default)]
    pub revision: u8,
    /// Vendor out of the hardware database.
    #[serde(default)]
    pub vendor_name: Option<String>,
    /// Name out of the hardware database.
    #[serde(default)]
    pub pci_name: Option<String>,
    /// Highest PCIe generation and most lanes; nothing for a function without the PCI Express capability.
    #[serde(default)]
    pub link: Option<LinkCapability>,
    /// What NVIDIA's driver reports about the product.
    #[serde(default)]
    pub product: Option<SimProduct>,
    /// What another driver shows in sysfs.
    #[serde(default)]
    pub sensors: Option<SensorsDescription>,
    /// Other functions of the card.
    #[serde(default)]
    pub companions: Vec<Companion>,
}

/// What a PCIe link can do at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkCapability {
    /// Generation, 1..=6; 0 for an integrated function, which has no link: `Unknown` in sysfs.
    pub generation: u32,
    /// Lanes; 0 for an integrated function.
    pub width: u32,
}

/// Another function of the card, as the audio of a graphics card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Companion {
    /// Function number, 1..=7.
    pub function: u8,
    /// PCI vendor and device.
    pub id: PciId,
    /// PCI class code.
    pub class: PciClass,
    /// Bound driver.
    #[serde(default)]
    pub driver: Option<DriverName>,
}

/// What NVIDIA's driver reports about a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimProduct {
    /// Marketing name.
    pub name: String,
    /// Brand in nvidia-smi's words (`NVIDIA`, `GeForce`, `Tesla`, `NVIDIA RTX`, …).
    pub brand: String,
    /// `Ampere`, `Hopper`, …
    pub architecture: String,
    /// CUDA compute capability.
    pub compute_capability: (u32, u32),
    /// VBIOS version.
    pub vbios: String,
    /// Memory of the card in MiB.
    pub memory_mib: u64,
    /// Part of it that the driver keeps, in MiB.
    pub reserved_mib: u64,
    /// Power limit in watts.
    pub power_limit_w: f64,
    /// ECC memory, switched on.
    #[serde(default)]
    pub ecc: bool,
    /// A fan of its own.
    #[serde(default)]
    pub fan: bool,
    /// It can be cut up with MIG.
    #[serde(default)]
    pub mig: bool,
    /// A serial number that the driver reports.
    #[serde(default)]
    pub serial: bool,
}

/// One GPU of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuDescription {
    /// Where it is.
    pub address: PciAddress,
    /// Name of its kind in `models`.
    pub model: String,
    /// The bridge above it.
    #[serde(default)]
    pub parent: Option<PciAddress>,
    /// IOMMU group of the card with all its functions.
    #[serde(default)]
    pub group: Option<u32>,
    /// NUMA node.
    #[serde(default)]
    pub numa_node: Option<u32>,
    /// Bound driver.
    #[serde(default)]
    pub driver: Option<DriverName>,
    /// `driver_override`.
    #[serde(default)]
    pub driver_override: Option<String>,
    /// The firmware's console (VGA controllers only).
    #[serde(default)]
    pub boot_vga: bool,
    /// Name of the firmware's frame buffer that lies in its memory, as `simpledrmdrmfb`.
    #[serde(default)]
    pub frame_buffer: Option<String>,
    /// DRM nodes.
    #[serde(default)]
    pub drm: Option<DrmNumbers>,
    /// `D0`, `D3hot`, `D3cold`.
    #[serde(default = "awake")]
    pub power_state: String,
    /// Sleep, ways to reset it, mediated devices.
    #[serde(default)]
    pub state: StateDescription,
    /// PCIe link now, where it is not at its best.
    #[serde(default)]
    pub link_now: Option<LinkCapability>,
    /// UUID; one made of the address where nothing is set.
    #[serde(default)]
    pub uuid: Option<GpuUuid>,
    /// Minor number of `/dev/nvidiaN`; the driver's index where nothing is set.
    #[serde(default)]
    pub minor: Option<u32>,
    /// Persistence mode.
    #[serde(default = "yes")]
    pub persistence: bool,
    /// Virtualization mode in the driver's words.
    #[serde(default = "no_virtualization")]
    pub virtualization: String,
    /// `Non SR-IOV` or `SR-IOV` on a vGPU host.
    #[serde(default)]
    pub host_vgpu_mode: Option<String>,
    /// What it is doing.
    #[serde(default)]
    pub load: Load,
    /// Processes on it.
    #[serde(default)]
    pub processes: Vec<ProcessDescription>,
    /// MIG, where the card can do it; off where nothing is set.
    #[serde(default)]
    pub mig: Option<MigDescription>,
    /// How it is.
    #[serde(default)]
    pub health: SimHealth,
    /// What the driver reports about its health beyond that, as `row_remap_failed = { known = true }`; nothing where nothing is
    /// set.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health_facts: HealthFacts,
    /// Facts that the driver does not give for this GPU, and what it states instead.
    #[serde(default)]
    pub absent: BTreeMap<Fact, Absence>,
    /// SR-IOV virtual functions that stand under it.
    #[serde(default)]
    pub virtual_functions: Option<VirtualFunctions>,
}

/// Numbers of the DRM nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrmNumbers {
    /// `cardN`.
    pub card: u32,
    /// `renderDN`, 128 and more.
    #[serde(default)]
    pub render: Option<u32>,
}

/// What a GPU is doing. A key that is none of these is the name of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Temperature in °C.
    pub temperature_c: u32,
    /// Utilization in per cent.
    pub utilization_pct: u32,
    /// Memory controller in per cent.
    pub memory_utilization_pct: u32,
    /// Encoder in per cent.
    pub encoder_pct: u32,
    /// Decoder in per cent.
    pub decoder_pct: u32,
    /// Power in watts, two decimals.
    pub power_w: f64,
    /// Fan in per cent.
    pub fan_pct: u32,
    /// Performance state, `P0`..`P15`.
    pub performance_state: u8,
    /// Memory in use in MiB.
    pub used_mib: u64,
    /// Uncorrected ECC errors since the driver was loaded.
    pub ecc_uncorrected: u64,
    /// Reasons that hold the clocks down.
    pub throttle: Vec<String>,
    /// Further metrics by their names (`sm_clock_mhz = 1410`); the driver does not have those that are not here.
    #[serde(flatten)]
    pub others: BTreeMap<Metric, u32>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            temperature_c: 31,
            utilization_pct: 0,
            memory_utilization_pct: 0,
            encoder_pct: 0,
            decoder_pct: 0,
            power_w: 25.5,
            fan_pct: 30,
            performance_state: 8,
            used_mib: 0,
            ecc_uncorrected: 0,
            throttle: vec!["gpu_idle".to_owned()],
            others: BTreeMap::new(),
        }
    }
}

/// A process on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessDescription {
    /// Process id.
    pub pid: u32,
    /// `C` or `G`.
    pub kind: String,
    /// Command.
    pub name: String,
    /// GPU memory in MiB.
    pub memory_mib: u64,
}

/// How a GPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimHealth {
    /// Well.
    #[default]
    Ok,
    /// Fallen off the bus: the driver shows what it remembers, and `GPU is lost` for what it would have to ask.
    Lost,
    /// `GPU requires reset` for what the driver would have to ask.
    ResetRequired,
}

/// A fact of a GPU that the driver may fail to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The UUID.
    Uuid,
    /// The board serial number.
    Serial,
    /// The product name.
    Name,
    /// The brand.
    Brand,
    /// The architecture.
    Architecture,
    /// The CUDA compute capability.
    ComputeCapability,
    /// The VBIOS version.
    Vbios,
    /// The minor number.
    Minor,
    /// The persistence mode.
    Persistence,
    /// The virtualization mode.
    Virtualization,
    /// The MIG mode.
    Mig,
    /// The frame buffer memory.
    Memory,
    /// The temperature.
    Temperature,
    /// The GPU and memory utilization.
    Utilization,
    /// The encoder utilization.
    Encoder,
    /// The decoder utilization.
    Decoder,
    /// The power drawn.
    Power,
    /// The power limit in force.
    PowerLimit,
    /// The fan speed.
    Fan,
    /// The performance state.
    PerformanceState,
    /// The ECC mode.
    EccMode,
    /// The ECC error counts.
    EccErrors,
    /// The throttle reasons.
    Throttle,
    /// The metrics that are described under their own names.
    OtherMetrics,
    /// The PCIe link.
    Pcie,
    /// The processes.
    Processes,
}

/// SR-IOV virtual functions: VF *i* has the routing id of its PF plus `offset` plus *i* × `stride`, as
/// `pci_iov_virtfn_devfn` computes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualFunctions {
    /// How many (`sriov_numvfs`).
    pub count: u8,
    /// First VF Offset of the SR-IOV capability.
    pub offset: u8,
    /// VF Stride of the SR-IOV capability.
    #[serde(default = "one")]
    pub stride: u8,
    /// IOMMU group of the first one; each has a group of its own.
    #[serde(default)]
    pub first_group: Option<u32>,
    /// Bound driver.
    #[serde(default)]
    pub driver: Option<DriverName>,
}

/// A function that is no GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherFunction {
    /// Where it is.
    pub address: PciAddress,
    /// PCI vendor and device.
    pub id: PciId,
    /// PCI class code.
    pub class: PciClass,
    /// The bridge above it.
    #[serde(default)]
    pub parent: Option<PciAddress>,
    /// IOMMU group.
    #[serde(default)]
    pub group: Option<u32>,
    /// NUMA node.
    #[serde(default)]
    pub numa_node: Option<u32>,
    /// Bound driver.
    #[serde(default)]
    pub driver: Option<DriverName>,
    /// What its PCIe link can do: of a bridge, what it offers to the device below it.
    #[serde(default)]
    pub link: Option<LinkCapability>,
}

/// The host around the GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostDescription {
    /// Kernel's host name; the description's name where it is empty.
    pub hostname: String,
    /// `os-release` ID.
    pub os_id: String,
    /// `os-release` VERSION_ID.
    pub os_version_id: String,
    /// `os-release` PRETTY_NAME.
    pub os_name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture as `uname -m` reports it.
    pub arch: String,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// Logical CPUs.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Free memory in MiB.
    pub memory_available_mib: u64,
    /// Swap in MiB.
    pub swap_mib: u64,
    /// Disk of Docker's root in MiB.
    pub disk_mib: u64,
    /// In use of it in MiB.
    pub disk_used_mib: u64,
    /// Read from block devices since boot, in MiB.
    pub io_read_mib: u64,
    /// Written to block devices since boot, in MiB.
    pub io_write_mib: u64,
    /// Interfaces.
    pub nics: Vec<Nic>,
    /// DMI: `sys_vendor`, `product_name`, `board_name`.
    pub dmi: BTreeMap<String, String>,
}

impl Default for HostDescription {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            os_id: "debian".to_owned(),
            os_version_id: "12".to_owned(),
            os_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.1.0-26-amd64".to_owned(),
            arch: "x86_64".to_owned(),
            uptime_s: 86_400,
            cores: 16,
            memory_mib: 65_536,
            memory_available_mib: 49_152,
            swap_mib: 8_192,
            disk_mib: 512_000,
            disk_used_mib: 128_000,
            io_read_mib: 20_480,
            io_write_mib: 8_192,
            nics: Vec::new(),
            dmi: BTreeMap::new(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn awake() -> String {
    "D0".to_owned()
}

fn no_virtualization() -> String {
    "None".to_owned()
}

const fn yes() -> bool {
    true
}

const fn one() -> u8 {
    1
}
