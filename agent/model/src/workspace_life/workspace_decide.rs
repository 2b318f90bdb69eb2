//! Decides the next turn: for each workspace that is wished or there, what it needs next, as far as may be done at once.

use super::image_steps::{image_status, image_step};
use super::mig_leave::{leave, leaving};
use super::mig_wait::MigLeave;
use super::pull_failure::pull_failure_code;
use super::removal_gate::removals;
use super::workspace_deed::WorkspaceDeed;
use super::workspace_ending::{deleted, paused, stopped};
use super::workspace_gpu_probe::WorkspaceGpuProbe;
use super::workspace_gpu_turn::{GPU_LOST, probes};
use super::workspace_look::WorkspaceSeen;
use super::workspace_memory::{WorkspaceMemory, WorkspacesMemory, is_ending};
use super::workspace_pace::WorkspaceGate;
use super::workspace_record::LocalWorkspace;
use super::workspace_running::{refused, running, taken};
use super::workspace_shown::{Shown, foreign, status};
use super::workspace_slots::Slots;
use super::workspace_status::{
    ImageStatus, RemovalsHeld, UnreadWorkspace, WorkspaceReason, WorkspaceState, WorkspacesState,
};
use super::workspace_step::WorkspaceStep;
use super::workspace_turn::WorkspacesTurn;
use super::workspace_world::{WorkspaceLists, WorkspacesWorld};
use crate::nvidia_container::{ContainerRun, ImageSeen};
use crate::policy::Requester;
use crate::time::BootMillis;
use crate::workspace::{DesiredRun, Planned, WorkspaceAction, WorkspaceHead, WorkspaceId, WorkspaceRefused, plan};
use std::collections::{BTreeMap, BTreeSet};

/// Decides.
#[must_use]
pub fn decide_workspaces(world: &WorkspacesWorld) -> WorkspacesTurn {
    let planned = plan(&world.host, &world.document);
    let mut memory = world.memory.clone();
    settle(world, &planned, &mut memory);
    let looking = probes(world, &mut memory);
    let wished = heads(&planned);
    let lists = lists(world, &planned);
    let orphans = orphans(world, &planned, &wished);
    let count = count_removals(world, lists, &wished, &orphans);
    let held = removals(&mut memory.removals, world.document_id.as_ref(), count, world.max_removals);
    let mut deciding = Deciding {
        leaving: leaving(world, &wished.keys().copied().collect()),
        world,
        lists,
        memory,
        slots: Slots::of(world),
        deeds: Vec::new(),
        shown: Vec::new(),
        held,
        images: Vec::new(),
        disk_wanted_ahead_bytes: 0,
        wake_at: None,
        looking,
    };
    for (id, (planned, head)) in in_order(&planned, &wished) {
        let step = deciding.step(id, planned, head);
        deciding.take(id, Some((head, planned.requester)), step);
    }
    for seen in &orphans {
        let Some(id) = seen.workspace_id.clone() else { continue };
        let step = deciding.orphan(&id, seen);
        deciding.take(&id, None, step);
    }
    deciding.volumes(&planned);
    deciding.images();
    deciding.finish(&planned)
}

/// Each workspace that is wished, by its id. Where an id is there twice the one that is not refused counts.
type Wished<'a> = BTreeMap<&'a WorkspaceId, (&'a Planned, &'a WorkspaceHead)>;

fn heads(planned: &[Planned]) -> Wished<'_> {
    let mut all = Wished::new();
    for one in planned {
        let Some(head) = &one.head else { continue };
        let is_refused = matches!(one.action, WorkspaceAction::Refusal(_));
        if !is_refused || !all.contains_key(&head.id) {
            all.insert(&head.id, (one, head));
        }
    }
    all
}

/// In the order of the document.
fn in_order<'a>(
    planned: &'a [Planned],
    wished: &Wished<'a>,
) -> impl Iterator<Item = (&'a WorkspaceId, (&'a Planned, &'a WorkspaceHead))> {
    planned.iter().filter_map(|one| {
        let (id, chosen) = wished.get_key_value(&one.head.as_ref()?.id)?;
        std::ptr::eq(chosen.0, one).then_some((*id, *chosen))
    })
}

