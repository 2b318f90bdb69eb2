//! The verbs of the holders hand: who uses a device, who a MIG instance of it, and which device files a container has.

use super::{HoldersHand, Verb, VerbDeadline, VerbKind};
use model::holders::Holders;
use model::ids::ContainerId;
use model::plan::{MigTarget, Scope};
use model::ports::ActError;
use model::workspace_life::ContainerNode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Looks for every process and container that uses a function of the scope, or its VFIO group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindHolders {
    /// Whose functions.
    pub scope: Scope,
}

impl Verb for FindHolders {
    type Hand = HoldersHand;
    type Reply = Result<Holders, ActError>;
    const NAME: &'static str = "find_holders";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(30));

    fn attempted(&self) -> String {
        format!("look for users of {}", self.scope.gpu)
    }
}

/// Looks for every process and container that has a MIG instance of the GPU, or the GPU itself, open or in its `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindMigHolders {
    /// The GPU.
    pub target: MigTarget,
}

impl Verb for FindMigHolders {
    type Hand = HoldersHand;
    type Reply = Result<Holders, ActError>;
    const NAME: &'static str = "find_mig_holders";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(30));

    fn attempted(&self) -> String {
        format!("look for users of the MIG instances of {}", self.target.gpu)
    }
}

/// Lists the device files in the `/dev` of a container, by looking at it through one of its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListContainerNodes {
    /// The container.
    pub container: ContainerId,
    /// A process that has to be in it.
    pub pid: u32,
}

impl Verb for ListContainerNodes {
    type Hand = HoldersHand;
    type Reply = Result<Vec<ContainerNode>, ActError>;
    const NAME: &'static str = "list_container_nodes";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        format!("list the device files of container {}", self.container.short())
    }
}

/// Lists which group may open each device file that a workspace can be given: those of DRM, KVM, tun and WSL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListDeviceGroups {}

impl Verb for ListDeviceGroups {
    type Hand = HoldersHand;
    /// The number of the group, by path.
    type Reply = Result<BTreeMap<String, u32>, ActError>;
    const NAME: &'static str = "list_device_groups";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(10));

    fn attempted(&self) -> String {
        "list the groups of device files".to_owned()
    }
}
