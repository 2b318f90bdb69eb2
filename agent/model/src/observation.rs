//! One observation: all that was seen at one instant, merged by PCI address onto the list of sysfs.

use crate::absence::Absence;
use crate::condition::Condition;
use crate::docker::DockerFacts;
use crate::driver::{DriverGpu, DriverSource, ProbeError, SilentGpu};
use crate::features::{FeatureName, Features, SwitchedOffBy};
use crate::health::GpuHealth;
use crate::host_facts::HostFacts;
use crate::ids::{IommuGroupId, PciAddress};
use crate::mig::PlacedMig;
use crate::pci::{GpuFunction, IommuGroup, PciScan, VENDOR_NVIDIA};
use crate::roster::Known;
use crate::time::{BootMillis, UnixMillis};
use crate::verdict_reasons::{Obstacle, Unschedulable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a GPU is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuUse {
    /// The host's own: nobody was given it.
    Host,
    /// Shared with containers.
    Shared,
    /// Cut up with MIG.
    Mig,
    /// Given to a virtual machine.
    Passthrough,
    /// A change is under way.
    Transitioning,
    /// Withheld because a change could not be undone.
    Quarantined,
}

impl GpuUse {
    /// As it is in JSON and on D-Bus.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Shared => "shared",
            Self::Mig => "mig",
            Self::Passthrough => "passthrough",
            Self::Transitioning => "transitioning",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A link of the chain from the PCI bus to a usable GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainLink {
    /// The function answers on the bus.
    Pci,
    /// A kernel driver that serves it is bound.
    KernelDriver,
    /// NVML (or nvidia-smi) answers for it.
    Nvml,
    /// Docker has a runtime that injects it.
    DockerRuntime,
    /// A CDI spec names it.
    Cdi,
    /// Local policy and configuration allow it.
    Policy,
}

impl ChainLink {
    /// As it is in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pci => "pci",
            Self::KernelDriver => "kernel_driver",
            Self::Nvml => "nvml",
            Self::DockerRuntime => "docker_runtime",
            Self::Cdi => "cdi",
            Self::Policy => "policy",
        }
    }
}

/// One link with its state; `ok: None` = not reached or not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseLink {
    /// Which link.
    pub link: ChainLink,
    /// Whether it holds.
    pub ok: Option<bool>,
    /// Why it does not hold (a sentence).
    pub reason: Option<String>,
    /// What to do about it (a command where there is one).
    pub remedy: Option<String>,
}

/// Whether the GPU could be given to a virtual machine, from what the scan shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassthroughVerdict {
    /// Nothing that the scan shows prevents it.
    pub eligible: bool,
    /// What prevents it.
    pub reasons: Vec<Obstacle>,
}

/// What a change of a GPU makes of it. The strongest counts: one that could not be undone, one that is under way, one that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingChange {
    /// There is none.
    #[default]
    None,
    /// It is given to a virtual machine, after a record of ours.
    Given,
    /// A change is under way.
    UnderWay,
    /// A change could not be undone, or its record cannot be read.
    Quarantined,
}

impl StandingChange {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// One GPU: the facts of sysfs, of the driver and of those who learn more of it, and the verdict, which `judge::decide` alone writes
/// (`usage`, `schedulable`, `unschedulable_reason`, `passthrough`, `features`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// From sysfs; the authority.
    pub pci: GpuFunction,
    /// From the driver, where it answered for this address; of other vendors' GPUs what their sensors tell.
    pub driver: Option<DriverGpu>,
    /// Version of the driver that answered.
    pub driver_version: Option<String>,
    /// Why NVIDIA's driver has no facts of it; `None` exactly where it has.
    pub driver_absence: Option<Absence>,
    /// What it is used for.
    pub usage: GpuUse,
    /// A workspace may use it.
    pub schedulable: bool,
    /// Why not.
    pub unschedulable_reason: Option<Unschedulable>,
    /// From pci to policy; the first link that is not ok gives the reason why the GPU cannot be used.
    pub cause_chain: Vec<CauseLink>,
    /// The container runtime can really inject it.
    pub visible_to_runtime: bool,
    /// Passthrough.
    pub passthrough: PassthroughVerdict,
    /// When it is taken back unless somebody confirms before that it is given away.
    #[serde(default)]
    pub confirm_before: Option<UnixMillis>,
    /// How well it is.
    #[serde(default)]
    pub health: GpuHealth,
    /// What it can be used for.
    pub features: Features,
    /// The features that the settings of this host or its desired state switch off.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features_off: BTreeMap<FeatureName, SwitchedOffBy>,
    /// The desired state puts it aside: no workspace may be placed on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_off: bool,
    /// What a change makes of it.
    #[serde(default, skip_serializing_if = "StandingChange::is_none")]
    pub change: StandingChange,
    /// What NVIDIA's tools say of it alone, where they have no facts of it and answer for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<SilentGpu>,
    /// Most lanes that its PCIe link was seen with since this daemon runs.
    #[serde(default)]
    pub widest_lanes: Option<u32>,
    /// Where its MIG instances are and who created them; `None` = no look has shown it since the driver's list changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig_places: Option<Vec<PlacedMig>>,
}

