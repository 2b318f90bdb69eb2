//! Which sensors a kind of card of a simulated host has.

use serde::{Deserialize, Serialize};

/// Which sensors a kind of card has; each shows the load of the GPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SensorsDescription {
    /// Temperature.
    pub temperature: bool,
    /// `gpu_busy_percent` and `mem_busy_percent`.
    pub busy: bool,
    /// Power drawn.
    pub power: bool,
    /// The fan.
    pub fan: bool,
    /// Memory of the card in MiB, with what is in use of it.
    pub vram_mib: Option<u64>,
    /// Power limit in watts.
    pub power_limit_w: Option<u32>,
    /// Clock of the graphics engine in MHz.
    pub clock_mhz: Option<u32>,
}