/// Our containers that no source lists. An entry that cannot be read lists its workspace too: a word of a newer manager stops nothing.
fn orphans<'a>(world: &'a WorkspacesWorld, planned: &[Planned], wished: &Wished<'_>) -> Vec<&'a WorkspaceSeen> {
    let unread: BTreeSet<&str> =
        planned.iter().filter(|one| one.head.is_none()).map(|one| one.workspace_id.as_str()).collect();
    let is_orphan = |seen: &&WorkspaceSeen| {
        let is_listed = |id: &WorkspaceId| wished.contains_key(id) || unread.contains(id.as_str());
        seen.foreign.is_none() && seen.workspace_id.as_ref().is_some_and(|id| !is_listed(id))
    };
    world.look.containers.iter().filter(is_orphan).collect()
}

/// Which sources have a list by which something is missing. One with an entry whose id cannot be read has none: it can be any.
fn lists(world: &WorkspacesWorld, planned: &[Planned]) -> WorkspaceLists {
    let is_whole = |requester| {
        let mut nameless = planned.iter().filter(|one| one.head.is_none() && one.requester == requester);
        nameless.all(|one| one.workspace_id.parse::<WorkspaceId>().is_ok())
    };
    WorkspaceLists {
        // Of what people had asked for here before the record was lost nothing is known.
        local: world.lists.local && !world.memory.record.is_lost && is_whole(Requester::Local),
        manager: world.lists.manager && is_whole(Requester::Manager),
    }
}

const fn has_list(lists: WorkspaceLists, seen: &WorkspaceSeen) -> bool {
    match seen.requester {
        Some(Requester::Local) => lists.local,
        Some(Requester::Manager) => lists.manager,
        None => false,
    }
}

/// What a manager's document removes of what is there: deleted, or running and not listed any more.
fn count_removals(
    world: &WorkspacesWorld,
    lists: WorkspaceLists,
    wished: &Wished<'_>,
    orphans: &[&WorkspaceSeen],
) -> u64 {
    let is_there = |id: &WorkspaceId| own(world, id).is_some();
    let deleted = wished.values().filter(|(planned, head)| {
        planned.requester == Requester::Manager && head.desired == DesiredRun::Deleted && is_there(&head.id)
    });
    let by_manager = |seen: &&&WorkspaceSeen| seen.requester == Some(Requester::Manager);
    let ends = |seen: &&&WorkspaceSeen| seen.is_live() && has_list(lists, seen);
    let ended = orphans.iter().filter(by_manager).filter(ends);
    u64::try_from(deleted.count() + ended.count()).unwrap_or(u64::MAX)
}

/// The container of a workspace that is ours.
fn own<'a>(world: &'a WorkspacesWorld, id: &WorkspaceId) -> Option<&'a WorkspaceSeen> {
    let is_it = |seen: &&WorkspaceSeen| seen.workspace_id.as_ref() == Some(id) && seen.foreign.is_none();
    world.look.containers.iter().find(is_it)
}

/// What the look shows to have happened since the last one.
fn settle(world: &WorkspacesWorld, planned: &[Planned], memory: &mut WorkspacesMemory) {
    for (image, known) in &mut memory.images {
        let is_asked = world.look.images.iter().any(|(one, _)| one == image) && !world.doing.images.contains(image);
        match world.look.image(image) {
            ImageSeen::PullFailed { why } if known.is_begun => {
                known.is_begun = false;
                known.pace.fail(world.now.boot, pull_failure_code(&why), &why, false);
            }
            ImageSeen::Present { .. } => *known = super::workspace_memory::ImageMemory::default(),
            // Its pull was forgotten: the container hand was started again.
            ImageSeen::Absent if is_asked => known.is_begun = false,
            ImageSeen::Absent | ImageSeen::Pulling { .. } | ImageSeen::PullFailed { .. } => {}
        }
    }
    for seen in world.look.containers.iter().filter(|seen| seen.foreign.is_none()) {
        let Some(id) = &seen.workspace_id else { continue };
        memory.workspaces.entry(id.clone()).or_default().volumes.clone_from(&seen.volumes);
    }
    for one in planned {
        let (Some(head), WorkspaceAction::Create(request)) = (&one.head, &one.action) else {
            // What is not to run is not started again.
            let known = one.head.as_ref().and_then(|head| memory.workspaces.get_mut(&head.id));
            known.into_iter().for_each(|known| known.gpu.is_repairing = false);
            continue;
        };
        let known = memory.workspaces.entry(head.id.clone()).or_default();
        let digest = &request.container.spec_digest;
        if known.spec_digest.as_ref() != Some(digest) {
            // The failures of another specification say nothing about this one.
            let is_first = known.spec_digest.is_none();
            known.spec_digest = Some(digest.clone());
            if !is_first {
                known.pace = super::workspace_pace::WorkspacePace::default();
            }
        }
        let seen = own(world, &head.id);
        // What is being started still shows how it ended before.
        let is_settled = !world.doing.workspaces.contains(&head.id);
        if let Some(seen) = seen.filter(|seen| is_settled && seen.spec_digest.as_ref() == Some(digest)) {
            count_end(world.now.boot, seen, known, world.memory.docker_was_away);
        }
        known.recreate &= seen.is_some();
    }
    memory.docker_was_away = false;
}

