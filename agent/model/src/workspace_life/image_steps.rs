//! What an image needs next that is wished to be here, and how it is shown.

use super::image_entry::disk_lack;
use super::image_wishes::ImageWish;
use super::workspace_memory::WorkspacesMemory;
use super::workspace_running::image;
use super::workspace_shown::wall_of;
use super::workspace_status::{ImageStatus, WorkspaceState};
use super::workspace_step::WorkspaceStep;
use super::workspace_world::WorkspacesWorld;
use crate::nvidia_container::ImageSeen;
use crate::policy::Requester;

/// A pull ahead leaves so many times the reserve of the disk free: workspaces come first.
const RESERVES_AHEAD: u64 = 2;

/// The next step. What may not be pulled wants no room on the disk. Where a workspace waits for room nothing is pulled ahead.
pub(super) fn image_step(
    world: &WorkspacesWorld,
    memory: &WorkspacesMemory,
    (wish, is_room_wanted): (&ImageWish, bool),
) -> WorkspaceStep {
    let waits = |code: &str, why: &str| WorkspaceStep::waits(WorkspaceState::Pending, code, why);
    let wanted = match &wish.image {
        Ok(wanted) => wanted,
        Err(why) => return WorkspaceStep { reason: Some(why.clone()), ..WorkspaceStep::met(WorkspaceState::Failed) },
    };
    let Some(step) = image((world, memory), wanted) else { return WorkspaceStep::met(WorkspaceState::Running) };
    if step.state == WorkspaceState::Pulling && step.deed.is_none() {
        return step;
    }
    let (policy, agent) = (&world.host.policy, &world.document.agent);
    if policy.forbidden {
        return waits("denied_by_local_policy", "host.workspaces.allowed in the policy is false");
    }
    let registry = wanted.registry();
    if policy.registries.as_ref().is_some_and(|known| !known.iter().any(|one| one == registry)) {
        let why = format!("the registry {registry} is not among those that this host allows");
        return waits("denied_by_local_policy", &why);
    }
    if let (Some(reason), Requester::Manager) = (&world.manager_held, wish.requester) {
        return WorkspaceStep { reason: Some(reason.clone()), ..WorkspaceStep::met(WorkspaceState::Pending) };
    }
    if !agent.enabled {
        return waits("disabled", "this host takes no work (agent.enabled)");
    }
    if agent.draining {
        return waits("draining", "this host takes no new work");
    }
    // It waits after a failure, or its pull is begun for a workspace.
    let is_begun = memory.images.get(wanted).is_some_and(|known| known.is_begun);
    if (step.deed.is_none() && step.disk_wanted_bytes == 0) || is_begun {
        return step;
    }
    if is_room_wanted {
        return waits("disk_short", "a workspace waits for room on the disk, and its image comes first");
    }
    match disk_lack(world, memory.pulls().cloned(), (wanted, RESERVES_AHEAD)) {
        Some(lack) => WorkspaceStep { disk_wanted_bytes: lack.wanted_bytes, ..waits("disk_short", &lack.message) },
        None => step,
    }
}

/// As it is shown.
pub(super) fn image_status(world: &WorkspacesWorld, wish: &ImageWish, step: WorkspaceStep) -> ImageStatus {
    let image = wish.image.as_ref().ok().cloned();
    let pull_progress = image.as_ref().and_then(|image| match world.look.image(image) {
        ImageSeen::Pulling { done_bytes, total_bytes } => Some((done_bytes, total_bytes)),
        ImageSeen::Absent | ImageSeen::Present { .. } | ImageSeen::PullFailed { .. } => None,
    });
    ImageStatus {
        id: wish.id.clone(),
        requester: wish.requester,
        image,
        reason: step.reason,
        retry_at: step.retry_at.map(|at| wall_of(world, at)),
        pull_progress,
    }
}
