//! All that is decided from: what is wished and by whom, the host, what Docker shows, and what is remembered.

use super::disk_room::DiskRoom;
use super::image_wishes::ImageWish;
use super::mig_wait::MigLeaves;
use super::workspace_gpu_needs::WorkspaceGpuNeeds;
use super::workspace_look::WorkspaceLook;
use super::workspace_memory::WorkspacesMemory;
use super::workspace_status::WorkspaceReason;
use crate::desired::DocumentId;
use crate::image_ref::ImageRef;
use crate::policy::WorkspaceRepair;
use crate::time::Now;
use crate::workspace::{DescribedHost, Document, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet};

/// The latest of everything.
#[derive(Debug, Clone)]
pub struct WorkspacesWorld {
    /// What is wished of workspaces and images, with what holds for the whole host.
    pub document: Document,
    /// Which document of a manager that is.
    pub document_id: Option<DocumentId>,
    /// Which sources list workspaces at all: what such a list lacks is orphaned.
    pub lists: WorkspaceLists,
    /// Why nothing is done for a manager.
    pub manager_held: Option<WorkspaceReason>,
    /// Why no GPU of NVIDIA is given to a container just now.
    pub driver_changing: Option<String>,
    /// The host, with what runs.
    pub host: DescribedHost,
    /// The images that are wished to be here, whatever is made of them.
    pub images: Vec<ImageWish>,
    /// The room of the disk that holds Docker's images, where it is known.
    pub room: Option<DiskRoom>,
    /// Docker keeps what it pulls packed beside what is unpacked.
    pub is_store_doubled: bool,
    /// What Docker shows.
    pub look: WorkspaceLook,
    /// What is remembered.
    pub memory: WorkspacesMemory,
    /// Workspaces for which something is being done, and images whose pull is being begun.
    pub doing: WorkspacesDoing,
    /// What the GPUs of each workspace that runs need inside it.
    pub gpu_needs: BTreeMap<WorkspaceId, WorkspaceGpuNeeds>,
    /// What is done about a workspace that has lost its GPUs.
    pub repair: WorkspaceRepair,
    /// Changes of MIG that wait for workspaces.
    pub mig_leaves: MigLeaves,
    /// How much is done at once.
    pub limits: WorkspaceLimits,
    /// Most removals of one revision of a manager.
    pub max_removals: u64,
    /// When.
    pub now: Now,
}

/// Which sources list workspaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkspaceLists {
    /// Files of this host, or what people have asked for here.
    pub local: bool,
    /// The manager's document in force.
    pub manager: bool,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspacesDoing {
    /// Workspaces.
    pub workspaces: BTreeSet<WorkspaceId>,
    /// Those of them whose container is being created or started.
    pub starting: BTreeSet<WorkspaceId>,
    /// Images.
    pub images: BTreeSet<ImageRef>,
    /// Volumes.
    pub volumes: BTreeSet<String>,
    /// Workspaces whose GPUs are being looked at.
    pub probes: BTreeSet<WorkspaceId>,
}

/// How much is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Pulls.
    pub pulls: usize,
    /// Containers that are created or started.
    pub starts: usize,
    /// Everything together.
    pub deeds: usize,
    /// Seconds that a container has to end.
    pub grace_s: u32,
}

impl Default for WorkspaceLimits {
    fn default() -> Self {
        Self { pulls: 2, starts: 16, deeds: 16, grace_s: 10 }
    }
}
