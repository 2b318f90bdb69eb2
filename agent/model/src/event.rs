//! What happens on the host, one at a time: the closed list of events, and what each of them carries.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened. The names are those of the manager's contract.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
)]
pub enum EventKind {
    #[serde(rename = "agent.started")]
    #[strum(serialize = "agent.started")]
    AgentStarted,
    #[serde(rename = "agent.stopping")]
    #[strum(serialize = "agent.stopping")]
    AgentStopping,
    #[serde(rename = "agent.drained")]
    #[strum(serialize = "agent.drained")]
    AgentDrained,
    #[serde(rename = "agent.config_changed")]
    #[strum(serialize = "agent.config_changed")]
    AgentConfigChanged,
    #[serde(rename = "gpu.added")]
    #[strum(serialize = "gpu.added")]
    GpuAdded,
    #[serde(rename = "gpu.removed")]
    #[strum(serialize = "gpu.removed")]
    GpuRemoved,
    #[serde(rename = "gpu.health")]
    #[strum(serialize = "gpu.health")]
    GpuHealth,
    #[serde(rename = "gpu.xid")]
    #[strum(serialize = "gpu.xid")]
    GpuXid,
    #[serde(rename = "gpu.mig_changed")]
    #[strum(serialize = "gpu.mig_changed")]
    GpuMigChanged,
    #[serde(rename = "gpu.driver_changed")]
    #[strum(serialize = "gpu.driver_changed")]
    GpuDriverChanged,
    #[serde(rename = "workspace.pulling")]
    #[strum(serialize = "workspace.pulling")]
    WorkspacePulling,
    #[serde(rename = "workspace.created")]
    #[strum(serialize = "workspace.created")]
    WorkspaceCreated,
    #[serde(rename = "workspace.running")]
    #[strum(serialize = "workspace.running")]
    WorkspaceRunning,
    #[serde(rename = "workspace.paused")]
    #[strum(serialize = "workspace.paused")]
    WorkspacePaused,
    #[serde(rename = "workspace.stopping")]
    #[strum(serialize = "workspace.stopping")]
    WorkspaceStopping,
    #[serde(rename = "workspace.stopped")]
    #[strum(serialize = "workspace.stopped")]
    WorkspaceStopped,
    #[serde(rename = "workspace.failed")]
    #[strum(serialize = "workspace.failed")]
    WorkspaceFailed,
    #[serde(rename = "workspace.deleted")]
    #[strum(serialize = "workspace.deleted")]
    WorkspaceDeleted,
    #[serde(rename = "workspace.orphaned")]
    #[strum(serialize = "workspace.orphaned")]
    WorkspaceOrphaned,
    #[serde(rename = "workspace.unknown")]
    #[strum(serialize = "workspace.unknown")]
    WorkspaceUnknown,
    #[serde(rename = "workspace.refused")]
    #[strum(serialize = "workspace.refused")]
    WorkspaceRefused,
    #[serde(rename = "workspace.gpu_lost")]
    #[strum(serialize = "workspace.gpu_lost")]
    WorkspaceGpuLost,
    #[serde(rename = "image.pulled")]
    #[strum(serialize = "image.pulled")]
    ImagePulled,
    #[serde(rename = "image.pruned")]
    #[strum(serialize = "image.pruned")]
    ImagePruned,
    #[serde(rename = "image.pull_failed")]
    #[strum(serialize = "image.pull_failed")]
    ImagePullFailed,
    #[serde(rename = "nvidia.driver_deployed")]
    #[strum(serialize = "nvidia.driver_deployed")]
    NvidiaDriverDeployed,
    #[serde(rename = "nvidia.toolkit_deployed")]
    #[strum(serialize = "nvidia.toolkit_deployed")]
    NvidiaToolkitDeployed,
    #[serde(rename = "nvidia.failed")]
    #[strum(serialize = "nvidia.failed")]
    NvidiaFailed,
    #[serde(rename = "nvidia.rolled_back")]
    #[strum(serialize = "nvidia.rolled_back")]
    NvidiaRolledBack,
    #[serde(rename = "vfio.bound")]
    #[strum(serialize = "vfio.bound")]
    VfioBound,
    #[serde(rename = "vfio.released")]
    #[strum(serialize = "vfio.released")]
    VfioReleased,
    #[serde(rename = "vfio.rejected")]
    #[strum(serialize = "vfio.rejected")]
    VfioRejected,
    #[serde(rename = "disk.reserve")]
    #[strum(serialize = "disk.reserve")]
    DiskReserve,
    #[serde(rename = "credential.rotated")]
    #[strum(serialize = "credential.rotated")]
    CredentialRotated,
}

/// How much it matters. Under pressure the lowest go first, and errors never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventSeverity {
    /// A figure among many.
    Debug,
    /// As it should be.
    Info,
    /// A person may want to look.
    Warning,
    /// A person has to look.
    Error,
}

/// One thing that happened, before it has its number and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// What happened.
    pub kind: EventKind,
    /// To what: a PCI address, the id of a workspace, an image reference; empty for the host.
    pub subject: String,
    /// How much it matters.
    pub severity: EventSeverity,
    /// The code of a refusal or failure, where it has one.
    pub code: Option<String>,
    /// One sentence for a person. No secret is ever part of it.
    pub message: String,
    /// Further facts by name. No secret is ever among them.
    pub data: BTreeMap<String, String>,
}
