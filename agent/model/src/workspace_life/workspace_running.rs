//! A workspace that is to run: its image, its container, its start, and a container of another specification that gives way.

use super::image_entry::{disk_lack, login_of};
use super::workspace_deed::WorkspaceDeed;
use super::workspace_ending::unsettled;
use super::workspace_gpu_turn::runs;
use super::workspace_look::WorkspaceSeen;
use super::workspace_memory::{WorkspaceMemory, WorkspacesMemory};
use super::workspace_pace::WorkspaceGate;
use super::workspace_status::{WorkspaceReason, WorkspaceState as S};
use super::workspace_step::{WorkspaceStep, remove, start, stop, unpause};
use super::workspace_world::WorkspacesWorld;
use crate::image_ref::ImageRef;
use crate::nvidia_container::{ContainerRun, ImageSeen};
use crate::workspace::{GpuInjection, WorkspaceContainer, WorkspaceId, WorkspaceRefused};

/// Refusals that no change of the host lifts.
const FINAL: [&str; 4] = ["invalid_argument", "denied_by_local_policy", "conflict", "gpu_count_exceeds_physical"];

/// It cannot be as it is wished; what runs goes on running.
pub(super) fn refused(seen: Option<&WorkspaceSeen>, why: &WorkspaceRefused) -> WorkspaceStep {
    let reason = Some(WorkspaceReason::new(why.code(), why.to_string()));
    let state = match seen.map(|seen| &seen.run) {
        Some(ContainerRun::Running) => S::Running,
        Some(ContainerRun::Paused) => S::Paused,
        _ if FINAL.contains(&why.code()) => S::Failed,
        Some(ContainerRun::Created | ContainerRun::Ended { .. } | ContainerRun::Other(_)) => S::Stopped,
        None => S::Pending,
    };
    WorkspaceStep { reason, ..WorkspaceStep::met(state) }
}

/// The next step towards its container running.
pub(super) fn running(
    (world, all): (&WorkspacesWorld, &WorkspacesMemory),
    wanted: &WorkspaceContainer,
    seen: Option<&WorkspaceSeen>,
) -> WorkspaceStep {
    let id = &wanted.workspace_id;
    let default = WorkspaceMemory::default();
    let memory = all.workspaces.get(id).unwrap_or(&default);
    let Some(seen) = seen else { return create((world, all), wanted, memory) };
    let is_same = seen.spec_digest.as_deref() == Some(wanted.spec_digest.as_str());
    if !is_same || memory.recreate {
        return give_way((world, all), wanted, seen);
    }
    match &seen.run {
        ContainerRun::Running => runs(world, id, seen, memory),
        ContainerRun::Paused => WorkspaceStep::does(S::Starting, "starting", unpause(id, seen)),
        ContainerRun::Created | ContainerRun::Ended { .. } => again(world, wanted, seen, memory),
        ContainerRun::Other(state) if state == "dead" => WorkspaceStep::does(S::Pending, "removing", remove(id, seen)),
        ContainerRun::Other(state) => unsettled(state),
    }
}

/// Starts what is there, with the GPUs that it was created with: only they are in it.
fn again(
    world: &WorkspacesWorld,
    wanted: &WorkspaceContainer,
    seen: &WorkspaceSeen,
    memory: &WorkspaceMemory,
) -> WorkspaceStep {
    let id = &wanted.workspace_id;
    let same =
        |one: &[String], other: &[String]| one.len() == other.len() && one.iter().all(|name| other.contains(name));
    if !same(&seen.gpus, &wanted.gpus) || !same(&seen.vfio, &wanted.vfio) {
        let had = [seen.gpus.clone(), seen.vfio.clone()].concat().join(", ");
        let had = if had.is_empty() { "no GPU".to_owned() } else { had };
        let message = format!(
            "its container was created with {had}, which it cannot be given now; `gpuhostctl workspaces recreate {id}` creates it \
             again with another one: its volumes are kept, what is in its own layer only is lost"
        );
        return WorkspaceStep::waits(S::Pending, "gpu_unavailable", message);
    }
    if let Some(step) = held(world, wanted, memory) {
        return step;
    }
    // Docker reads the file at the start: one that does not fit would give it the devices or the libraries of another driver.
    if seen.is_by_cdi && !matches!(wanted.way, GpuInjection::Cdi { .. }) {
        let gpus = seen.gpus.join(", ");
        let message = format!(
            "its container takes {gpus} by CDI, and no CDI specification that fits the host defines it now: it is started once one does \
             (`gpuhostctl conditions`: cdi_spec_stale); `gpuhostctl workspaces recreate {id}` creates it again in the way that there is \
             now: its volumes are kept, what is in its own layer only is lost"
        );
        return WorkspaceStep::waits(S::Pending, "cdi_stale", message);
    }
    WorkspaceStep::does(S::Starting, "starting", start(id, seen))
}

