//! Why nothing is created for a workspace: a closed list of codes, each with the field or the numbers.

use serde::Serialize;

/// Why not. The code (the tag in JSON) is stable.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WorkspaceRefused {
    /// A value is invalid.
    #[error("{field}: {why}")]
    InvalidArgument {
        /// The field, `gpu.count`.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// The value is not among those that a document may have, or that this host allows.
    #[error("{field}: {why}")]
    DeniedByLocalPolicy {
        /// The field, `run_config.privileged`.
        field: String,
        /// What decides.
        why: String,
    },
    /// Another workspace of the document has the id.
    #[error("workspace_id: another workspace of this document has the id {workspace_id}")]
    Conflict {
        /// The id.
        workspace_id: String,
    },
    /// The host takes no workspaces.
    #[error("this host is disabled by agent.enabled")]
    Disabled,
    /// The host takes no new workspaces.
    #[error("this host is drained: it takes no new workspace")]
    Draining,
    /// There are as many workspaces as there may be.
    #[error("there are {maximum} workspaces, which is the maximum of agent.max_workspaces")]
    MaxWorkspaces {
        /// As many as there may be.
        maximum: u64,
    },
    /// More cores than the machine has.
    #[error(
        "{wanted} cores are wanted, and the machine has {physical}: one workspace never gets more, regardless of the overrides"
    )]
    CoresExceedPhysical {
        /// Cores wanted.
        wanted: f64,
        /// Cores of the machine.
        physical: f64,
    },
    /// More cores than are left.
    #[error("{wanted} cores are wanted, and {available} of {effective} are left")]
    NoCores {
        /// Cores wanted.
        wanted: f64,
        /// Cores left.
        available: f64,
        /// Cores to be given away, by the machine or by the override.
        effective: f64,
    },
    /// More memory than the machine has, or than is left.
    #[error("{wanted} bytes of memory are wanted, {available} of {effective} are left, and the machine has {physical}")]
    NoMemory {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes left.
        available: u64,
        /// Bytes to be given away, by the machine or by the override.
        effective: u64,
        /// Bytes of the machine.
        physical: u64,
    },
    /// More GPUs than there are.
    #[error(
        "{wanted} GPUs are wanted, and there are {physical}: one workspace never gets more, regardless of the overrides"
    )]
    GpuCountExceedsPhysical {
        /// GPUs wanted.
        wanted: u64,
        /// GPUs and MIG devices that are there.
        physical: u64,
    },
    /// Not enough GPUs that could be given.
    #[error("{wanted} GPUs are wanted, and {available} can be given: {}", if why.is_empty() { "there is none".to_owned() } else { why.join("; ") })]
    NoGpu {
        /// GPUs wanted.
        wanted: u64,
        /// GPUs that could be given.
        available: u64,
        /// Why each of the others cannot, with its name.
        why: Vec<String>,
    },
    /// The NVIDIA toolkit has known holes.
    #[error("the NVIDIA container toolkit {version} lets a container escape (fixed in {floor}): upgrade it")]
    ToolkitVulnerable {
        /// The one in use.
        version: String,
        /// The oldest without known holes.
        floor: String,
    },
}

impl WorkspaceRefused {
    /// Every code, in the order of the enum.
    pub const CODES: [&'static str; 12] = [
        "invalid_argument",
        "denied_by_local_policy",
        "conflict",
        "disabled",
        "draining",
        "max_workspaces",
        "cores_exceed_physical",
        "no_cores",
        "no_memory",
        "gpu_count_exceeds_physical",
        "no_gpu",
        "toolkit_vulnerable",
    ];

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "invalid_argument",
            Self::DeniedByLocalPolicy { .. } => "denied_by_local_policy",
            Self::Conflict { .. } => "conflict",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
            Self::MaxWorkspaces { .. } => "max_workspaces",
            Self::CoresExceedPhysical { .. } => "cores_exceed_physical",
            Self::NoCores { .. } => "no_cores",
            Self::NoMemory { .. } => "no_memory",
            Self::GpuCountExceedsPhysical { .. } => "gpu_count_exceeds_physical",
            Self::NoGpu { .. } => "no_gpu",
            Self::ToolkitVulnerable { .. } => "toolkit_vulnerable",
        }
    }

    pub(super) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::InvalidArgument { field: field.into(), why: why.into() }
    }

    pub(super) fn denied(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::DeniedByLocalPolicy { field: field.into(), why: why.into() }
    }
}
