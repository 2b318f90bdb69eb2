//! Where what is known of a driver comes from.

use serde::{Deserialize, Serialize};

/// Where a report comes from, in the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverSource {
    /// libnvidia-ml.so.1, in a disposable worker.
    Nvml,
    /// `nvidia-smi -q -x` on the host.
    Smi,
    /// `nvidia-smi -q -x` inside the driver container.
    SmiInDriverContainer,
    /// Sensors of other drivers than NVIDIA's (amdgpu, i915, xe, nouveau, radeon), read from sysfs and hwmon.
    Sysfs,
}

impl DriverSource {
    /// The sources of NVIDIA's driver facts, in the order in which they are asked.
    pub const NVIDIA: [Self; 3] = [Self::Nvml, Self::Smi, Self::SmiInDriverContainer];

    /// Stable name for output.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Smi => "nvidia_smi",
            Self::SmiInDriverContainer => "nvidia_smi_in_driver_container",
            Self::Sysfs => "sysfs",
        }
    }
}
