//! What people on this host ask of workspaces.

use crate::desired::WishText;
use crate::workspace::{DesiredRun, WorkspaceId};

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
