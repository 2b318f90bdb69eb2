//! The steps by which a GPU's MIG layout and mode change.

use super::layout::Instance;
use crate::driver::MigMode;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is done to a GPU's MIG layout or mode. Closed: the hand that executes a step knows all of them, and no other.
///
/// Instances are named by profile and place, since a re-created one may have another id.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MigStep {
    /// Destroy a compute instance.
    DestroyCompute {
        /// The GPU instance that it is in.
        within: Instance,
        /// Its id inside it.
        id: u32,
        /// Its compute slices.
        slices: u32,
    },
    /// Destroy a GPU instance, which must be without compute instances.
    DestroyGpu {
        /// Which.
        instance: Instance,
    },
    /// Create a GPU instance at its place.
    CreateGpu {
        /// Which.
        instance: Instance,
    },
    /// Create a compute instance.
    CreateCompute {
        /// The GPU instance that it is created in.
        within: Instance,
        /// Its compute slices.
        slices: u32,
    },
    /// Switch MIG mode.
    SetMode {
        /// The mode.
        to: MigMode,
    },
}

impl fmt::Display for MigStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DestroyCompute { within, id, slices } => {
                write!(f, "destroy compute instance {id} ({}) of {within}", counted(*slices))
            }
            Self::DestroyGpu { instance } => write!(f, "destroy GPU instance {instance}"),
            Self::CreateGpu { instance } => write!(f, "create GPU instance {instance}"),
            Self::CreateCompute { within, slices } => {
                write!(f, "create a compute instance of {} in {within}", counted(*slices))
            }
            Self::SetMode { to } => write!(f, "set MIG mode to {}", to.code()),
        }
    }
}

/// `1 slice`, `3 slices`.
fn counted(slices: u32) -> String {
    format!("{slices} slice{}", if slices == 1 { "" } else { "s" })
}
