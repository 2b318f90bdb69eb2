//! What a change is about, who else has to wait for it, and what its steps may touch.

use super::Lane;
use crate::ids::{GpuUuid, IommuGroupId, PciAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A whole GPU.
    Gpu(PciAddress),
    /// An IOMMU group.
    Group(IommuGroupId),
    /// The Docker daemon.
    Docker,
    /// The GPU driver of the host.
    Driver,
    /// How a GPU is cut into MIG devices.
    MigLayout(PciAddress),
}

impl Subject {
    /// The GPU, where it is about one.
    #[must_use]
    pub const fn gpu(self) -> Option<PciAddress> {
        match self {
            Self::Gpu(address) | Self::MigLayout(address) => Some(address),
            Self::Group(_) | Self::Docker | Self::Driver => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu(address) => address.fmt(f),
            Self::Group(id) => write!(f, "IOMMU group {id}"),
            Self::Docker => f.write_str("Docker"),
            Self::Driver => f.write_str("the driver"),
            Self::MigLayout(address) => write!(f, "the MIG layout of {address}"),
        }
    }
}

/// The PCI functions of one GPU and of its IOMMU group: what a hand that changes drivers may write to.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The lane of these functions.
    pub lane: Lane,
    /// The GPU that was asked for.
    pub gpu: PciAddress,
    /// Every function that may be written to, sorted; bridges are not among them.
    pub members: Vec<PciAddress>,
}

/// One GPU whose MIG layout or mode changes.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigTarget {
    /// The lane of the GPU's functions: a layout does not change while its drivers do.
    pub lane: Lane,
    /// The GPU.
    pub gpu: PciAddress,
    /// Its UUID: another card at the same address is another GPU.
    pub uuid: GpuUuid,
}

/// What the steps of a change may touch, and what is looked at before and after them. Each kind of change has one.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The functions of an IOMMU group change their drivers.
    Functions(Scope),
    /// A GPU changes its MIG layout or mode.
    Mig(MigTarget),
}

impl Target {
    /// The PCI functions that nobody may use while the change is under way.
    #[must_use]
    pub fn functions(&self) -> &[PciAddress] {
        match self {
            Self::Functions(scope) => &scope.members,
            Self::Mig(target) => std::slice::from_ref(&target.gpu),
        }
    }

    /// The lanes without which it may not be touched.
    fn lanes(&self) -> BTreeSet<Lane> {
        match self {
            Self::Functions(scope) => BTreeSet::from([scope.lane]),
            Self::Mig(target) => BTreeSet::from([target.lane]),
        }
    }
}

/// Subject, lanes and target of one change.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// What it is about.
    pub subject: Subject,
    /// What nobody else may change meanwhile: all of them are taken, or none.
    pub lanes: BTreeSet<Lane>,
    /// What its steps may touch.
    pub target: Target,
}

impl Bounds {
    /// Those of a change of a GPU's drivers.
    #[must_use]
    pub fn of_functions(scope: Scope) -> Self {
        let (subject, target) = (Subject::Gpu(scope.gpu), Target::Functions(scope));
        Self { subject, lanes: target.lanes(), target }
    }

    /// Those of a change of a GPU's MIG layout.
    #[must_use]
    pub fn of_mig_layout(target: MigTarget) -> Self {
        let (subject, target) = (Subject::MigLayout(target.gpu), Target::Mig(target));
        Self { subject, lanes: target.lanes(), target }
    }

    /// Those of a change of a GPU's MIG mode.
    #[must_use]
    pub fn of_mig_mode(target: MigTarget) -> Self {
        Self { subject: Subject::Gpu(target.gpu), ..Self::of_mig_layout(target) }
    }

    /// Every lane of the target is among the lanes: a document on disk may say anything.
    #[must_use]
    pub fn hold_their_target(&self) -> bool {
        self.target.lanes().is_subset(&self.lanes)
    }
}
