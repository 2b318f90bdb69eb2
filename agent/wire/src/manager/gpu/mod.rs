//! The manager API's documents of GPUs: `Gpu`, `Mig`, `GpuMetrics`, `Inventory`, `Feature` and the links of a cause chain.
//!
//! Unknown is `null`. A field that the schema does not let be `null` is left out instead.

mod convert;
mod inventory;

pub use convert::{driver_document, driver_metrics, gpu_document, gpu_metrics};
pub use inventory::{inventory, inventory_rev};

use crate::metric_values::MetricValues;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Gpu` of the manager API.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GpuDocument {
    /// PCI address, `0000:41:00.0`.
    pub bdf: String,
    /// PCI vendor and device, `10de:2330`. Never `null` in a report to a manager: sysfs always has it.
    pub pci_id: Option<String>,
    /// PCI subsystem vendor and device.
    pub subsys_id: Option<String>,
    /// PCI class, `0x030200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Who makes it.
    pub vendor: Vendor,
    /// Product name.
    pub name: Option<String>,
    /// Architecture in the driver's words.
    pub arch: Option<String>,
    /// CUDA compute capability, `9.0`.
    pub compute_capability: Option<String>,
    /// UUID.
    pub uuid: Option<String>,
    /// Index in the driver's order; never an identity.
    pub index: Option<u32>,
    /// Minor number of `/dev/nvidiaN`.
    pub minor: Option<u32>,
    /// Board serial number.
    pub serial: Option<String>,
    /// Bound kernel driver.
    pub driver: Option<String>,
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// IOMMU group; 0 is a valid one.
    pub iommu_group: Option<u32>,
    /// Addresses of all members of that group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iommu_group_members: Option<Vec<String>>,
    /// Whether it could be given to a virtual machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<PassthroughDocument>,
    /// NUMA node.
    pub numa_node: Option<u32>,
    /// Frame buffer memory of the card in MiB.
    pub memory_mib: Option<u64>,
    /// Virtualization mode in the driver's words.
    pub virt_mode: Option<String>,
    /// DRM nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drm: Option<DrmDocument>,
    /// MIG; left out where nobody was there to say anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig: Option<MigState>,
    /// What it can do, by name of the feature.
    pub features: BTreeMap<String, FeatureDocument>,
    /// The container runtime can really inject it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_to_runtime: Option<bool>,
    /// A workspace may use it.
    pub schedulable: bool,
    /// Stable code of why not.
    pub unschedulable_reason: Option<String>,
    /// `host`, `shared`, `mig`, `passthrough`, `transitioning` or `quarantined`.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// From pci to policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_chain: Option<Vec<CauseLinkDocument>>,
    /// PCIe link.
    pub pcie: Option<Pcie>,
    /// SR-IOV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sriov: Option<Sriov>,
    /// Health; left out where nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthDocument>,
}

/// Who makes a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Anybody else.
    #[default]
    Other,
}

/// Whether a GPU could be given to a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassthroughDocument {
    /// Nothing that was seen prevents it.
    pub eligible: bool,
    /// Stable codes of what does.
    pub reasons: Vec<String>,
}

/// DRM nodes, as paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrmDocument {
    /// `/dev/dri/card0`.
    pub card: Option<String>,
    /// `/dev/dri/renderD128`.
    pub render: Option<String>,
}

/// MIG of one GPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MigState {
    /// The GPU knows MIG; left out where the driver gave an error in place of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported: Option<bool>,
    /// `enabled` or `disabled`.
    pub current: Option<String>,
    /// The same, after the next reset.
    pub pending: Option<String>,
    /// MIG devices.
    pub instances: Vec<MigDocument>,
}

/// `Mig` of the manager API: one MIG device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigDocument {
    /// UUID.
    pub uuid: Option<String>,
    /// GPU instance id.
    pub gi: u32,
    /// Compute instance id.
    pub ci: u32,
    /// Index of the MIG device in its GPU; never an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<u32>,
    /// Name of the profile, `1g.5gb`.
    pub profile: Option<String>,
    /// The memory slots of its GPU instance, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<MigPlacement>,
    /// gpuhostd created its GPU instance, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Memory of the slice in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Streaming multiprocessors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm: Option<u32>,
    /// Copy engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ce: Option<u32>,
    /// Encoders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<u32>,
    /// Decoders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dec: Option<u32>,
    /// JPEG engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jpeg: Option<u32>,
    /// Optical flow engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ofa: Option<u32>,
}

/// `placement` of the manager API's `Mig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigPlacement {
    /// First memory slot.
    pub start: u32,
    /// Number of memory slots.
    pub size: u32,
}