fn create(
    (world, all): (&WorkspacesWorld, &WorkspacesMemory),
    wanted: &WorkspaceContainer,
    memory: &WorkspaceMemory,
) -> WorkspaceStep {
    if let Some(step) = image((world, all), &wanted.image) {
        return step;
    }
    if let Some(step) = held(world, wanted, memory) {
        return step;
    }
    WorkspaceStep::does(S::Creating, "creating", WorkspaceDeed::Create(Box::new(wanted.clone())))
}

/// A container of another specification is there. It gives way once the image of the new one is here.
fn give_way(
    (world, all): (&WorkspacesWorld, &WorkspacesMemory),
    wanted: &WorkspaceContainer,
    seen: &WorkspaceSeen,
) -> WorkspaceStep {
    let id = &wanted.workspace_id;
    if let Some(step) = image((world, all), &wanted.image) {
        let state = if seen.is_live() { S::Running } else { step.state };
        return WorkspaceStep { state, ..step };
    }
    let (state, deed) = match &seen.run {
        ContainerRun::Running => (S::Stopping, stop(id, seen, world.limits.grace_s)),
        ContainerRun::Paused => (S::Stopping, unpause(id, seen)),
        ContainerRun::Created | ContainerRun::Ended { .. } => (S::Pending, remove(id, seen)),
        ContainerRun::Other(state) if state == "dead" => (S::Pending, remove(id, seen)),
        ContainerRun::Other(state) => return unsettled(state),
    };
    let message = format!("its specification has changed: {deed}; what is in the container's own layer only is lost");
    WorkspaceStep { deed: Some(deed), ..WorkspaceStep::waits(state, "recreating", message) }
}

/// What keeps an image from being used; none: it is here.
pub(super) fn image((world, all): (&WorkspacesWorld, &WorkspacesMemory), image: &ImageRef) -> Option<WorkspaceStep> {
    let pull = || {
        let login = login_of(&world.document, image);
        WorkspaceStep::does(S::Pulling, "pulling", WorkspaceDeed::Pull { image: image.clone(), login })
    };
    let gate = all.images.get(image).map_or(WorkspaceGate::Open, |memory| memory.pace.gate(world.now.boot));
    match (world.look.image(image), gate) {
        (ImageSeen::Present { .. }, _) => None,
        (ImageSeen::Pulling { done_bytes, total_bytes }, _) => {
            let message = format!("{done_bytes} of {total_bytes} bytes of {image} are here");
            Some(WorkspaceStep::waits(S::Pulling, "pulling", message))
        }
        (ImageSeen::Absent | ImageSeen::PullFailed { .. }, WorkspaceGate::Open) => {
            Some(match disk_lack(world, all.pulls().cloned(), (image, 1)) {
                Some(lack) => WorkspaceStep {
                    disk_wanted_bytes: lack.wanted_bytes,
                    ..WorkspaceStep::waits(S::Pending, "disk_short", lack.message)
                },
                None => pull(),
            })
        }
        (ImageSeen::Absent | ImageSeen::PullFailed { .. }, WorkspaceGate::Shut { reason, until }) => {
            Some(WorkspaceStep { reason: Some(reason), retry_at: until, ..WorkspaceStep::met(S::Pending) })
        }
    }
}

/// What keeps a container from being created or started just now.
fn held(world: &WorkspacesWorld, wanted: &WorkspaceContainer, memory: &WorkspaceMemory) -> Option<WorkspaceStep> {
    let is_of_spec = memory.spec_digest.as_deref().is_none_or(|digest| digest == wanted.spec_digest);
    if let (WorkspaceGate::Shut { reason, until }, true) = (memory.pace.gate(world.now.boot), is_of_spec) {
        let state = if until.is_some() { S::Pending } else { S::Failed };
        return Some(WorkspaceStep { reason: Some(reason), retry_at: until, ..WorkspaceStep::met(state) });
    }
    if let (Some(why), false) = (&world.driver_changing, wanted.way == GpuInjection::None) {
        return Some(WorkspaceStep::waits(S::Pending, "driver_changing", why.clone()));
    }
    None
}

/// Of this workspace a container is there that is not ours.
pub(super) fn taken(id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceStep {
    let why = seen.foreign.map_or("", super::why_not_ours::WhyNotOurs::why);
    let message = format!(
        "the container {} has the label of workspace {id} and is not gpuhostd's: {why}; it is left alone: rename or remove it",
        seen.name
    );
    WorkspaceStep::waits(S::Failed, "foreign_container", message)
}
