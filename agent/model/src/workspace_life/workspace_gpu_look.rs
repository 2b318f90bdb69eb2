//! What is looked at of the GPUs of a running workspace, and what the host shows of it.

use super::workspace_gpu_needs::WorkspaceGpuNeeds;
use super::workspace_look::WorkspaceSeen;
use crate::device_links::DeviceNumber;
use crate::ids::ContainerId;
use crate::time::UnixMillis;
use crate::workspace::WorkspaceId;
use serde::{Deserialize, Serialize};

/// One start of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceStart {
    /// Which container.
    pub container: ContainerId,
    /// When it was started.
    pub started_at: Option<UnixMillis>,
}

impl WorkspaceStart {
    /// The one that is seen.
    #[must_use]
    pub fn of(seen: &WorkspaceSeen) -> Self {
        Self { container: seen.id.clone(), started_at: seen.started_at }
    }
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceGpuProbe {
    /// Of which workspace.
    pub workspace_id: WorkspaceId,
    /// Which start of its container.
    pub start: WorkspaceStart,
    /// The first process of the container.
    pub pid: u32,
    /// What its GPUs need.
    pub needs: WorkspaceGpuNeeds,
}

/// A device file in the `/dev` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerNode {
    /// Its path inside.
    pub path: String,
    /// Its number.
    pub number: DeviceNumber,
}

/// What the control group of a container lets it do with a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVerdict {
    /// It may read and write the device.
    Allowed,
    /// It may not.
    Denied,
    /// No driver has that number.
    NoDriver,
    /// It could not be found out.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// What was found of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceVerdict {
    /// Which one.
    pub number: DeviceNumber,
    /// What the control group lets the container do with it.
    pub verdict: CgroupVerdict,
}

/// What the host shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceGpuLook {
    /// Device files in the container's `/dev`.
    pub nodes: Vec<ContainerNode>,
    /// What the control group lets it do with those that were asked about.
    pub access: Vec<DeviceVerdict>,
}

/// Whether a workspace has its GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuVerdict {
    /// They are there, and it can open them.
    Ok,
    /// It cannot use them any more.
    Lost {
        /// What is missing, for people.
        why: String,
    },
    /// It is not known.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

impl GpuVerdict {
    /// As it is shown.
    #[must_use]
    pub const fn is_ok(&self) -> Option<bool> {
        match self {
            Self::Ok => Some(true),
            Self::Lost { .. } => Some(false),
            Self::Unknown { .. } => None,
        }
    }
}
