//! What everybody is shown of a workspace after a turn.

use super::workspace_gpu_look::GpuVerdict;
use super::workspace_look::{WorkspaceLook, WorkspaceSeen};
use super::workspace_memory::WorkspacesMemory;
use super::workspace_status::{ForeignWorkspace, WorkspaceStatus};
use super::workspace_step::WorkspaceStep;
use super::workspace_world::WorkspacesWorld;
use crate::nvidia_container::ImageSeen;
use crate::policy::Requester;
use crate::time::{BootMillis, Now, UnixMillis};
use crate::workspace::{WorkspaceHead, WorkspaceId};

/// A workspace and what was decided about it.
pub(super) struct Shown {
    pub(super) id: WorkspaceId,
    /// What is wanted and by whom; `None` = no source lists it.
    pub(super) wished: Option<(WorkspaceHead, Requester)>,
    pub(super) step: WorkspaceStep,
}

/// As everybody sees it.
pub(super) fn status(
    (world, memory): (&WorkspacesWorld, &WorkspacesMemory),
    shown: &Shown,
    seen: Option<&WorkspaceSeen>,
) -> WorkspaceStatus {
    let Shown { id, wished, step } = shown;
    let head = wished.as_ref().map(|(head, _)| head);
    let requester = wished.as_ref().map(|(_, requester)| *requester).or(seen.and_then(|seen| seen.requester));
    let image = seen.map(|seen| seen.image.clone());
    let pulls = world.look.images.iter().find_map(|(one, seen)| match seen {
        ImageSeen::Pulling { done_bytes, total_bytes } if is_named(step, &one.to_string()) => {
            Some((*done_bytes, *total_bytes))
        }
        ImageSeen::Pulling { .. } | ImageSeen::Absent | ImageSeen::Present { .. } | ImageSeen::PullFailed { .. } => {
            None
        }
    });
    let live = seen.filter(|seen| seen.is_live());
    let verdict = live.and_then(|seen| memory.workspaces.get(id)?.gpu.verdict(seen));
    WorkspaceStatus {
        id: id.clone(),
        requester: requester.unwrap_or(Requester::Manager),
        kind: head.map(|head| head.kind).unwrap_or_default(),
        desired: head.map(|head| head.desired),
        state: step.state,
        reason: step.reason.clone(),
        retry_at: step.retry_at.map(|at| on_the_wall(world.now, at)),
        since: world.now.wall,
        container: seen.map(|seen| seen.id.clone()),
        image,
        gpus: seen.map(|seen| seen.gpus.clone()).unwrap_or_default(),
        vfio: seen.map(|seen| seen.vfio.clone()).unwrap_or_default(),
        gpu_ok: verdict.and_then(GpuVerdict::is_ok),
        gpu_unknown: match verdict {
            Some(GpuVerdict::Unknown { why }) => Some(why.clone()),
            Some(GpuVerdict::Ok | GpuVerdict::Lost { .. }) | None => None,
        },
        stale_driver: None,
        figures: None,
        nano_cpus: seen.map_or(0, |seen| seen.nano_cpus),
        memory_bytes: seen.map_or(0, |seen| seen.memory_bytes),
        generation: head.map(|head| head.generation).or(seen.map(|seen| seen.generation)).unwrap_or(0),
        pid: seen.and_then(|seen| seen.pid),
        started_at: seen.filter(|seen| seen.is_live()).and_then(|seen| seen.started_at),
        pull_progress: pulls,
    }
}

/// The reason names the image that is pulled for it.
fn is_named(step: &WorkspaceStep, image: &str) -> bool {
    step.reason.as_ref().is_some_and(|reason| reason.message.contains(image))
}

/// An instant of the boot, on the wall clock.
pub(super) fn wall_of(world: &WorkspacesWorld, at: BootMillis) -> UnixMillis {
    on_the_wall(world.now, at)
}

fn on_the_wall(now: Now, at: BootMillis) -> UnixMillis {
    let millis = i64::try_from(at.since(now.boot)).unwrap_or(i64::MAX);
    UnixMillis(now.wall.0.saturating_add(millis))
}

/// Containers that only look like ours.
pub(super) fn foreign(look: &WorkspaceLook) -> Vec<ForeignWorkspace> {
    let foreign = look.containers.iter().filter_map(|seen| Some((seen, seen.foreign?)));
    foreign.map(|(seen, why)| ForeignWorkspace { container: seen.id.clone(), name: seen.name.clone(), why }).collect()
}
