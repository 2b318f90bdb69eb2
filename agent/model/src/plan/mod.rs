//! Plans: what will be done to the host, step by step, before anything of it is done.

pub mod close_up;
pub mod postcondition;
mod steps;

pub use close_up::{CloseUp, MemberState, ModuleState, PowerControl};
pub use postcondition::{Postcondition, Settled, Unmet};
pub use steps::steps_between;

use crate::ids::{DriverName, IommuGroupId, PciAddress};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A thing that has one writer at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// All functions of an IOMMU group.
    Group(IommuGroupId),
    /// One GPU that has no IOMMU group.
    Gpu(PciAddress),
    /// The Docker daemon.
    Docker,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group-{id}"),
            Self::Gpu(address) => write!(f, "gpu-{}", address.path_element()),
            Self::Docker => f.write_str("docker"),
        }
    }
}

impl Lane {
    /// The lane that is shown so; `None` where the text is not exactly how a lane is shown.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let group = || text.strip_prefix("group-")?.parse().ok().map(IommuGroupId).map(Self::Group);
        let gpu = || PciAddress::from_path_element(text.strip_prefix("gpu-")?).map(Self::Gpu);
        let lane = group().or_else(gpu).unwrap_or(Self::Docker);
        (lane.to_string() == text).then_some(lane)
    }

    /// A change of this scope concerns it: it is the scope's own, or that of one of its functions.
    #[must_use]
    pub fn concerns(self, scope: &Scope) -> bool {
        match self {
            Self::Gpu(address) => scope.members.contains(&address) || scope.gpu == address,
            Self::Group(_) | Self::Docker => self == scope.lane,
        }
    }
}

/// What a change may touch: nothing else is written to.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Who else has to wait.
    pub lane: Lane,
    /// The GPU that was asked for.
    pub gpu: PciAddress,
    /// Every function that may be written to, sorted; bridges are not among them.
    pub members: Vec<PciAddress>,
}

/// What a plan disturbs beyond its scope.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Nothing.
    None,
    /// The Docker daemon is restarted.
    DockerRestart,
    /// The GPU is reset.
    GpuReset,
    /// The machine has to be rebooted, which is never done by the plan itself.
    Reboot,
}

/// One thing that is done to the host. Closed: whoever executes a step knows all of them, and no other.
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
                write!(f, "{address}: allow only {driver} to bind it (driver_override)")
            }
            Self::SetDriverOverride { address, to: None } => write!(f, "{address}: clear driver_override"),
            Self::Unbind { address, driver } => write!(f, "{address}: unbind from {driver}"),
            Self::Probe { address } => write!(f, "{address}: ask the kernel to find its driver (drivers_probe)"),
            Self::SetD3cold { address, allowed: true } => {
                write!(f, "{address}: allow power-off (d3cold_allowed)")
            }
            Self::SetD3cold { address, allowed: false } => write!(f, "{address}: forbid power-off (d3cold_allowed)"),
            Self::SetPowerControl { address, to } => write!(f, "{address}: set power/control to {}", to.code()),
        }
    }
}

/// What will be done, what must be so afterwards, and what it disturbs. The same plan is printed, journaled and executed.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it may touch.
    pub scope: Scope,
    /// In this order. Empty where the host is so already.
    pub steps: Vec<Step>,
    /// What a fresh look must show at the end.
    pub postcondition: Postcondition,
    /// What it disturbs.
    pub disruption: Disruption,
}

impl Plan {
    /// The steps in words.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        self.steps.iter().map(ToString::to_string).collect()
    }

    /// No step touches a function outside the scope.
    #[must_use]
    pub fn stays_in_scope(&self) -> bool {
        self.steps.iter().filter_map(Step::address).all(|address| self.scope.members.contains(&address))
    }
}
