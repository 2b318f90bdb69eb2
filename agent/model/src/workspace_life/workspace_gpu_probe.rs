//! One look at the GPUs of a running workspace: of which start of its container, and what they need.

use super::workspace_gpu_needs::WorkspaceGpuNeeds;
use super::workspace_look::WorkspaceSeen;
use crate::ids::ContainerId;
use crate::time::UnixMillis;
use crate::workspace::WorkspaceId;

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
