//! A container that is wished: pulled, created, started, replaced, and put back where the new one fails.

use super::nvidia_deed::NvidiaDeed;
use super::nvidia_failures::NvidiaGate;
use super::nvidia_look::{ContainerRun, ImageSeen, NvidiaContainerSeen};
use super::nvidia_memory::{NvidiaBegun, NvidiaMemory};
use super::nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use super::nvidia_role_view::{ImageHere, RoleStep, RoleView, Wake, is_up};
use super::nvidia_settle::Settling;
use super::nvidia_spec::NvidiaSpec;
use super::nvidia_target::{Target, rolled_back, target};
use super::nvidia_world::NvidiaRefused;
use crate::image_ref::ImageRef;

/// So long a new toolkit container has to run before the one before it is removed.
const RUNS_FOR_MS: u64 = 15_000;

/// The turn of a role that is wished.
pub(super) fn wished(view: &RoleView<'_>, memory: &mut NvidiaMemory) -> RoleStep {
    memory.is_over_files = view.world.deployed_over_files(view.role) == Some(true);
    let target = target(view.role, view.world, &view.look.image, memory);
    let wanted = match &target {
        Target::Spec(spec) => spec.image.digest().cloned(),
        Target::Unresolved(_) | Target::Refused(_) => None,
    };
    let before = |memory: &NvidiaMemory| memory.good.clone().filter(|good| has_container(view, memory, good));
    let runs = view.ours().any(is_up);
    let mut step = match target {
        Target::Refused(refused) => refuse(view, memory, refused),
        Target::Unresolved(image) => match before(memory).filter(|_| !runs) {
            Some(good) => drive(view, memory, &good),
            None => resolve(view, memory, image),
        },
        Target::Spec(spec) => match rolled_back(&spec, memory) {
            Some((good, hold)) => drive(view, memory, &good).with(Some(hold)),
            None => {
                // After a boot without its registry the one before is better than none.
                let cannot =
                    !runs && !has_container(view, memory, &spec) && !matches!(view.image_here(&spec), ImageHere::Yes);
                let instead = if cannot { before(memory) } else { None };
                drive(view, memory, instead.as_ref().unwrap_or(&spec))
            }
        },
    };
    step.turn.digest_wanted = wanted;
    step
}

fn has_container(view: &RoleView<'_>, memory: &NvidiaMemory, spec: &NvidiaSpec) -> bool {
    view.ours().any(|one| memory.is_from(one, spec))
}

/// Nothing new is deployed. What runs goes on, and what ran before is started where the policy allows that.
fn refuse(view: &RoleView<'_>, memory: &mut NvidiaMemory, NvidiaRefused { code, why }: NvidiaRefused) -> RoleStep {
    let hold = NvidiaHold::UpgradeRefused { code: code.clone(), why: why.clone() };
    if view.ours().any(|one| matches!(one.run, ContainerRun::Running)) {
        return RoleStep::shows(view.running_phase(), Wake::Steady).with(Some(hold));
    }
    let allowed = |good: &NvidiaSpec| view.world.policy.allows(view.role, &good.image).is_ok();
    match memory.good.clone().filter(|good| allowed(good) && has_container(view, memory, good)) {
        Some(good) => drive(view, memory, &good).with(Some(hold)),
        None => RoleStep::shows(NvidiaPhase::Refused { code, why }, Wake::Steady),
    }
}

/// Pulls an image to learn what its tag stands for. What runs goes on.
fn resolve(view: &RoleView<'_>, memory: &mut NvidiaMemory, image: ImageRef) -> RoleStep {
    let runs = view.ours().any(is_up);
    let phase = |otherwise: NvidiaPhase| if runs { view.running_phase() } else { otherwise };
    if let Some((name, why)) = view.foreign() {
        return blocked(view, name, why);
    }
    if let Some(NvidiaRefused { code, why }) = view.preflight() {
        let (code, why) = (code.clone(), why.clone());
        let hold = runs.then(|| NvidiaHold::UpgradeRefused { code: code.clone(), why: why.clone() });
        return RoleStep::shows(phase(NvidiaPhase::Refused { code, why }), Wake::Steady).with(hold);
    }
    if let ImageSeen::Pulling { done_bytes, total_bytes } = view.look.image {
        return RoleStep::shows(phase(NvidiaPhase::Pulling { done_bytes, total_bytes }), Wake::Soon);
    }
    if let Some(shut) = shut(view, memory, runs) {
        return shut;
    }
    let deed = NvidiaDeed::Pull { role: view.role, image };
    RoleStep::does(phase(NvidiaPhase::Pulling { done_bytes: 0, total_bytes: 0 }), deed)
}

