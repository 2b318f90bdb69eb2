//! What of one workspace is worth an event when it changes, and the events that follow from the change.

use super::occurrence::{EventKind, EventSeverity, Occurrence};
use crate::workspace::{WorkspaceId, WorkspaceRefused};
use crate::workspace_life::{WorkspaceState, WorkspaceStatus};
use serde::{Deserialize, Serialize};

/// Code of a workspace that no source lists any more.
const ORPHANED: &str = "orphaned";

/// One workspace as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSighting {
    /// What it is.
    pub state: WorkspaceState,
    /// Why it is not what is wanted.
    pub code: Option<String>,
    /// The same for people. It is made of the host's words, never of a workspace's environment.
    #[serde(skip)]
    pub why: Option<String>,
    /// It has a container.
    pub has_container: bool,
    /// The generation that is wanted, or that its container is of.
    pub generation: u64,
}

impl From<&WorkspaceStatus> for WorkspaceSighting {
    fn from(status: &WorkspaceStatus) -> Self {
        Self {
            state: status.state,
            code: status.reason.as_ref().map(|reason| reason.code.clone()),
            why: status.reason.as_ref().map(|reason| reason.message.clone()),
            has_container: status.container.is_some(),
            generation: status.generation,
        }
    }
}

impl WorkspaceSighting {
    fn is_orphaned(&self) -> bool {
        self.code.as_deref() == Some(ORPHANED)
    }

    fn is_refused(&self) -> bool {
        self.code.as_deref().is_some_and(|code| WorkspaceRefused::CODES.contains(&code))
    }
}

/// The event that a state is, and how much it matters.
const fn of_state(state: WorkspaceState) -> (EventKind, EventSeverity) {
    use EventSeverity::{Debug, Error, Info};
    match state {
        WorkspaceState::Pending => (EventKind::WorkspacePending, Info),
        WorkspaceState::Pulling => (EventKind::WorkspacePulling, Info),
        WorkspaceState::Creating => (EventKind::WorkspaceCreating, Debug),
        WorkspaceState::Starting => (EventKind::WorkspaceStarting, Debug),
        WorkspaceState::Running => (EventKind::WorkspaceRunning, Info),
        WorkspaceState::Pausing => (EventKind::WorkspacePausing, Debug),
        WorkspaceState::Paused => (EventKind::WorkspacePaused, Info),
        WorkspaceState::Stopping => (EventKind::WorkspaceStopping, Debug),
        WorkspaceState::Stopped => (EventKind::WorkspaceStopped, Info),
        WorkspaceState::Deleting => (EventKind::WorkspaceDeleting, Debug),
        WorkspaceState::Deleted => (EventKind::WorkspaceDeleted, Info),
        WorkspaceState::Failed => (EventKind::WorkspaceFailed, Error),
    }
}

/// What has happened to the workspace of this id.
pub(super) fn workspace_news(
    id: &WorkspaceId,
    before: Option<&WorkspaceSighting>,
    now: Option<&WorkspaceSighting>,
) -> Vec<Occurrence> {
    let Some(now) = now else {
        let is_news = before.is_some_and(|before| before.state != WorkspaceState::Deleted);
        let message = format!("workspace {id} is not on this host any more");
        let gone = Occurrence::new(EventKind::WorkspaceDeleted, id.as_str(), EventSeverity::Info, message);
        return if is_news { vec![gone] } else { Vec::new() };
    };
    let mut news = Vec::new();
    let with_code = |event: Occurrence| match &now.code {
        Some(code) => event.with_code(code.clone()),
        None => event,
    };
    let why = now.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    if now.has_container && before.is_none_or(|before| !before.has_container) {
        let message = format!("workspace {id} has its container");
        news.push(Occurrence::new(EventKind::WorkspaceCreated, id.as_str(), EventSeverity::Info, message));
    }
    let is_other_code = before.is_none_or(|before| before.code != now.code);
    if now.is_refused() && is_other_code {
        let message = format!("workspace {id} is refused{why}");
        let refused = Occurrence::new(EventKind::WorkspaceRefused, id.as_str(), EventSeverity::Warning, message);
        news.push(with_code(refused));
    }
    let is_other_state = before.is_none_or(|before| before.state != now.state);
    if is_other_state || now.state == WorkspaceState::Failed && is_other_code {
        let (kind, severity) = of_state(now.state);
        let message = format!("workspace {id} is {}{why}", now.state.code());
        let event = Occurrence::new(kind, id.as_str(), severity, message);
        news.push(with_code(event).with("generation", now.generation.to_string()));
    }
    if now.is_orphaned() && before.is_none_or(|before| !before.is_orphaned()) {
        let message = format!("no source lists workspace {id} any more: it is stopped, and its files are kept");
        let orphaned = Occurrence::new(EventKind::WorkspaceOrphaned, id.as_str(), EventSeverity::Warning, message);
        news.push(orphaned.with_code(ORPHANED));
    }
    news
}
