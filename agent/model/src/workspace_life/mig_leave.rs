//! Workspaces that give way to a change of a GPU's MIG: no new one comes, and those that hold what has to go are waited for or stopped.

use super::mig_wait::MigLeave;
use super::workspace_ending::unsettled;
use super::workspace_look::WorkspaceSeen;
use super::workspace_status::WorkspaceState as S;
use super::workspace_step::{WorkspaceStep, remove, stop, unpause};
use super::workspace_world::WorkspacesWorld;
use crate::nvidia_container::ContainerRun;
use crate::policy::Requester;
use crate::workspace::WorkspaceId;
use std::collections::{BTreeMap, BTreeSet};

/// Code of a workspace that gives way.
const MIG_CHANGES: &str = "mig_changes";

/// The workspaces for which something is done now, with what is to change. Where not everything that is in the way can give way nothing
/// does: it would be stopped for nothing.
pub(super) fn leaving<'a>(
    world: &'a WorkspacesWorld,
    listed: &BTreeSet<&WorkspaceId>,
) -> BTreeMap<&'a WorkspaceId, &'a MigLeave> {
    let mut all = BTreeMap::new();
    for leave in world.mig_leaves.values() {
        let found: Option<Vec<(&WorkspaceId, &WorkspaceSeen)>> =
            leave.holders.iter().map(|holder| gives_way(world, listed, leave, holder.as_deref()?)).collect();
        let Some(found) = found else { continue };
        let is_one_live = found.iter().any(|(_, seen)| seen.is_live());
        // What has ended is removed once it is the last that is in the way.
        let acts = |(_, seen): &&(&WorkspaceId, &WorkspaceSeen)| {
            if is_one_live { leave.stops && seen.is_live() } else { true }
        };
        all.extend(found.iter().filter(acts).map(|(id, _)| (*id, leave)));
    }
    all
}

/// The workspace whose container that is, where it may be stopped or removed for the change.
fn gives_way<'a>(
    world: &'a WorkspacesWorld,
    listed: &BTreeSet<&WorkspaceId>,
    leave: &MigLeave,
    container: &str,
) -> Option<(&'a WorkspaceId, &'a WorkspaceSeen)> {
    let is_it = |seen: &&WorkspaceSeen| {
        let id = seen.id.as_str();
        seen.name == container || id == container || (container.len() >= 12 && id.starts_with(container))
    };
    let seen = world.look.containers.iter().find(is_it).filter(|seen| seen.foreign.is_none())?;
    let id = seen.workspace_id.as_ref().filter(|id| listed.contains(id))?;
    // What was created at the wish of this host a manager neither stops nor removes.
    let may = leave.by == Requester::Local || seen.requester == Some(Requester::Manager);
    may.then_some((id, seen))
}

/// Its next step.
pub(super) fn leave(id: &WorkspaceId, seen: &WorkspaceSeen, leave: &MigLeave, grace_s: u32) -> WorkspaceStep {
    let (state, deed) = match &seen.run {
        ContainerRun::Running => (S::Stopping, stop(id, seen, grace_s)),
        // A frozen process cannot obey a signal.
        ContainerRun::Paused => (S::Stopping, unpause(id, seen)),
        ContainerRun::Created | ContainerRun::Ended { .. } => (S::Stopped, remove(id, seen)),
        ContainerRun::Other(state) if state == "dead" => (S::Stopped, remove(id, seen)),
        ContainerRun::Other(state) => return unsettled(state),
    };
    let message = format!(
        "{}: {deed}; afterwards it is created again as far as it is wanted, with its volumes; what is in the container's own layer \
         only is lost",
        leave.why
    );
    WorkspaceStep { deed: Some(deed), ..WorkspaceStep::waits(state, MIG_CHANGES, message) }
}