/// A container of somebody else has our label: nothing is done.
fn blocked(view: &RoleView<'_>, name: String, why: super::WhyForeign) -> RoleStep {
    if view.ours().any(|one| matches!(one.run, ContainerRun::Running)) {
        let hold = NvidiaHold::ForeignContainer { name, why };
        return RoleStep::shows(view.running_phase(), Wake::Steady).with(Some(hold));
    }
    RoleStep::shows(NvidiaPhase::Foreign { name, why }, Wake::Steady)
}

/// It has failed and is not tried now.
fn shut(view: &RoleView<'_>, memory: &NvidiaMemory, runs: bool) -> Option<RoleStep> {
    let gate = memory.failures.gate(view.now());
    let NvidiaGate::Shut { fault, reason, .. } = gate.clone() else { return None };
    let failed = view.failed(gate)?;
    if !runs {
        return Some(failed);
    }
    let hold = NvidiaHold::UpgradeFailed { fault, reason };
    Some(RoleStep::shows(view.running_phase(), failed.wake).with(Some(hold)))
}

/// Makes the container of this specification the one that runs.
fn drive(view: &RoleView<'_>, memory: &mut NvidiaMemory, spec: &NvidiaSpec) -> RoleStep {
    let mine: Vec<&NvidiaContainerSeen> = view.ours().filter(|one| memory.is_from(one, spec)).collect();
    let mine = mine.iter().rev().find(|one| is_up(one)).or(mine.last()).copied();
    let others: Vec<&NvidiaContainerSeen> =
        view.ours().filter(|one| mine.is_none_or(|mine| mine.id != one.id)).collect();
    match mine.map(|mine| (mine, &mine.run)) {
        Some((mine, ContainerRun::Running)) => running(view, memory, spec, mine, &others),
        Some((mine, ContainerRun::Paused)) => {
            let reason = format!("another program has paused it: `docker unpause {}`", mine.id.short());
            RoleStep::shows(NvidiaPhase::Failed { fault: NvidiaFault::Paused, reason, retry_at: None }, Wake::Steady)
        }
        Some((_, ContainerRun::Other(state))) => {
            let why = format!("Docker reports the container as `{state}`");
            RoleStep::shows(NvidiaPhase::Absent { why }, Wake::Soon)
        }
        Some((mine, ContainerRun::Created | ContainerRun::Ended { .. })) => {
            start(view, memory, spec, Some(mine), &others)
        }
        None => start(view, memory, spec, None, &others),
    }
}

/// Which change this is, if it is one.
fn between(
    memory: &NvidiaMemory,
    spec: &NvidiaSpec,
    others: &[&NvidiaContainerSeen],
    step: String,
) -> Option<NvidiaPhase> {
    if others.is_empty() {
        return None;
    }
    if memory.failed.is_some() && memory.way_back_from(spec).is_none() {
        return Some(NvidiaPhase::RollingBack { step });
    }
    memory.way_back_from(spec).is_some().then_some(NvidiaPhase::Upgrading { step })
}

