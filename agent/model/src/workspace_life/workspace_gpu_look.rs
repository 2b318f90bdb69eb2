//! What the host shows of the GPUs of a running workspace.

use crate::device_links::DeviceNumber;
use serde::{Deserialize, Serialize};

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
