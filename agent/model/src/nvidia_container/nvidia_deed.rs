//! What can be done to NVIDIA's containers: a closed list, for a front that was taken over must not be able to do more.

use super::NvidiaRole;
use super::nvidia_spec::NvidiaSpec;
use crate::ids::ContainerId;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NvidiaDeed {
    /// Begin to pull an image. It goes on in the background; the look shows how far it is.
    Pull {
        /// For which role: its repositories are in the policy.
        role: NvidiaRole,
        /// Which one.
        image: ImageRef,
    },
    /// Create a container, stopped.
    Create(NvidiaSpec),
    /// Start it.
    Start {
        /// Of which role it has to be.
        role: NvidiaRole,
        /// Which one.
        id: ContainerId,
    },
    /// Ask it to end and wait for it, for [`NvidiaSpec::STOP_WITHIN_S`]; then the kernel ends it.
    Stop {
        /// Of which role it has to be.
        role: NvidiaRole,
        /// Which one.
        id: ContainerId,
    },
    /// Remove it, where it does not run.
    Remove {
        /// Of which role it has to be.
        role: NvidiaRole,
        /// Which one.
        id: ContainerId,
    },
}

impl NvidiaDeed {
    /// Which role it is about.
    #[must_use]
    pub const fn role(&self) -> NvidiaRole {
        match self {
            Self::Create(spec) => spec.role(),
            Self::Pull { role, .. }
            | Self::Start { role, .. }
            | Self::Stop { role, .. }
            | Self::Remove { role, .. } => *role,
        }
    }
}

impl fmt::Display for NvidiaDeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull { image, .. } => write!(f, "pull {image}"),
            Self::Create(spec) => write!(f, "create the {} container from {}", spec.role(), spec.image),
            Self::Start { role, id } => write!(f, "start the {role} container {}", id.short()),
            Self::Stop { role, id } => write!(f, "stop the {role} container {}", id.short()),
            Self::Remove { role, id } => write!(f, "remove the {role} container {}", id.short()),
        }
    }
}
