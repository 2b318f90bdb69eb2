//! The whole face in one document, so that the command line needs one call.

use super::gpu::GpuView;
use super::group::GroupView;
use super::host::HostView;
use super::job::JobView;
use super::load::LoadView;
use super::nvidia::NvidiaContainerView;
use super::workspace::WorkspaceView;
use super::workspaces::WorkspacesView;
use serde::{Deserialize, Serialize};

/// What `GetObservation` answers: everything that the objects show at one instant, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshot {
    /// The root object.
    pub host: HostView,
    /// GPUs by address.
    pub gpus: Vec<GpuView>,
    /// IOMMU groups that hold a GPU, by number.
    pub iommu_groups: Vec<GroupView>,
    /// NVIDIA's driver container and toolkit container; an older daemon does not show them.
    #[serde(default)]
    pub nvidia_containers: Vec<NvidiaContainerView>,
    /// All workspaces together; an older daemon does not show them.
    #[serde(default)]
    pub workspaces_summary: Option<WorkspacesView>,
    /// Each workspace, by id.
    #[serde(default)]
    pub workspaces: Vec<WorkspaceView>,
    /// Jobs by number.
    pub jobs: Vec<JobView>,
    /// How busy the host is; an older daemon does not say it.
    #[serde(default)]
    pub load: LoadView,
}
