//! What sysfs reports about GPUs and their IOMMU groups: the authoritative list, with or without a driver.

use crate::absence::Reading;
use crate::ids::{DriverName, IommuGroupId, PciAddress, PciClass, PciId};
use serde::{Deserialize, Serialize};

/// PCI vendor id of NVIDIA.
pub const VENDOR_NVIDIA: u16 = 0x10de;
/// PCI vendor id of AMD (ATI).
pub const VENDOR_AMD: u16 = 0x1002;
/// PCI vendor id of Intel.
pub const VENDOR_INTEL: u16 = 0x8086;

/// Speed and width of a PCIe link, now and at best (`current_link_speed`, `max_link_width`, …).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PcieLink {
    /// Generation now (1 = 2.5 GT/s … 6 = 64 GT/s). An idle GPU lowers it.
    pub generation: Reading<u32>,
    /// Highest generation of the device.
    pub max_generation: Reading<u32>,
    /// Lanes now.
    pub width: Reading<u32>,
    /// Most lanes of the device.
    pub max_width: Reading<u32>,
    /// The other end of the link: the bridge above the device. None where it sits on a root bus, as in most cloud guests.
    pub port: Option<PciePort>,
}

/// What the port above a device can do (`max_link_speed` and `max_link_width` of the bridge).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciePort {
    /// Where it is.
    pub address: PciAddress,
    /// Its highest generation.
    #[serde(default)]
    pub max_generation: Reading<u32>,
    /// Its most lanes, as they are wired or split: a slot of sixteen that shares them with its neighbour has eight.
    #[serde(default)]
    pub max_width: Reading<u32>,
}

/// DRM nodes of a function, found through sysfs by address (`card` and render numbers change at each boot).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DrmNodes {
    /// `card0`.
    pub card: Option<String>,
    /// `renderD128`.
    pub render: Option<String>,
}

/// How the kernel keeps a function awake, and what else it lets be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionState {
    /// Its configuration space answers. `false` where it reads all ones: the device has fallen off the bus. Not read while
    /// it sleeps (`Absence::GpuAsleep`), since that would wake it.
    pub responds: Reading<bool>,
    /// `power/runtime_status`.
    pub runtime: Reading<RuntimeStatus>,
    /// `power/control` is `auto`: the kernel may put it to sleep when nobody uses it.
    pub may_sleep: Reading<bool>,
    /// `d3cold_allowed`: runtime power management may take its power away.
    pub d3cold_allowed: Reading<bool>,
    /// `removable`: it is behind a port from which it may be unplugged (Thunderbolt, USB4). Only newer kernels say.
    pub removable: Reading<bool>,
    /// `reset_method`: how the kernel can reset it (`flr`, `bus`, `pm`, …), in the order in which it tries them. Empty where
    /// it cannot.
    pub reset_methods: Reading<Vec<String>>,
    /// Mediated devices and vGPUs.
    pub mediated: Mediated,
}

/// `power/runtime_status` of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeStatus {
    /// Awake.
    Active,
    /// Asleep: touching it would wake it.
    Suspended,
    /// On its way to sleep.
    Suspending,
    /// Waking up.
    Resuming,
    /// A change of the state failed.
    Error,
    /// The driver does not manage its power at run time.
    Unsupported,
}

impl RuntimeStatus {
    /// As the kernel writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Suspending => "suspending",
            Self::Resuming => "resuming",
            Self::Error => "error",
            Self::Unsupported => "unsupported",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Active, Self::Suspended, Self::Suspending, Self::Resuming, Self::Error, Self::Unsupported];
        all.into_iter().find(|status| status.code() == name)
    }
}

/// Mediated devices (mdev) of a function, and vGPUs of drivers that make them of SR-IOV virtual functions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mediated {
    /// Types that it could make (`mdev_supported_types`), sorted; empty where it makes none.
    pub types: Vec<String>,
    /// UUIDs of the mediated devices that exist, sorted.
    pub devices: Vec<String>,
    /// Virtual functions that are a vGPU now (`nvidia/current_vgpu_type` is not 0), sorted.
    pub vgpus: Vec<PciAddress>,
}

impl Mediated {
    /// A part of the card is given away.
    #[must_use]
    pub fn in_use(&self) -> bool {
        !self.devices.is_empty() || !self.vgpus.is_empty()
    }
}

