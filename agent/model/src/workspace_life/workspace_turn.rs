//! What is decided in one turn.

use super::workspace_deed::WorkspaceDeed;
use super::workspace_gpu_probe::WorkspaceGpuProbe;
use super::workspace_memory::WorkspacesMemory;
use super::workspace_status::WorkspacesState;
use crate::time::BootMillis;

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspacesTurn {
    /// What is done now, all at once. Before, the record of the memory is on disk.
    pub deeds: Vec<WorkspaceDeed>,
    /// Workspaces whose GPUs are looked at now.
    pub probes: Vec<WorkspaceGpuProbe>,
    /// When the next look at GPUs is due.
    pub probe_at: Option<BootMillis>,
    /// What everybody is shown.
    pub state: WorkspacesState,
    /// What is remembered from now on.
    pub memory: WorkspacesMemory,
    /// When to look again although nothing is reported.
    pub wake_at: Option<BootMillis>,
}