/// A container that has ended by itself is a failure, once. One that ended with Docker has not, whatever status Docker shows.
fn count_end(now: BootMillis, seen: &WorkspaceSeen, known: &mut WorkspaceMemory, docker_was_away: bool) {
    let ContainerRun::Ended { exit, oom } = &seen.run else {
        known.is_started |= seen.is_live();
        return;
    };
    if !std::mem::take(&mut known.is_started) || docker_was_away {
        return;
    }
    let message = match (exit, oom) {
        (_, true) => "its container ran out of memory and the kernel ended it".to_owned(),
        (exit, false) => format!("its container ended with exit status {exit}"),
    };
    known.pace.fail(now, "ended", &message, true);
}

struct Deciding<'a> {
    world: &'a WorkspacesWorld,
    lists: WorkspaceLists,
    memory: WorkspacesMemory,
    slots: Slots,
    deeds: Vec<WorkspaceDeed>,
    shown: Vec<Shown>,
    held: Option<RemovalsHeld>,
    images: Vec<ImageStatus>,
    disk_wanted_ahead_bytes: u64,
    /// When a volume is tried again.
    wake_at: Option<BootMillis>,
    /// Workspaces that give way to a change of MIG.
    leaving: BTreeMap<&'a WorkspaceId, &'a MigLeave>,
    /// GPUs that are looked at, and when the next ones are.
    looking: (Vec<WorkspaceGpuProbe>, Option<BootMillis>),
}

