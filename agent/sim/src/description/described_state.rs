//! How a GPU of a simulated host sleeps, is reset, and is given away in parts.

use model::pci::{Mediated, RuntimeStatus};
use serde::{Deserialize, Serialize};

/// How a GPU sleeps, is reset, and is given away in parts; the usual state of a GPU on a server by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateDescription {
    /// `power/runtime_status`.
    pub runtime: RuntimeStatus,
    /// `power/control` is `auto`.
    pub may_sleep: bool,
    /// `d3cold_allowed`.
    pub d3cold_allowed: bool,
    /// `reset_method`.
    pub reset_methods: Vec<String>,
    /// Mediated devices.
    pub mediated: Mediated,
}

impl Default for StateDescription {
    fn default() -> Self {
        Self {
            runtime: RuntimeStatus::Active,
            may_sleep: true,
            d3cold_allowed: true,
            reset_methods: vec!["flr".to_owned(), "bus".to_owned()],
            mediated: Mediated::default(),
        }
    }
}
