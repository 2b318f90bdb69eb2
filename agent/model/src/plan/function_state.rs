//! What a change alters of one PCI function, with values that are known.

use crate::ids::{DriverName, PciAddress};
use serde::{Deserialize, Serialize};

/// `power/control` of a device.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerControl {
    /// The kernel may suspend it at run time.
    Auto,
    /// It stays awake.
    On,
}

impl PowerControl {
    /// As the file holds it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
        }
    }
}

/// What a change alters of one function, with values that are known; `None` = the kernel says that there is none.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Which function.
    pub address: PciAddress,
    /// Bound driver.
    pub driver: Option<DriverName>,
    /// `driver_override`.
    pub driver_override: Option<DriverName>,
    /// `d3cold_allowed`.
    pub d3cold_allowed: Option<bool>,
    /// `power/control`.
    pub power_control: Option<PowerControl>,
}
