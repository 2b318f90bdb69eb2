//! The host around a driver container: prepared before each start, marked ready after it, and taken back once the container is gone.

use super::driver_host_memory::DriverHostMemory;
use super::driver_host_seen::DriverHostSeen;
use super::nvidia_deed::NvidiaDeed;
use super::nvidia_failures::{NvidiaFailures, NvidiaGate};
use super::nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use super::nvidia_role_view::{RoleStep, RoleView, Wake, is_up};
use super::nvidia_turn::NvidiaAct;
use super::nvidia_world::{NvidiaActEnd, NvidiaWorld};
use crate::driver_host::{DriverHostStep, MountStep, is_busy_mount, next_unmount, share_plan, unshare_step};

/// Settles what the last step answered. Without an answer the step is simply due again.
pub(super) fn settle(world: &NvidiaWorld, memory: &mut DriverHostMemory) {
    let Some(begun) = memory.begun.take() else { return };
    let Some(NvidiaActEnd { act: NvidiaAct::DriverHost(step), result }) = &world.last else { return };
    if *step != begun {
        return;
    }
    match result {
        Ok(_) => (memory.busy, memory.failures) = (None, NvidiaFailures::default()),
        Err(why) => {
            if let DriverHostStep::Mounts(MountStep::Unmount { path, lazily: None }) = step
                && is_busy_mount(why)
            {
                memory.busy = Some(path.clone());
            }
            memory.failures.fail(world.now.boot, NvidiaFault::HostStep, why);
        }
    }
}

/// The part about the host, behind what the driver container comes to.
pub(super) fn around(
    view: &RoleView<'_>,
    driver: RoleStep,
    memory: &mut DriverHostMemory,
) -> (RoleStep, Option<DriverHostStep>) {
    let wished = view.world.wish.deploys(NvidiaRole::Driver);
    let runs = view.ours().any(is_up);
    let starts = matches!(driver.deed, Some(NvidiaDeed::Start { .. }));
    memory.is_ours |= wished && (runs || starts);
    let seen = match &view.world.host.driver_host {
        Ok(seen) => seen,
        Err(why) if starts => {
            let why = format!("the host of the driver container could not be looked at: {why}");
            return (RoleStep::shows(NvidiaPhase::Absent { why }, Wake::Soon), None);
        }
        Err(_) => return (driver, None),
    };
    let step = if starts {
        before_start(seen)
    } else if driver.deed.is_some() || !memory.is_ours {
        None
    } else if !wished {
        return take_back(view, seen, driver, memory);
    } else if runs {
        let is_due = driver.turn.phase == NvidiaPhase::Ready && view.world.policy.driver && !seen.is_marked_ready();
        is_due.then_some(DriverHostStep::WriteReadiness)
    } else {
        // No other container may take a driver that has exited for a ready one.
        (!seen.readiness_files.is_empty() && !seen.entrypoint_runs).then_some(DriverHostStep::RemoveReadiness)
    };
    let Some(step) = step else { return (driver, None) };
    let gate = memory.failures.gate(view.now());
    match (&gate, starts) {
        (NvidiaGate::Open, _) => (RoleStep { deed: None, wake: Wake::Soon, ..driver }, Some(step)),
        (NvidiaGate::Shut { .. }, true) => (view.failed(gate).unwrap_or(driver), None),
        (NvidiaGate::Shut { reason, until, .. }, false) => {
            let (reason, wake) = (reason.clone(), until.map_or(driver.wake, Wake::At));
            (RoleStep { wake, ..driver }.with(Some(NvidiaHold::HostStepFailed { reason })), None)
        }
    }
}

/// What a driver container needs before it starts.
fn before_start(seen: &DriverHostSeen) -> Option<DriverHostStep> {
    let share = seen.mounts.as_ref().and_then(|mounts| share_plan(mounts).into_iter().next());
    let remove = || (!seen.readiness_files.is_empty()).then_some(DriverHostStep::RemoveReadiness);
    share.map(DriverHostStep::Mounts).or_else(remove)
}

/// The container is gone: one step after the other, until the host is as it was before the first start.
fn take_back(
    view: &RoleView<'_>,
    seen: &DriverHostSeen,
    driver: RoleStep,
    memory: &mut DriverHostMemory,
) -> (RoleStep, Option<DriverHostStep>) {
    let is_claimed = !matches!(driver.turn.hold, Some(NvidiaHold::UnclaimedOnHost));
    if view.ours().next().is_some() || !is_claimed {
        return (driver, None);
    }
    let left = |driver: RoleStep, reason: String, wake: Wake| {
        (RoleStep { wake, ..driver }.with(Some(NvidiaHold::Leftover { reason })), None)
    };
    if seen.entrypoint_runs {
        let reason = "another program's driver container runs (it holds /run/nvidia/nvidia-driver.pid): what is \
                      mounted below /run/nvidia is not unmounted while it does";
        return left(driver, reason.to_owned(), Wake::Steady);
    }
    let Some(mounts) = &seen.mounts else {
        return left(driver, "what is mounted below /run/nvidia could not be read".to_owned(), Wake::Steady);
    };
    let unmount = || next_unmount(mounts, memory.busy.as_deref()).or(unshare_step(mounts, seen.is_shared_by_us));
    let step = if seen.readiness_files.is_empty() {
        unmount().map(DriverHostStep::Mounts)
    } else {
        Some(DriverHostStep::RemoveReadiness)
    };
    let Some(step) = step else {
        *memory = DriverHostMemory::default();
        return (driver, None);
    };
    match memory.failures.gate(view.now()) {
        NvidiaGate::Shut { reason, until, .. } => left(driver, reason, until.map_or(Wake::Steady, Wake::At)),
        NvidiaGate::Open => {
            let hold = driver.turn.hold.clone();
            (RoleStep::shows(NvidiaPhase::Stopping { step: step.to_string() }, Wake::Soon).with(hold), Some(step))
        }
    }
}
