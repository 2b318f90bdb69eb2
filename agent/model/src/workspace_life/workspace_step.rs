//! What one workspace needs next, and what it is shown as until then.

use super::workspace_deed::WorkspaceDeed;
use super::workspace_look::WorkspaceSeen;
use super::workspace_status::{WorkspaceReason, WorkspaceState};
use crate::time::BootMillis;
use crate::workspace::WorkspaceId;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkspaceStep {
    /// What it is.
    pub(super) state: WorkspaceState,
    /// Why it is not what is wanted.
    pub(super) reason: Option<WorkspaceReason>,
    /// When it is tried again.
    pub(super) retry_at: Option<BootMillis>,
    /// So much has to be free on the disk before it goes on.
    pub(super) disk_wanted_bytes: u64,
    /// What is to be done.
    pub(super) deed: Option<WorkspaceDeed>,
}

impl WorkspaceStep {
    /// It is what is wanted.
    pub(super) const fn met(state: WorkspaceState) -> Self {
        Self { state, reason: None, retry_at: None, disk_wanted_bytes: 0, deed: None }
    }

    /// It is not, for this reason, and goes on when something changes.
    pub(super) fn waits(state: WorkspaceState, code: &str, message: impl Into<String>) -> Self {
        Self { reason: Some(WorkspaceReason::new(code, message)), ..Self::met(state) }
    }

    /// This is done now.
    pub(super) fn does(state: WorkspaceState, code: &str, deed: WorkspaceDeed) -> Self {
        let message = deed.to_string();
        Self { deed: Some(deed), ..Self::waits(state, code, message) }
    }
}

/// Stops it.
pub(super) fn stop(id: &WorkspaceId, seen: &WorkspaceSeen, grace_s: u32) -> WorkspaceDeed {
    WorkspaceDeed::Stop { workspace_id: id.clone(), id: seen.id.clone(), grace_s }
}

/// Starts it.
pub(super) fn start(id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceDeed {
    WorkspaceDeed::Start { workspace_id: id.clone(), id: seen.id.clone() }
}

/// Freezes it.
pub(super) fn pause(id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceDeed {
    WorkspaceDeed::Pause { workspace_id: id.clone(), id: seen.id.clone() }
}

/// Lets it go on.
pub(super) fn unpause(id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceDeed {
    WorkspaceDeed::Unpause { workspace_id: id.clone(), id: seen.id.clone() }
}

/// Removes it.
pub(super) fn remove(id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceDeed {
    WorkspaceDeed::Remove { workspace_id: id.clone(), id: seen.id.clone() }
}
