//! What can be done to the container of a workspace: a closed list, for a front that was taken over must not be able to do more.

use crate::ids::ContainerId;
use crate::image_ref::ImageRef;
use crate::registry_login::RegistryLogin;
use crate::workspace::{WorkspaceContainer, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceDeed {
    /// Begin to pull an image. It goes on in the background; the look shows how far it is.
    Pull {
        /// Which one, by its digest.
        image: ImageRef,
        /// The login that its wish has for its registry, where it has one. It is never shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<RegistryLogin>,
    },
    /// Create a container, stopped. Volumes that it names and that are not there are created.
    Create(Box<WorkspaceContainer>),
    /// Start it.
    Start {
        /// Of which workspace it has to be.
        workspace_id: WorkspaceId,
        /// Which one.
        id: ContainerId,
    },
    /// Ask it to end and wait for it; then the kernel ends it.
    Stop {
        /// Of which workspace it has to be.
        workspace_id: WorkspaceId,
        /// Which one.
        id: ContainerId,
        /// For so many seconds it is waited for, [`WorkspaceDeed::GRACE_MOST_S`] at most.
        grace_s: u32,
    },
    /// Freeze it.
    Pause {
        /// Of which workspace it has to be.
        workspace_id: WorkspaceId,
        /// Which one.
        id: ContainerId,
    },
    /// Let it go on.
    Unpause {
        /// Of which workspace it has to be.
        workspace_id: WorkspaceId,
        /// Which one.
        id: ContainerId,
    },
    /// Remove it, where it does not run. Its volumes stay.
    Remove {
        /// Of which workspace it has to be.
        workspace_id: WorkspaceId,
        /// Which one.
        id: ContainerId,
    },
    /// Remove a volume of ours that no container has.
    RemoveVolume {
        /// Its name in Docker.
        name: String,
    },
}

impl WorkspaceDeed {
    /// A container is waited for no longer than this, in seconds.
    pub const GRACE_MOST_S: u32 = 120;

    /// The container that it is done to; none where it is not there yet.
    #[must_use]
    pub const fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::Pull { .. } | Self::RemoveVolume { .. } | Self::Create(_) => None,
            Self::Start { id, .. }
            | Self::Stop { id, .. }
            | Self::Pause { id, .. }
            | Self::Unpause { id, .. }
            | Self::Remove { id, .. } => Some(id),
        }
    }

    /// The workspace whose container it is about.
    #[must_use]
    pub const fn workspace_id(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Pull { .. } | Self::RemoveVolume { .. } => None,
            Self::Create(container) => Some(&container.workspace_id),
            Self::Start { workspace_id, .. }
            | Self::Stop { workspace_id, .. }
            | Self::Pause { workspace_id, .. }
            | Self::Unpause { workspace_id, .. }
            | Self::Remove { workspace_id, .. } => Some(workspace_id),
        }
    }
}

impl fmt::Display for WorkspaceDeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull { image, .. } => write!(f, "pull {image}"),
            Self::Create(container) => {
                write!(f, "create the container of workspace {} from {}", container.workspace_id, container.image)
            }
            Self::Start { workspace_id, id } => write!(f, "start workspace {workspace_id} ({})", id.short()),
            Self::Stop { workspace_id, id, grace_s } => {
                write!(f, "stop workspace {workspace_id} ({}) within {grace_s} s", id.short())
            }
            Self::Pause { workspace_id, id } => write!(f, "pause workspace {workspace_id} ({})", id.short()),
            Self::Unpause { workspace_id, id } => write!(f, "resume workspace {workspace_id} ({})", id.short()),
            Self::Remove { workspace_id, id } => {
                write!(f, "remove the container of workspace {workspace_id} ({})", id.short())
            }
            Self::RemoveVolume { name } => write!(f, "remove the volume {name}"),
        }
    }
}
