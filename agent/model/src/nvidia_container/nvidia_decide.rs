//! One turn: from everything that is known to the one thing that is done next.

use super::docker_cdi;
use super::nvidia_driver_host as driver_host;
use super::nvidia_gpu_access as gpu_access;
use super::nvidia_memory::{NvidiaBegun, NvidiaMemory};
use super::nvidia_phase::NvidiaPhase;
use super::nvidia_record::{RuntimeMemory, RuntimeOurs};
use super::nvidia_role::NvidiaRole;
use super::nvidia_role_view::{RoleStep, RoleView, Wake, is_up};
use super::nvidia_runtime::{self, RuntimeStep};
use super::nvidia_settle::Settling;
use super::nvidia_target::{image_to_look_at, record_for};
use super::nvidia_turn::{NvidiaAct, NvidiaRoleTurn, NvidiaTurn};
use super::nvidia_unwished::unwished;
use super::nvidia_wished::{begin, wished};
use super::nvidia_world::NvidiaWorld;

/// Decides. Whatever is interrupted, the next turn goes on from what Docker and the file show.
#[must_use]
pub fn decide(world: &NvidiaWorld) -> NvidiaTurn {
    let mut record = record_for(&world.wish, &world.record, &world.boot_id);
    let asked = NvidiaRole::ALL.iter().map(|role| asked(world, *role)).collect::<Vec<_>>();
    let asked = |role: NvidiaRole| {
        NvidiaRole::ALL.iter().zip(&asked).find(|(one, _)| **one == role).and_then(|(_, it)| it.clone())
    };
    let driver_view = view(world, NvidiaRole::Driver, asked(NvidiaRole::Driver), None);
    let driver =
        role_step(driver_view.as_ref(), world, NvidiaRole::Driver, &mut record.driver, record.driver_host.is_ours);
    driver_host::settle(world, &mut record.driver_host);
    let (driver, host_step) = match &driver_view {
        Some(view) => driver_host::around(view, driver, &mut record.driver_host),
        None => (driver, None),
    };
    let waits = (world.wish.deploy_driver && driver.turn.phase != NvidiaPhase::Ready)
        .then(|| format!("the driver container is not ready ({})", driver.turn.phase.code()));
    let toolkit_view = view(world, NvidiaRole::Toolkit, asked(NvidiaRole::Toolkit), waits);
    let has_entry = record.runtime.ours != RuntimeOurs::No;
    let toolkit = role_step(toolkit_view.as_ref(), world, NvidiaRole::Toolkit, &mut record.toolkit, has_entry);
    nvidia_runtime::settle(world, &mut record.runtime);
    docker_cdi::settle(world, &mut record.runtime.cdi);

    let deed = driver.deed.clone().or_else(|| toolkit.deed.clone()).filter(|_| host_step.is_none());
    if let Some(deed) = &deed {
        let (view, memory) = match deed.role() {
            NvidiaRole::Driver => (&driver_view, &mut record.driver),
            NvidiaRole::Toolkit => (&toolkit_view, &mut record.toolkit),
        };
        if let Some(view) = view {
            begin(view, memory, deed);
        }
    }
    // What is not done in this turn is not remembered as begun either.
    let mut unused = record.runtime.clone();
    let is_taken = deed.is_some() || host_step.is_some();
    let memory = if is_taken { &mut unused } else { &mut record.runtime };
    let runtime = docker_config(toolkit_view.as_ref(), toolkit, world, memory);
    gpu_access::settle(world, &mut record.gpu_access);
    let is_driver_ready = !world.wish.deploy_driver || driver.turn.phase == NvidiaPhase::Ready;
    let (runtime, access) = match &toolkit_view {
        Some(view) if !is_taken && runtime.step.is_none() => {
            gpu_access::gpu_access(view, runtime, is_driver_ready, record.toolkit.good.as_ref(), &mut record.gpu_access)
        }
        Some(_) | None => (runtime, None),
    };
    record.driver_host.begun = host_step.clone();
    let act = host_step.map(NvidiaAct::DriverHost).or_else(|| deed.map(NvidiaAct::Container));
    let act = act.or_else(|| runtime.step.map(NvidiaAct::DockerConfig)).or(access);
    let now = world.now.boot;
    // As long as the entry is ours somebody has to come back to it.
    let comes_back = record.runtime.ours != RuntimeOurs::No && runtime.wake == Wake::Never;
    let runtime_wake = if comes_back { Wake::Steady } else { runtime.wake };
    let comes_back = record.driver_host.is_ours && driver.wake == Wake::Never;
    let driver_wake = if comes_back { Wake::Steady } else { driver.wake };
    let is_as_wished = |turn: &NvidiaRoleTurn| {
        matches!(turn.phase, NvidiaPhase::Ready | NvidiaPhase::Disabled)
            && turn.hold.as_ref().is_none_or(super::NvidiaHold::is_usable)
    };
    let is_at_rest = act.is_none() && is_as_wished(&driver.turn) && is_as_wished(&runtime.turn);
    let at = |wake: Wake| if is_at_rest { wake.at_rest(now) } else { wake.at(now) };
    let wake_at = at(driver_wake).into_iter().chain(at(runtime_wake)).min();
    NvidiaTurn { driver: driver.turn, toolkit: runtime.turn, act, record, wake_at }
}

