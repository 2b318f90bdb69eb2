//! What people on this host ask of workspaces.

use crate::desired::WishText;
use crate::workspace::{DesiredRun, WorkspaceId};
use std::fmt;

/// One thing that is asked. Who asks it was authorized before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceAsk {
    /// Have this workspace on this host, whatever the manager wants; it replaces the local one of its id.
    Set {
        /// Its id.
        id: WorkspaceId,
        /// As in a document.
        wish: WishText,
    },
    /// Have a workspace of this host running, frozen, stopped or deleted.
    Want {
        /// Which one.
        id: WorkspaceId,
        /// How.
        desired: DesiredRun,
    },
    /// Try what has failed again now.
    Again {
        /// Which one.
        id: WorkspaceId,
    },
    /// Create its container again although nothing of it changed: what is only in the container's own layer is lost.
    Recreate {
        /// Which one.
        id: WorkspaceId,
    },
    /// Remove what the newest revision removes, however much that is.
    ConfirmRemovals,
}

/// For people: without what a wish contains, which may be a secret.
impl fmt::Display for WorkspaceAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { id, .. } => write!(f, "create the workspace {id}, or change it to what is wanted now"),
            Self::Want { id, desired: DesiredRun::Running } => write!(f, "start the workspace {id}"),
            Self::Want { id, desired: DesiredRun::Paused } => write!(f, "pause the workspace {id}"),
            Self::Want { id, desired: DesiredRun::Stopped } => write!(f, "stop the workspace {id}"),
            Self::Want { id, desired: DesiredRun::Deleted } => write!(f, "delete the workspace {id} with its volumes"),
            Self::Again { id } => write!(f, "try again what failed of the workspace {id}"),
            Self::Recreate { id } => write!(f, "create the container of the workspace {id} again"),
            Self::ConfirmRemovals => f.write_str("confirm the removals that wait"),
        }
    }
}
