//! Lanes: the things that have one writer at a time.

use crate::ids::{IommuGroupId, PciAddress};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A thing that has one writer at a time. A change takes all lanes of its set, or none and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// All functions of an IOMMU group.
    Group(IommuGroupId),
    /// One GPU that has no IOMMU group.
    Gpu(PciAddress),
    /// The Docker daemon.
    Docker,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group-{id}"),
            Self::Gpu(address) => write!(f, "gpu-{}", address.path_element()),
            Self::Docker => f.write_str("docker"),
        }
    }
}

impl Lane {
    /// The lane that is shown so; `None` where the text is not exactly how a lane is shown.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let group = || text.strip_prefix("group-")?.parse().ok().map(IommuGroupId).map(Self::Group);
        let gpu = || PciAddress::from_path_element(text.strip_prefix("gpu-")?).map(Self::Gpu);
        let lane = group().or_else(gpu).unwrap_or(Self::Docker);
        (lane.to_string() == text).then_some(lane)
    }
}