/// One display-class physical function as sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFunction {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// Class code.
    pub class: PciClass,
    /// Subsystem vendor and device.
    pub subsystem: Reading<PciId>,
    /// Bound kernel driver; `Absence::None` where none is bound.
    pub driver: Reading<DriverName>,
    /// `driver_override`; `Absence::None` where it is not set, `Absence::NotRead` from a scan of a real host.
    pub driver_override: Reading<String>,
    /// IOMMU group; `Absence::None` where it has none.
    pub iommu_group: Reading<IommuGroupId>,
    /// NUMA node; `Absence::None` for −1.
    pub numa_node: Reading<u32>,
    /// PCIe link.
    pub link: PcieLink,
    /// The firmware used it as the console (`boot_vga`).
    pub boot_vga: Reading<bool>,
    /// DRM nodes.
    pub drm: DrmNodes,
    /// SR-IOV virtual functions that stand under it, sorted. They are not GPUs of their own.
    pub virtual_functions: Vec<PciAddress>,
    /// Set where this is itself a virtual function whose physical function is on this host.
    pub physical_function: Option<PciAddress>,
    /// `power_state` (`D0`, `D3hot`, …).
    pub power_state: Reading<String>,
    /// Whether it answers and is awake, how it can be reset, and what of it is given away.
    #[serde(default)]
    pub state: FunctionState,
    /// Other functions of the same card (audio, USB, UCSI), sorted.
    pub companions: Vec<PciAddress>,
    /// Name out of the hardware database, `GH100 [H100 SXM5 80GB]`.
    pub name: Option<String>,
    /// Vendor out of the hardware database.
    pub vendor_name: Option<String>,
}

impl GpuFunction {
    /// A function of which its address, its ids and its class are known, and nothing else.
    #[must_use]
    pub fn unknown(address: PciAddress, id: PciId, class: PciClass) -> Self {
        Self {
            address,
            id,
            class,
            subsystem: Reading::default(),
            driver: Reading::default(),
            driver_override: Reading::default(),
            iommu_group: Reading::default(),
            numa_node: Reading::default(),
            link: PcieLink::default(),
            boot_vga: Reading::default(),
            drm: DrmNodes::default(),
            virtual_functions: Vec::new(),
            physical_function: None,
            power_state: Reading::default(),
            state: FunctionState::default(),
            companions: Vec::new(),
            name: None,
            vendor_name: None,
        }
    }

    /// The kernel has put it to sleep: reading its registers, or asking its driver for a measured value, would wake it.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        matches!(self.state.runtime.get(), Some(RuntimeStatus::Suspended | RuntimeStatus::Suspending))
    }

    /// The bound driver has this name.
    #[must_use]
    pub fn is_bound_to(&self, name: &str) -> bool {
        self.driver.known().is_some_and(|driver| driver.as_str() == name)
    }
}

/// One member of an IOMMU group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: Reading<PciId>,
    /// Class code.
    pub class: Reading<PciClass>,
    /// Bound kernel driver.
    pub driver: Reading<DriverName>,
}

/// One IOMMU group that holds a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IommuGroup {
    /// Its number.
    pub id: IommuGroupId,
    /// Its default domain type (`DMA`, `DMA-FQ`, `identity`).
    pub kind: Reading<String>,
    /// All members, sorted by address.
    pub members: Vec<GroupMember>,
}

impl IommuGroup {
    /// Members that are neither bridges nor functions of the given card. A member of unknown class is foreign.
    pub fn foreign_to(&self, card: PciAddress) -> impl Iterator<Item = &GroupMember> {
        self.members
            .iter()
            .filter(move |m| !m.address.same_card(card) && !m.class.get().is_some_and(PciClass::is_bridge))
    }

    /// Endpoints of one physical card only.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        let endpoint = self.members.iter().find(|m| !m.class.get().is_some_and(PciClass::is_bridge));
        endpoint.is_none_or(|first| self.foreign_to(first.address).next().is_none())
    }

    /// Every endpoint is on a VFIO driver or on none, so that the kernel lets a guest open the group.
    #[must_use]
    pub fn is_viable(&self) -> bool {
        self.members.iter().all(|m| {
            m.class.get().is_some_and(PciClass::is_bridge)
                || m.driver.is_none()
                || m.driver.known().is_some_and(|driver| driver.is_vfio())
        })
    }
}

impl DriverName {
    /// vfio-pci or one of its variant drivers (`nvgrace_gpu_vfio_pci`, `mlx5_vfio_pci`, …).
    #[must_use]
    pub fn is_vfio(&self) -> bool {
        self.as_str() == "vfio-pci" || self.as_str().ends_with("_vfio_pci") || self.as_str().ends_with("-vfio-pci")
    }
}

/// A function whose identity could not be read: it is named, and hides no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableFunction {
    /// The name of its folder.
    pub name: String,
    /// The file that failed.
    pub path: String,
    /// What the host answered.
    pub said: String,
}

/// One scan of `/sys/bus/pci` and `/sys/kernel/iommu_groups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PciScan {
    /// GPUs (physical functions, and virtual functions whose physical function is not on this host), by address.
    pub gpus: Vec<GpuFunction>,
    /// IOMMU groups that hold a GPU, by number.
    pub groups: Vec<IommuGroup>,
    /// Number of all IOMMU groups; 0 means that the IOMMU is off.
    pub iommu_groups_total: u32,
    /// Functions seen in all.
    pub functions_total: u32,
    /// Functions that could not be read.
    pub unreadable: Vec<UnreadableFunction>,
    /// NVSwitches (NVIDIA, class 0680), by address.
    pub nvswitches: Vec<PciAddress>,
}
