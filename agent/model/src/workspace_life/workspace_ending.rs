//! Workspaces that are not to run: frozen, stopped, deleted, or listed by no source any more.

use super::workspace_look::WorkspaceSeen;
use super::workspace_status::WorkspaceState as S;
use super::workspace_step::{WorkspaceStep, pause, remove, stop, unpause};
use crate::nvidia_container::ContainerRun;
use crate::workspace::WorkspaceId;

/// It is to be frozen. What does not run has nothing that could be frozen: it is as good as that.
pub(super) fn paused(id: &WorkspaceId, seen: Option<&WorkspaceSeen>) -> WorkspaceStep {
    match seen.map(|seen| (seen, &seen.run)) {
        Some((seen, ContainerRun::Running)) => WorkspaceStep::does(S::Pausing, "pausing", pause(id, seen)),
        Some((_, ContainerRun::Paused)) => WorkspaceStep::met(S::Paused),
        Some((_, ContainerRun::Created | ContainerRun::Ended { .. })) | None => WorkspaceStep::met(S::Stopped),
        Some((_, ContainerRun::Other(state))) => unsettled(state),
    }
}

/// It is not to run, and its files are kept.
pub(super) fn stopped(id: &WorkspaceId, seen: Option<&WorkspaceSeen>, grace_s: u32) -> WorkspaceStep {
    match seen.map(|seen| (seen, &seen.run)) {
        Some((seen, ContainerRun::Running)) => WorkspaceStep::does(S::Stopping, "stopping", stop(id, seen, grace_s)),
        // A frozen process cannot obey a signal.
        Some((seen, ContainerRun::Paused)) => WorkspaceStep::does(S::Stopping, "stopping", unpause(id, seen)),
        Some((_, ContainerRun::Created | ContainerRun::Ended { .. })) | None => WorkspaceStep::met(S::Stopped),
        Some((_, ContainerRun::Other(state))) => unsettled(state),
    }
}

/// It is to be gone.
pub(super) fn deleted(id: &WorkspaceId, seen: Option<&WorkspaceSeen>, grace_s: u32) -> WorkspaceStep {
    let Some(seen) = seen else { return WorkspaceStep::met(S::Deleted) };
    match &seen.run {
        ContainerRun::Running => WorkspaceStep::does(S::Deleting, "deleting", stop(id, seen, grace_s)),
        ContainerRun::Paused => WorkspaceStep::does(S::Deleting, "deleting", unpause(id, seen)),
        ContainerRun::Created | ContainerRun::Ended { .. } => {
            WorkspaceStep::does(S::Deleting, "deleting", remove(id, seen))
        }
        ContainerRun::Other(state) if state == "dead" => WorkspaceStep::does(S::Deleting, "deleting", remove(id, seen)),
        ContainerRun::Other(state) => unsettled(state),
    }
}

/// Docker itself is doing something to it.
pub(super) fn unsettled(state: &str) -> WorkspaceStep {
    WorkspaceStep::waits(S::Pending, "docker_busy", format!("Docker reports its container as {state}"))
}