/// `Feature` of the manager API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FeatureDocument {
    /// The hardware and its driver can do it.
    pub supported: bool,
    /// It can be used now.
    pub enabled: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// One link of a cause chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CauseLinkDocument {
    /// `pci`, `kernel_driver`, `nvml`, `docker_runtime`, `cdi` or `policy`.
    pub link: String,
    /// `null` = not reached, not needed or not known.
    pub ok: Option<bool>,
    /// Why it does not hold.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// PCIe link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pcie {
    /// Generation now; an idle GPU lowers it.
    pub r#gen: Option<u32>,
    /// Highest generation.
    pub max_gen: Option<u32>,
    /// Lanes now.
    pub width: Option<u32>,
    /// Most lanes.
    pub max_width: Option<u32>,
}

/// SR-IOV of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sriov {
    /// Addresses of its virtual functions.
    pub virtual_functions: Vec<String>,
    /// Its physical function, where it is itself a virtual one.
    pub physical_function: Option<String>,
}

/// Health of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthDocument {
    /// `ok`, `degraded`, `failed` or `unknown`.
    pub state: String,
    /// Stable codes.
    pub reasons: Vec<String>,
}

/// `GpuMetrics` of the manager API.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GpuMetrics {
    /// UUID.
    pub uuid: Option<String>,
    /// PCI address.
    pub bdf: String,
    /// Why values are `null`: the gravest reason among them.
    pub reason: Option<String>,
    /// Metrics under the names that the contract has for them. A list is left out where it is unknown.
    #[serde(flatten)]
    pub values: MetricValues,
    /// Last Xid of the kernel log.
    pub xid_last: Option<u32>,
    /// Memory of the MIG devices.
    #[serde(default)]
    pub mig: Vec<MigMetrics>,
}

/// Memory of one MIG device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigMetrics {
    /// UUID.
    pub uuid: Option<String>,
    /// GPU instance id.
    pub gi: u32,
    /// Compute instance id.
    pub ci: u32,
    /// Memory in MiB.
    pub mem_total_mib: Option<u64>,
    /// In use.
    pub mem_used_mib: Option<u64>,
    /// Free.
    pub mem_free_mib: Option<u64>,
}

/// `Inventory` of the manager API.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// GPUs by PCI address.
    pub gpus: Vec<GpuDocument>,
    /// NVIDIA GPUs that the container runtime can really inject; `null` where the PCI bus or Docker could not be asked.
    pub cuda_gpu_count: Option<u32>,
    /// The host around the GPUs.
    pub host: HostInventory,
    /// Network interfaces of the host's own.
    pub nics: Vec<NicInventory>,
    /// NVIDIA's software.
    pub nvidia_stack: NvidiaStack,
}

/// The host around the GPUs, without anything that changes from beat to beat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostInventory {
    /// Host name.
    pub hostname: Option<String>,
    /// `os-release` PRETTY_NAME.
    pub os: Option<String>,
    /// `os-release` ID.
    pub os_id: Option<String>,
    /// `os-release` VERSION_ID.
    pub os_version_id: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Machine architecture.
    pub arch: Option<String>,
    /// Logical CPUs online.
    pub cores: Option<u32>,
    /// Memory in bytes.
    pub mem_total_bytes: Option<u64>,
    /// Swap in bytes.
    pub swap_total_bytes: Option<u64>,
    /// DMI vendor, product and board.
    pub dmi: BTreeMap<String, String>,
    /// Docker; `null` where it does not answer.
    pub docker: Option<DockerInventory>,
}

/// Docker, without anything that changes from beat to beat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DockerInventory {
    /// Engine version.
    pub version: Option<String>,
    /// API version.
    pub api: Option<String>,
    /// Folder of images and containers.
    pub root_dir: Option<String>,
    /// OCI runtimes.
    pub runtimes: Vec<String>,
    /// The runtime that a container without a choice gets.
    pub default_runtime: Option<String>,
    /// CDI devices that it discovered.
    pub cdi_devices: Vec<String>,
    /// `1` or `2`.
    pub cgroup_version: Option<String>,
    /// Containers outlive the daemon.
    pub live_restore: Option<bool>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NicInventory {
    /// Kernel name.
    pub name: String,
    /// Hardware address.
    pub mac: Option<String>,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Link speed in Mbit/s.
    pub speed_mbit_s: Option<u32>,
}

/// NVIDIA's software on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NvidiaStack {
    /// Version of the driver that answers.
    pub driver_version: Option<String>,
    /// Highest CUDA version of that driver.
    pub cuda_version: Option<String>,
    /// Docker has the runtime `nvidia`; `null` where Docker does not answer.
    pub docker_runtime: Option<bool>,
    /// Docker knows a CDI device of NVIDIA's; `null` where Docker does not answer.
    pub cdi: Option<bool>,
    /// Addresses of the NVSwitches.
    pub nvswitches: Vec<String>,
}