/// It runs: it is ready, or has some time left to get so.
fn running(
    view: &RoleView<'_>,
    memory: &mut NvidiaMemory,
    spec: &NvidiaSpec,
    mine: &NvidiaContainerSeen,
    others: &[&NvidiaContainerSeen],
) -> RoleStep {
    if let (Some(label), None) = (&mine.spec_digest, memory.spec_of(mine)) {
        memory.know(label.clone(), spec.clone());
    }
    let now = view.now();
    let Some(begun) = view.start_of(memory, mine) else {
        return RoleStep::shows(view.running_phase(), Wake::Soon);
    };
    // The programs of the one before are still there and answer: only that it goes on running is news of the new one.
    let is_young = !begun.ready && now.since(begun.at) < RUNS_FOR_MS && !others.is_empty();
    if view.role == NvidiaRole::Toolkit && is_young {
        let step = "it has to run for some seconds".to_owned();
        return RoleStep::shows(NvidiaPhase::Upgrading { step }, Wake::Soon);
    }
    let Err(lacks) = view.ready() else {
        (begun.ready, begun.lost) = (true, None);
        memory.good = Some(spec.clone());
        return clear(view, memory, others);
    };
    if begun.ready && begun.lost.is_none() {
        begun.lost = Some(now);
    }
    let (was_ready, since) = (begun.ready, begun.lost.unwrap_or(begun.at));
    let step = between(memory, spec, others, lacks.clone());
    let phase = step.unwrap_or_else(|| NvidiaPhase::Starting { lacks: lacks.clone() });
    if now.since(since) < view.ready_within_ms() {
        return RoleStep::shows(phase, Wake::Soon);
    }
    let fault = NvidiaFault::NotReadyInTime;
    let reason = format!("it was not ready within {} minutes: {lacks}", view.ready_within_ms() / 60_000);
    let mut late = if !was_ready && memory.way_back_from(spec).is_some() {
        let settling = Settling { look: view.look, answered: None, now };
        settling.fail(memory, Some(spec.clone()), fault, &reason);
        memory.begun = None;
        RoleStep::shows(NvidiaPhase::RollingBack { step: reason }, Wake::Now)
    } else {
        // It is left running: it may still get ready, and what it waits for can be looked at.
        RoleStep::shows(NvidiaPhase::Failed { fault, reason, retry_at: None }, Wake::Steady)
    };
    late.turn.log_of = Some(mine.id.clone());
    late
}

/// The right one is ready: the others go.
fn clear(view: &RoleView<'_>, memory: &NvidiaMemory, others: &[&NvidiaContainerSeen]) -> RoleStep {
    let steady = RoleStep::shows(NvidiaPhase::Ready, Wake::Steady);
    let foreign = view.foreign().map(|(name, why)| NvidiaHold::ForeignContainer { name, why });
    let Some(other) = others.first() else { return steady.with(foreign) };
    if let NvidiaGate::Shut { reason, until, .. } = memory.failures.gate(view.now()) {
        let hold = NvidiaHold::Leftover { reason };
        return RoleStep { wake: until.map_or(Wake::Steady, Wake::At), ..steady }.with(Some(hold));
    }
    let (role, id) = (view.role, other.id.clone());
    if !is_up(other) {
        return RoleStep::does(NvidiaPhase::Ready, NvidiaDeed::Remove { role, id }).with(foreign);
    }
    match view.in_use() {
        Some(hold) => steady.with(Some(hold)),
        None => RoleStep::does(NvidiaPhase::Ready, NvidiaDeed::Stop { role, id }).with(foreign),
    }
}

/// It does not run.
fn start(
    view: &RoleView<'_>,
    memory: &mut NvidiaMemory,
    spec: &NvidiaSpec,
    mine: Option<&NvidiaContainerSeen>,
    others: &[&NvidiaContainerSeen],
) -> RoleStep {
    if let Some((name, why)) = view.foreign() {
        return blocked(view, name, why);
    }
    if let Some(other) = others.iter().find(|one| is_up(one)) {
        return replace(view, memory, spec, mine, (other, others));
    }
    if let Some(why) = &view.waits {
        return RoleStep::shows(NvidiaPhase::Absent { why: why.clone() }, Wake::Steady);
    }
    // In the middle of a change the host is as the one before has left it: only a try shows whether the other one starts.
    // What only an installation needs does not keep a container from its next start.
    let is_of_installation = |code: &str| matches!(code, "disk_short" | "modules_in_the_way");
    let refused = view.preflights().find(|one| mine.is_none() || !is_of_installation(&one.code));
    if let (Some(NvidiaRefused { code, why }), true) = (refused, others.is_empty()) {
        return RoleStep::shows(NvidiaPhase::Refused { code: code.clone(), why: why.clone() }, Wake::Steady);
    }
    if let Some(failed) = shut(view, memory, false) {
        return failed;
    }
    let shown = |deed: &NvidiaDeed, otherwise: NvidiaPhase| {
        between(memory, spec, others, deed.to_string()).unwrap_or(otherwise)
    };
    let Some(mine) = mine else {
        let mut step = make(view, spec);
        if let Some(deed) = &step.deed {
            step.turn.phase = shown(deed, step.turn.phase.clone());
        }
        return step;
    };
    let (role, id) = (view.role, mine.id.clone());
    let is_broken = memory.rebuild.as_ref() == Some(&id);
    let deed = if is_broken { NvidiaDeed::Remove { role, id } } else { NvidiaDeed::Start { role, id } };
    RoleStep::does(shown(&deed, NvidiaPhase::Absent { why: deed.to_string() }), deed)
}

