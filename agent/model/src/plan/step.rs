//! The steps by which functions change their drivers.

use super::function_state::PowerControl;
use crate::ids::{DriverName, PciAddress};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is done to the PCI functions of a group. Closed: the hand that executes a step knows all of them, and no other.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Have a vfio driver's module loaded (`modprobe@MODULE.service`, else modprobe). A loaded module stays.
    LoadModule {
        /// `vfio-pci`, or a variant driver of it.
        driver: DriverName,
    },
    /// Write `driver_override` of a function. It binds nothing by itself.
    SetDriverOverride {
        /// The function.
        address: PciAddress,
        /// The only driver that may take it; `None` clears the override.
        to: Option<DriverName>,
    },
    /// Write the function's address to `unbind` of its driver.
    Unbind {
        /// The function.
        address: PciAddress,
        /// The driver that is to let go.
        driver: DriverName,
    },
    /// Write the function's address to `drivers_probe`. The kernel says yes also where it binds nothing.
    Probe {
        /// The function.
        address: PciAddress,
    },
    /// Write `d3cold_allowed`: a function that is asleep without power may not come back for a guest.
    SetD3cold {
        /// The function.
        address: PciAddress,
        /// Whether the function may lose its power.
        allowed: bool,
    },
    /// Write `power/control`.
    SetPowerControl {
        /// The function.
        address: PciAddress,
        /// `on` keeps it awake.
        to: PowerControl,
    },
}

impl Step {
    /// The function that is written to; `None` for a step that is not about one function.
    #[must_use]
    pub const fn address(&self) -> Option<PciAddress> {
        match self {
            Self::LoadModule { .. } => None,
            Self::SetDriverOverride { address, .. }
            | Self::Unbind { address, .. }
            | Self::Probe { address }
            | Self::SetD3cold { address, .. }
            | Self::SetPowerControl { address, .. } => Some(*address),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { driver } => write!(f, "load the module of {driver}"),
            Self::SetDriverOverride { address, to: Some(driver) } => {
                write!(f, "{address}: let no driver but {driver} take it (driver_override)")
            }
            Self::SetDriverOverride { address, to: None } => write!(f, "{address}: clear driver_override"),
            Self::Unbind { address, driver } => write!(f, "{address}: unbind from {driver}"),
            Self::Probe { address } => write!(f, "{address}: have the kernel look for its driver (drivers_probe)"),
            Self::SetD3cold { address, allowed: true } => {
                write!(f, "{address}: let it lose its power (d3cold_allowed)")
            }
            Self::SetD3cold { address, allowed: false } => write!(f, "{address}: keep its power (d3cold_allowed)"),
            Self::SetPowerControl { address, to } => write!(f, "{address}: set power/control to {}", to.code()),
        }
    }
}
