//! What a turn about NVIDIA's two containers comes to: how far each is, and the one thing that is done next.

use super::nvidia_deed::NvidiaDeed;
use super::nvidia_phase::{NvidiaHold, NvidiaPhase};
use super::nvidia_record::NvidiaRecord;
use super::nvidia_role::NvidiaRole;
use super::toolkit_probe::ToolkitWay;
use crate::cdi::CdiStep;
use crate::docker_config::DockerConfigStep;
use crate::driver_host::DriverHostStep;
use crate::ids::ContainerId;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::time::BootMillis;
use std::fmt;

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvidiaAct {
    /// By the containers hand.
    Container(NvidiaDeed),
    /// By the host hand, in Docker's configuration.
    DockerConfig(DockerConfigStep),
    /// By the host hand, on the host of the driver container.
    DriverHost(DriverHostStep),
    /// By the host hand: our CDI specification, or the links of device files.
    Cdi(CdiStep),
    /// By the containers hand: one start of a container that asks for a GPU.
    Probe {
        /// The toolkit's image.
        image: ImageRef,
        /// Which way.
        way: ToolkitWay,
    },
}

impl NvidiaAct {
    /// Which role it is for.
    #[must_use]
    pub const fn role(&self) -> NvidiaRole {
        match self {
            Self::Container(deed) => deed.role(),
            Self::DockerConfig(_) | Self::Cdi(_) | Self::Probe { .. } => NvidiaRole::Toolkit,
            Self::DriverHost(_) => NvidiaRole::Driver,
        }
    }
}

impl fmt::Display for NvidiaAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(deed) => deed.fmt(f),
            Self::DockerConfig(step) => step.fmt(f),
            Self::DriverHost(step) => step.fmt(f),
            Self::Cdi(step) => step.fmt(f),
            Self::Probe { .. } => f.write_str("start a container with a GPU as a probe"),
        }
    }
}

/// What is known of one container after a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaRoleTurn {
    /// How far it is.
    pub phase: NvidiaPhase,
    /// What keeps it from being as it is wished.
    pub hold: Option<NvidiaHold>,
    /// The digest that is wished, once it is known.
    pub digest_wanted: Option<ImageDigest>,
    /// The container that counts: the one that runs, else the wished one.
    pub container: Option<ContainerId>,
    /// A container whose last lines are worth keeping, before anything else is done.
    pub log_of: Option<ContainerId>,
}

/// The outcome of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaTurn {
    /// The driver container.
    pub driver: NvidiaRoleTurn,
    /// The toolkit container.
    pub toolkit: NvidiaRoleTurn,
    /// What is done next. The record is written before.
    pub act: Option<NvidiaAct>,
    /// What is to be remembered.
    pub record: NvidiaRecord,
    /// When to look again, if nothing happens before; `None` = not before something changes.
    pub wake_at: Option<BootMillis>,
}

impl NvidiaTurn {
    /// That of a role.
    #[must_use]
    pub const fn of(&self, role: NvidiaRole) -> &NvidiaRoleTurn {
        match role {
            NvidiaRole::Driver => &self.driver,
            NvidiaRole::Toolkit => &self.toolkit,
        }
    }
}