impl Deciding<'_> {
    fn step(&self, id: &WorkspaceId, planned: &Planned, head: &WorkspaceHead) -> WorkspaceStep {
        let world = self.world;
        let seen = own(world, id);
        let forged = |one: &&WorkspaceSeen| one.foreign.is_some() && one.workspace_id.as_ref() == Some(id);
        let name = crate::workspace::WorkspaceContainer::name_of(id);
        if let (None, Some(other)) = (seen, world.look.containers.iter().filter(forged).find(|one| one.name == name)) {
            return taken(id, other);
        }
        if planned.requester == Requester::Manager
            && let Some(seen) = seen.filter(|seen| seen.requester == Some(Requester::Local))
        {
            return of_this_host(seen);
        }
        let grace_s = world.limits.grace_s;
        if let (Some(seen), Some(change)) = (seen, self.leaving.get(id)) {
            return leave(id, seen, change, grace_s);
        }
        let step = match (head.desired, &planned.action) {
            (DesiredRun::Running, WorkspaceAction::Create(request)) => {
                running((world, &self.memory), &request.container, seen)
            }
            (_, WorkspaceAction::Refusal(why)) => refused(seen, why),
            // Nothing is planned only where it is not to run.
            (DesiredRun::Running | DesiredRun::Stopped, _) => stopped(id, seen, grace_s),
            (DesiredRun::Paused, _) => paused(id, seen),
            (DesiredRun::Deleted, _) => deleted(id, seen, grace_s),
        };
        let is_manager = planned.requester == Requester::Manager;
        match (&world.manager_held, &self.held, &step.deed) {
            (Some(reason), ..) if is_manager && (step.deed.is_some() || step.disk_wanted_bytes > 0) => {
                WorkspaceStep { deed: None, disk_wanted_bytes: 0, reason: Some(reason.clone()), ..step }
            }
            (_, Some(held), Some(_)) if is_manager && head.desired == DesiredRun::Deleted => removal_held(step, held),
            _ => step,
        }
    }

    /// It is stopped, never removed: its files are somebody's.
    fn orphan(&self, id: &WorkspaceId, seen: &WorkspaceSeen) -> WorkspaceStep {
        let world = self.world;
        let lost = "its files are kept: list it again, or with desired: deleted";
        if !has_list(self.lists, seen) {
            let state = if seen.is_live() { WorkspaceState::Running } else { WorkspaceState::Stopped };
            let message =
                format!("no document that this host has shows what became of it, so that nothing is done; {lost}");
            return WorkspaceStep::waits(state, "unlisted", message);
        }
        let step = stopped(id, seen.into(), world.limits.grace_s);
        let by_manager = seen.requester == Some(Requester::Manager);
        let step = match (&world.manager_held, &self.held, &step.deed) {
            (Some(reason), _, Some(_)) if by_manager => {
                return WorkspaceStep { deed: None, reason: Some(reason.clone()), ..step };
            }
            (_, Some(held), Some(_)) if by_manager => return removal_held(step, held),
            _ => step,
        };
        let reason = WorkspaceReason::new("orphaned", format!("no source lists it any more; {lost}"));
        WorkspaceStep { reason: Some(reason), ..step }
    }

    /// Takes the step as far as there is room for it.
    fn take(&mut self, id: &WorkspaceId, wished: Option<(&WorkspaceHead, Requester)>, mut step: WorkspaceStep) {
        if self.world.doing.workspaces.contains(id) {
            step.deed = None;
        }
        if let (WorkspaceState::Deleted, None, Some((_, by))) = (step.state, &step.reason, wished) {
            self.doom_volumes(id, by);
        }
        if let Some(deed) = step.deed.take_if(|deed| !self.may_try(id, deed)) {
            let memory = self.memory.workspaces.get(id);
            if let (Some(WorkspaceGate::Shut { reason, until }), true) =
                (memory.map(|memory| memory.ending.gate(self.world.now.boot)), is_ending(&deed))
            {
                (step.reason, step.retry_at) = (Some(reason), until);
            }
        }
        if let Some(deed) = step.deed.take() {
            match self.slots.take(&deed) {
                Ok(true) => {
                    if step.reason.as_ref().is_some_and(|reason| reason.code == GPU_LOST) {
                        self.memory.workspaces.entry(id.clone()).or_default().gpu.begin_repair(self.world.now.boot);
                    }
                    self.begin(deed, wished.map(|(head, _)| head.desired));
                }
                Ok(false) => {}
                Err(full) => {
                    step.reason = Some(WorkspaceReason::new(full.code(), full.to_string()));
                    if matches!(
                        step.state,
                        WorkspaceState::Pulling | WorkspaceState::Creating | WorkspaceState::Starting
                    ) {
                        step.state = WorkspaceState::Pending;
                    }
                }
            }
        }
        self.shown.push(Shown { id: id.clone(), wished: wished.map(|(head, by)| (head.clone(), by)), step });
    }

    /// It is deleted, and its container is gone, by whomever it was removed.
    fn doom_volumes(&mut self, id: &WorkspaceId, by: Requester) {
        let is_held = self.world.manager_held.is_some() || self.held.is_some();
        if by == Requester::Manager && is_held {
            return;
        }
        let known = self.memory.workspaces.get_mut(id).map(|known| std::mem::take(&mut known.volumes));
        self.memory.record.doomed_volumes.extend(known.unwrap_or_default());
    }

    /// What is stopped, frozen or removed waits after a failure as what is started does.
    fn may_try(&self, id: &WorkspaceId, deed: &WorkspaceDeed) -> bool {
        let memory = self.memory.workspaces.get(id).filter(|_| is_ending(deed));
        memory.is_none_or(|memory| memory.ending.gate(self.world.now.boot) == WorkspaceGate::Open)
    }

    fn begin(&mut self, deed: WorkspaceDeed, desired: Option<DesiredRun>) {
        match &deed {
            WorkspaceDeed::Pull { image, .. } => {
                self.memory.images.entry(image.clone()).or_default().is_begun = true;
            }
            // The volumes of what is deleted go with it. Which they are is known only while the container is there.
            WorkspaceDeed::Remove { workspace_id, .. } if desired == Some(DesiredRun::Deleted) => {
                let volumes = own(self.world, workspace_id).map(|seen| seen.volumes.clone());
                self.memory.record.doomed_volumes.extend(volumes.unwrap_or_default());
                self.memory.workspaces.entry(workspace_id.clone()).or_default().volumes.clear();
            }
            WorkspaceDeed::Start { workspace_id, .. } => self.note_started(workspace_id, true),
            WorkspaceDeed::Stop { workspace_id, .. } => self.note_started(workspace_id, false),
            WorkspaceDeed::Create(_)
            | WorkspaceDeed::Remove { .. }
            | WorkspaceDeed::Pause { .. }
            | WorkspaceDeed::Unpause { .. }
            | WorkspaceDeed::RemoveVolume { .. } => {}
        }
        self.deeds.push(deed);
    }

    fn note_started(&mut self, id: &WorkspaceId, is_started: bool) {
        self.memory.workspaces.entry(id.clone()).or_default().is_started = is_started;
    }

    /// Images that are wished to be here are pulled after those that workspaces wait for.
    fn images(&mut self) {
        let world = self.world;
        let is_room_wanted = self.shown.iter().any(|one| one.step.disk_wanted_bytes > 0);
        for wish in &world.images {
            let mut step = image_step(world, &self.memory, (wish, is_room_wanted));
            if let Some(deed) = step.deed.take() {
                match self.slots.take(&deed) {
                    Ok(true) => self.begin(deed, None),
                    Ok(false) => {}
                    Err(full) => step.reason = Some(WorkspaceReason::new(full.code(), full.to_string())),
                }
            }
            self.wake_at = self.wake_at.into_iter().chain(step.retry_at).min();
            self.disk_wanted_ahead_bytes = self.disk_wanted_ahead_bytes.max(step.disk_wanted_bytes);
            self.images.push(image_status(world, wish, step));
        }
    }

    fn volumes(&mut self, planned: &[Planned]) {
        // Of an entry that is not read nobody knows which volumes it has.
        let Some(wanted) = wanted_volumes(planned) else { return };
        let heads = planned.iter().filter_map(|one| one.head.as_ref());
        let goes: BTreeSet<&WorkspaceId> =
            heads.filter(|head| head.desired == DesiredRun::Deleted).map(|head| &head.id).collect();
        let doomed: Vec<String> = self.memory.record.doomed_volumes.iter().cloned().collect();
        for name in doomed {
            let mut users = self.world.look.containers.iter().filter(|seen| seen.volumes.contains(&name)).peekable();
            let is_used = users.peek().is_some();
            // Somebody's who is not to be deleted, or not any more.
            let is_kept = users.any(|seen| !seen.workspace_id.as_ref().is_some_and(|id| goes.contains(id)));
            if is_kept || wanted.contains(&name) {
                self.memory.record.doomed_volumes.remove(&name);
            } else if !is_used && !self.world.doing.volumes.contains(&name) {
                self.remove_volume(name);
            }
        }
        let WorkspacesMemory { record, volumes, .. } = &mut self.memory;
        volumes.retain(|name, _| record.doomed_volumes.contains(name));
    }

    fn remove_volume(&mut self, name: String) {
        let gate = self.memory.volumes.get(&name).map_or(WorkspaceGate::Open, |pace| pace.gate(self.world.now.boot));
        if let WorkspaceGate::Shut { until, .. } = gate {
            self.wake_at = self.wake_at.into_iter().chain(until).min();
            return;
        }
        let deed = WorkspaceDeed::RemoveVolume { name };
        if self.slots.take(&deed) == Ok(true) {
            self.deeds.push(deed);
        }
    }

    fn finish(mut self, planned: &[Planned]) -> WorkspacesTurn {
        let known: BTreeSet<&WorkspaceId> = self.shown.iter().map(|one| &one.id).collect();
        self.memory.workspaces.retain(|id, _| known.contains(id));
        // What was deleted at the wish of this host is over.
        let is_gone = |id: &WorkspaceId| {
            let one = self.shown.iter().find(|one| one.id == *id);
            one.is_some_and(|one| one.step.state == WorkspaceState::Deleted && one.step.reason.is_none())
        };
        let is_over = |id: &WorkspaceId, one: &LocalWorkspace| one.desired == DesiredRun::Deleted && is_gone(id);
        self.memory.record.local.retain(|id, one| !is_over(id, one));
        // Nothing is left of what the lost record was about.
        let is_left = |seen: &WorkspaceSeen| seen.foreign.is_none() && seen.requester == Some(Requester::Local);
        self.memory.record.is_lost &=
            self.shown.iter().any(|one| one.wished.is_none() && own(self.world, &one.id).is_some_and(is_left));
        let disk_wanted_bytes = self.shown.iter().map(|one| one.step.disk_wanted_bytes).max().unwrap_or(0);
        let wake_at = self.shown.iter().filter_map(|one| one.step.retry_at).chain(self.wake_at).min();
        let wished = heads(planned);
        let is_other =
            |id: &WorkspaceId, one: &Planned| wished.get(id).is_some_and(|(chosen, _)| !std::ptr::eq(*chosen, one));
        let unreads = planned.iter().filter_map(|one| match (&one.head, &one.action) {
            (Some(head), WorkspaceAction::Refusal(why)) if is_other(&head.id, one) => Some(unread(one, why)),
            (None, WorkspaceAction::Refusal(why)) => Some(unread(one, why)),
            _ => None,
        });
        let world = self.world;
        let mut workspaces: Vec<_> =
            self.shown.iter().map(|one| status((world, &self.memory), one, own(world, &one.id))).collect();
        workspaces.sort_by(|one, other| one.id.cmp(&other.id));
        let state = WorkspacesState {
            unknown: None,
            is_looked: true,
            document: world.document_id.clone(),
            workspaces,
            unread: unreads.collect(),
            foreign: foreign(&world.look),
            images: self.images,
            disk_wanted_bytes,
            disk_wanted_ahead_bytes: self.disk_wanted_ahead_bytes,
            removals_held: self.held,
        };
        let (probes, probe_at) = self.looking;
        WorkspacesTurn { deeds: self.deeds, probes, probe_at, state, memory: self.memory, wake_at }
    }
}