impl Gpu {
    /// Best name: the driver's, else the hardware database's.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let from_driver = self.driver.as_ref().and_then(|d| d.name.known());
        from_driver.or(self.pci.name.as_ref()).map(String::as_str)
    }

    /// Where a GPU instance is and who created it, where that is known.
    #[must_use]
    pub fn mig_place(&self, gpu_instance: u32) -> Option<&PlacedMig> {
        self.mig_places.as_ref()?.iter().find(|place| place.gpu_instance == gpu_instance)
    }

    /// The first broken link.
    #[must_use]
    pub fn first_broken_link(&self) -> Option<&CauseLink> {
        self.cause_chain.iter().find(|link| link.ok == Some(false))
    }
}

/// What one source of driver facts answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Who was asked.
    pub source: DriverSource,
    /// `None` = it answered.
    pub fault: Option<ProbeError>,
    /// What was wrong with the answer.
    pub problems: Vec<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// All that was seen of the host at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostObservation {
    /// Rises by one with each observation of this run; 0 = nothing has been seen yet.
    pub sequence: u64,
    /// When, on the wall clock.
    pub observed_at: UnixMillis,
    /// When, on CLOCK_BOOTTIME.
    pub observed_boot: BootMillis,
    /// GPUs by PCI address.
    pub gpus: Vec<Gpu>,
    /// IOMMU groups that hold a GPU.
    pub groups: Vec<IommuGroup>,
    /// Number of all IOMMU groups.
    pub iommu_groups_total: u32,
    /// Whatever of the scan is neither GPU nor group.
    pub scan_problems: Vec<String>,
    /// NVSwitches.
    pub nvswitches: Vec<PciAddress>,
    /// Version of the NVIDIA driver that answered.
    pub driver_version: Option<String>,
    /// CUDA version of the driver.
    pub cuda_version: Option<String>,
    /// What each source answered.
    pub probes: Vec<ProbeOutcome>,
    /// Docker, or why it did not answer.
    pub docker: Result<DockerFacts, ProbeError>,
    /// The host around the GPUs.
    pub host: HostFacts,
    /// GPUs that are gone, and that nobody has reported to know of.
    #[serde(default)]
    pub gone: Vec<Known>,
    /// Standing statements that follow from this observation.
    pub conditions: Vec<Condition>,
}

/// Everything that one round of asking brought back, before it is judged.
#[derive(Debug, Clone)]
pub struct RawObservation {
    /// The PCI scan; `Err` carries the reason in words.
    pub scan: Result<PciScan, String>,
    /// Reports and faults, in the order of trust, with the time that each took.
    pub reports: Vec<(DriverSource, Result<crate::driver::DriverReport, ProbeError>, u64)>,
    /// Docker.
    pub docker: Result<DockerFacts, ProbeError>,
    /// Host.
    pub host: HostFacts,
}

impl HostObservation {
    /// The GPU at an address.
    #[must_use]
    pub fn gpu(&self, address: PciAddress) -> Option<&Gpu> {
        self.gpus.iter().find(|gpu| gpu.pci.address == address)
    }

    /// The IOMMU group of a number.
    #[must_use]
    pub fn group(&self, id: IommuGroupId) -> Option<&IommuGroup> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// NVIDIA GPUs that the container runtime can really inject.
    #[must_use]
    pub fn cuda_gpu_count(&self) -> usize {
        let is_cuda = |gpu: &&Gpu| gpu.pci.id.vendor == VENDOR_NVIDIA && gpu.visible_to_runtime && gpu.schedulable;
        self.gpus.iter().filter(is_cuda).count()
    }
}