/// Gets the image, then the container.
fn make(view: &RoleView<'_>, spec: &NvidiaSpec) -> RoleStep {
    let pulling = |done_bytes, total_bytes| NvidiaPhase::Pulling { done_bytes, total_bytes };
    match view.image_here(spec) {
        ImageHere::Yes => {
            let deed = NvidiaDeed::Create(spec.clone());
            RoleStep::does(NvidiaPhase::Absent { why: deed.to_string() }, deed)
        }
        ImageHere::Pulling(done, total) => RoleStep::shows(pulling(done, total), Wake::Soon),
        ImageHere::No => RoleStep::does(pulling(0, 0), NvidiaDeed::Pull { role: view.role, image: spec.image.clone() }),
        ImageHere::NotLookedAt => {
            RoleStep::shows(NvidiaPhase::Absent { why: format!("look for {}", spec.image) }, Wake::Now)
        }
    }
}

/// Another one of ours runs in its place. It is stopped only when the new one is there and nobody uses the driver.
fn replace(
    view: &RoleView<'_>,
    memory: &NvidiaMemory,
    spec: &NvidiaSpec,
    mine: Option<&NvidiaContainerSeen>,
    (other, others): (&NvidiaContainerSeen, &[&NvidiaContainerSeen]),
) -> RoleStep {
    let goes_back = memory.failed.is_some() && memory.way_back_from(spec).is_none();
    let shown = |step: String| if goes_back { NvidiaPhase::RollingBack { step } } else { view.running_phase() };
    if let Some(why) = view.waits.as_ref().filter(|_| !goes_back) {
        return RoleStep::shows(shown(why.clone()), Wake::Steady);
    }
    if let Some(NvidiaRefused { code, why }) = view.preflight().filter(|_| !goes_back) {
        let hold = NvidiaHold::UpgradeRefused { code: code.clone(), why: why.clone() };
        return RoleStep::shows(view.running_phase(), Wake::Steady).with(Some(hold));
    }
    if let Some(shut) = shut(view, memory, true) {
        return shut;
    }
    if mine.is_none() {
        let mut step = make(view, spec);
        step.turn.phase = shown(step.deed.as_ref().map_or_else(String::new, ToString::to_string));
        return step;
    }
    if let Some(hold) = view.in_use() {
        return RoleStep::shows(shown("no process may use the driver".to_owned()), Wake::Steady).with(Some(hold));
    }
    let deed = NvidiaDeed::Stop { role: view.role, id: other.id.clone() };
    let step = deed.to_string();
    let phase = between(memory, spec, others, step.clone()).unwrap_or(NvidiaPhase::Upgrading { step });
    RoleStep::does(phase, deed)
}

/// What is remembered once a deed is about to begin.
pub(super) fn begin(view: &RoleView<'_>, memory: &mut NvidiaMemory, deed: &NvidiaDeed) {
    if let NvidiaDeed::Create(spec) = deed {
        memory.know(spec.digest(), spec.clone());
    }
    memory.begun = Some(NvidiaBegun::of(deed, &view.look.containers, view.now()));
}