fn removal_held(step: WorkspaceStep, held: &RemovalsHeld) -> WorkspaceStep {
    let RemovalsHeld { count, most } = held;
    let message = format!(
        "this revision removes {count} workspaces, and max_removals of the policy is {most}: it is done when another revision wants \
         it too, or by `gpuhostctl workspaces confirm-removals`"
    );
    WorkspaceStep { deed: None, reason: Some(WorkspaceReason::new("removals_held", message)), ..step }
}

/// The volumes of all that is to be kept, whatever keeps it from running; none where one entry is not read.
fn wanted_volumes(planned: &[Planned]) -> Option<BTreeSet<String>> {
    let is_kept = |one: &&Planned| one.head.as_ref().is_none_or(|head| head.desired != DesiredRun::Deleted);
    let volumes: Option<Vec<Vec<String>>> = planned.iter().filter(is_kept).map(|one| one.volumes.clone()).collect();
    Some(volumes?.into_iter().flatten().collect())
}

fn unread(planned: &Planned, why: &WorkspaceRefused) -> UnreadWorkspace {
    UnreadWorkspace {
        name: planned.workspace_id.clone(),
        requester: planned.requester,
        reason: WorkspaceReason::new(why.code(), why.to_string()),
    }
}

/// A manager has nothing to say about what people on this host have created.
fn of_this_host(seen: &WorkspaceSeen) -> WorkspaceStep {
    let state = if seen.is_live() { WorkspaceState::Running } else { WorkspaceState::Failed };
    let message =
        format!("the container {} of this id was created at the wish of this host: use another id", seen.name);
    WorkspaceStep::waits(state, "conflict", message)
}