/// What Docker's configuration comes to: the runtime, and CDI where the engine has it disabled.
fn docker_config(
    view: Option<&RoleView<'_>>,
    toolkit: RoleStep,
    world: &NvidiaWorld,
    memory: &mut RuntimeMemory,
) -> RuntimeStep {
    let Some(view) = view else {
        return RuntimeStep { turn: toolkit.turn, step: None, wake: toolkit.wake };
    };
    if let Some(out) = docker_cdi::take_out(view, &toolkit, memory) {
        return out;
    }
    let runtime = nvidia_runtime::runtime(view, toolkit, world.wish.deploy_toolkit, memory);
    memory.begun |= runtime.step.is_some();
    docker_cdi::enable(view, runtime, &mut memory.cdi)
}

/// The image that the look of a role was about.
fn asked(world: &NvidiaWorld, role: NvidiaRole) -> Option<crate::image_ref::ImageRef> {
    let image = world.image(role)?.as_ref().ok()?;
    let record = record_for(&world.wish, &world.record, &world.boot_id);
    world.wish.deploys(role).then(|| image_to_look_at(role, &world.wish, image, &record))
}

fn view(
    world: &NvidiaWorld,
    role: NvidiaRole,
    asked: Option<crate::image_ref::ImageRef>,
    waits: Option<String>,
) -> Option<RoleView<'_>> {
    let look = world.look(role).as_ref().ok()?;
    Some(RoleView { role, world, look, asked, waits })
}

fn role_step(
    view: Option<&RoleView<'_>>,
    world: &NvidiaWorld,
    role: NvidiaRole,
    memory: &mut NvidiaMemory,
    has_left: bool,
) -> RoleStep {
    let view = match (view, world.look(role)) {
        (Some(view), Ok(_)) => view,
        (_, look) => {
            if let Some(NvidiaBegun::Start(start)) = &mut memory.begun {
                start.docker_was_away = true;
            }
            let nothing = !world.wish.deploys(role) && *memory == NvidiaMemory::default();
            let why = look.as_ref().err().cloned().unwrap_or_default();
            let wake = if nothing { Wake::Never } else { Wake::Soon };
            let phase = if nothing { NvidiaPhase::Disabled } else { NvidiaPhase::Unknown { why } };
            return RoleStep::shows(phase, wake);
        }
    };
    let answered =
        world.last.as_ref().filter(|end| matches!(&end.act, NvidiaAct::Container(deed) if deed.role() == role));
    let settling = Settling { look: view.look, answered: answered.map(|end| &end.result), now: view.now() };
    let log_of = settling.settle(memory);
    let gone = |id: &crate::ids::ContainerId| !view.look.containers.iter().any(|one| one.id == *id);
    if memory.rebuild.as_ref().is_some_and(gone) {
        memory.rebuild = None;
    }
    let mut step = if world.wish.deploys(role) { wished(view, memory) } else { unwished(view, memory, has_left) };
    step.turn.log_of = step.turn.log_of.or(log_of);
    let shown = view.ours().find(|one| is_up(one)).or_else(|| view.ours().next_back());
    step.turn.container = shown.map(|one| one.id.clone());
    step
}
