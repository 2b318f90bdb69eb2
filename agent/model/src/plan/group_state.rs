//! A close look at one IOMMU group, read afresh before a plan is made and after it was executed.

use super::function_settings::{FunctionSettings, PowerControl};
use crate::absence::{Absence, Reading};
use crate::ids::{DriverName, IommuGroupId, PciAddress, PciClass, PciId};
use serde::{Deserialize, Serialize};

/// The state of a vfio driver's module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Loaded or built in: its folder under `/sys/bus/pci/drivers` is there.
    Loaded,
    /// Not loaded, and `/lib/modules` of the running kernel has it.
    Loadable,
    /// The running kernel has no such module.
    Missing,
}

/// One member of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberState {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: Reading<PciId>,
    /// Class code.
    pub class: Reading<PciClass>,
    /// Bound driver; `Absence::None` where none is.
    pub driver: Reading<DriverName>,
    /// `driver_override`; `Absence::None` where it is not set.
    pub driver_override: Reading<DriverName>,
    /// `d3cold_allowed`; `Absence::None` where the function has no such file.
    pub d3cold_allowed: Reading<bool>,
    /// `power/control`; `Absence::None` where the function has no such file.
    pub power_control: Reading<PowerControl>,
    /// Mediated devices that exist on it (`mdev_supported_types/*/devices`).
    pub mediated_devices: Reading<u32>,
    /// SR-IOV virtual functions that are switched on (`sriov_numvfs`).
    pub virtual_functions: Reading<u32>,
    /// What of the host's console is on it, in words: a frame buffer, a DRM console.
    pub console: Option<String>,
    /// USB devices in use behind it, where it is a USB controller: product names or bus numbers.
    pub usb_devices: Vec<String>,
}

impl MemberState {
    /// A host bridge or a PCI-to-PCI bridge: stays with its driver. A member of unknown class is not.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.class.get().is_some_and(PciClass::is_bridge)
    }

    /// What a change could alter, where all of it could be read.
    ///
    /// # Errors
    /// The name of the attribute that could not be read, and why.
    pub fn settled(&self) -> Result<FunctionSettings, (&'static str, Absence)> {
        Ok(FunctionSettings {
            address: self.address,
            driver: definite(&self.driver).map_err(|why| ("driver", why))?,
            driver_override: definite(&self.driver_override).map_err(|why| ("driver_override", why))?,
            d3cold_allowed: definite(&self.d3cold_allowed).map_err(|why| ("d3cold_allowed", why))?,
            power_control: definite(&self.power_control).map_err(|why| ("power/control", why))?,
        })
    }
}

/// A value, the fact that there is none, or the reason why it is not known.
fn definite<T: Clone>(reading: &Reading<T>) -> Result<Option<T>, Absence> {
    match reading {
        Reading::Known(value) => Ok(Some(value.clone())),
        Reading::Absent(Absence::None) => Ok(None),
        Reading::Absent(why) => Err(why.clone()),
    }
}

/// The group at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The GPU's IOMMU group; `Absence::None` where it has none.
    pub group: Reading<IommuGroupId>,
    /// VFIO works without an IOMMU (`enable_unsafe_noiommu_mode`, a group of kind `noiommu`).
    pub no_iommu: bool,
    /// All members of the group, or the functions of the card where there is no group; by address. A function that has gone
    /// is not here.
    pub members: Vec<MemberState>,
    /// `/dev/vfio/GROUP` is there.
    pub vfio_node: bool,
    /// The vfio driver that the module aliases of the running kernel name for the GPU, where that is not vfio-pci itself.
    pub variant: Option<DriverName>,
    /// The state of the module of the wanted vfio driver.
    pub module: ModuleState,
}

impl GroupState {
    /// The member at an address; `None` where it has gone.
    #[must_use]
    pub fn member(&self, address: PciAddress) -> Option<&MemberState> {
        self.members.iter().find(|member| member.address == address)
    }

    /// Members that a change would touch: all but bridges.
    pub fn endpoints(&self) -> impl Iterator<Item = &MemberState> {
        self.members.iter().filter(|member| !member.is_bridge())
    }
}
