//! Workspaces that give way to a change of a GPU's MIG: no new one comes, and those that hold what has to go are waited for or stopped.

use super::workspace_ending::unsettled;
use super::workspace_look::WorkspaceSeen;
use super::workspace_status::WorkspaceState as S;
use super::workspace_step::{WorkspaceStep, remove, stop, unpause};
use super::workspace_world::WorkspacesWorld;
use crate::ids::PciAddress;
use crate::nvidia_container::ContainerRun;
use crate::policy::Requester;
use crate::workspace::{DescribedHost, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet};

/// Code of a workspace that gives way.
const MIG_CHANGES: &str = "mig_changes";

/// What a change of one GPU's MIG waits for, as its last attempt found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigLeave {
    /// What is to change, in words.
    pub why: String,
    /// The container of each that holds what has to go; `None` = it is in no container.
    pub holders: Vec<Option<String>>,
    /// Whose wish the change is. For a manager only workspaces of a manager give way.
    pub by: Requester,
    /// Workspaces that run are stopped; else they are waited for.
    pub stops: bool,
}

/// The changes that wait, by GPU.
pub type MigLeaves = BTreeMap<PciAddress, MigLeave>;

/// The same host, with no room for a new workspace on these GPUs.
#[must_use]
pub fn without_leaving(mut host: DescribedHost, leaves: &MigLeaves) -> DescribedHost {
    let leaves: BTreeMap<String, &MigLeave> = leaves.iter().map(|(gpu, leave)| (gpu.to_string(), leave)).collect();
    for gpu in &mut host.gpus {
        if let Some(leave) = leaves.get(&gpu.bdf) {
            gpu.not_shared.get_or_insert_with(|| leave.why.clone());
            gpu.not_whole.get_or_insert_with(|| leave.why.clone());
        }
    }
    host
}

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
