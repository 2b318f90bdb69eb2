//! A container that is not wished: stopped where nobody uses it, removed, and forgotten.

use super::nvidia_deed::NvidiaDeed;
use super::nvidia_memory::NvidiaMemory;
use super::nvidia_phase::{NvidiaHold, NvidiaPhase};
use super::nvidia_role_view::{RoleStep, RoleView, Wake, is_up};

/// The turn of a role that is not wished. `has_left` is whether it has set up something on the host besides its container.
pub(super) fn unwished(view: &RoleView<'_>, memory: &mut NvidiaMemory, has_left: bool) -> RoleStep {
    let is_lost = memory.is_over_files && view.world.deployed_over_files(view.role) != Some(false);
    let foreign = view.foreign().map(|(name, why)| NvidiaHold::ForeignContainer { name, why });
    let Some(container) = view.ours().find(|one| is_up(one)).or_else(|| view.ours().next()) else {
        if is_lost && has_left {
            let hold = Some(NvidiaHold::UnclaimedOnHost);
            return RoleStep::shows(NvidiaPhase::Disabled, Wake::Steady).with(foreign).with(hold);
        }
        *memory = NvidiaMemory::default();
        let wake = if foreign.is_some() { Wake::Steady } else { Wake::Never };
        return RoleStep::shows(NvidiaPhase::Disabled, wake).with(foreign);
    };
    if memory.wish.is_none() || is_lost {
        let phase = if is_up(container) { view.running_phase() } else { NvidiaPhase::Disabled };
        let hold = NvidiaHold::Unclaimed { name: container.name.clone() };
        return RoleStep::shows(phase, Wake::Steady).with(Some(hold));
    }
    if let Some(failed) = view.failed(memory.failures.gate(view.now())) {
        return failed.with(foreign);
    }
    let (role, id) = (view.role, container.id.clone());
    if !is_up(container) {
        let deed = NvidiaDeed::Remove { role, id };
        return RoleStep::does(NvidiaPhase::Stopping { step: deed.to_string() }, deed).with(foreign);
    }
    if let Some(hold) = view.in_use() {
        let phase = NvidiaPhase::Stopping { step: "no process may use the driver".to_owned() };
        return RoleStep::shows(phase, Wake::Steady).with(Some(hold));
    }
    let deed = NvidiaDeed::Stop { role, id };
    RoleStep::does(NvidiaPhase::Stopping { step: deed.to_string() }, deed).with(foreign)
}
