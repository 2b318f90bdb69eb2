//! What is remembered of the host around a driver container.

use super::nvidia_failures::NvidiaFailures;
use crate::driver_host::DriverHostStep;
use serde::{Deserialize, Serialize};

/// What is remembered of the host around the driver container. All of it is in `/run` and does not outlive the boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverHostMemory {
    /// A driver container of gpuhostd has run since the boot, and what it left has not been taken back.
    pub is_ours: bool,
    /// A step that was begun and is not known to have finished.
    pub begun: Option<DriverHostStep>,
    /// The path whose unmount the host has refused because it is in use: the next try detaches it.
    pub busy: Option<String>,
    /// What has failed.
    pub failures: NvidiaFailures,
}
