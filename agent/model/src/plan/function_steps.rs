//! The steps from what is to what is wanted: the one way in which functions change drivers, for binding, release and restoring.

use super::function_settings::{FunctionSettings, PowerControl};
use super::group_state::{GroupState, ModuleState};
use super::step::Step;
use crate::ids::DriverName;

/// The steps that bring the functions from what was seen to what is wanted. A function that is not there gets none.
///
/// The order is what makes it safe. Every `driver_override` is set before anything is unbound, so that no probe by anybody can
/// give a function to the wrong driver; it names the wanted driver even where the wanted override is another one, and that
/// one is set at the end. A value that cannot be read counts as different.
#[must_use]
pub fn steps_between(seen: &GroupState, wanted: &[FunctionSettings]) -> Vec<Step> {
    let moves: Vec<Move<'_>> = wanted.iter().filter_map(|wanted| Move::of(seen, wanted)).collect();
    let vfio =
        moves.iter().filter(|m| m.changes_driver()).find_map(|m| m.wanted.driver.as_ref().filter(|d| d.is_vfio()));
    let mut steps: Vec<Step> = Vec::new();
    if let Some(driver) = vfio.filter(|_| seen.module != ModuleState::Loaded) {
        steps.push(Step::LoadModule { driver: driver.clone() });
    }
    steps.extend(moves.iter().filter_map(Move::first_override));
    steps.extend(moves.iter().filter_map(Move::unbind));
    steps.extend(moves.iter().filter_map(Move::probe));
    steps.extend(moves.iter().filter_map(Move::last_override));
    steps.extend(moves.iter().flat_map(Move::power));
    steps
}

/// One function on its way.
struct Move<'a> {
    seen: &'a super::group_state::MemberState,
    wanted: &'a FunctionSettings,
}

impl<'a> Move<'a> {
    fn of(seen: &'a GroupState, wanted: &'a FunctionSettings) -> Option<Self> {
        seen.member(wanted.address).map(|seen| Self { seen, wanted })
    }

    fn changes_driver(&self) -> bool {
        match &self.wanted.driver {
            Some(driver) => self.seen.driver.known() != Some(driver),
            None => !self.seen.driver.is_none(),
        }
    }

    fn has_override(&self, value: Option<&DriverName>) -> bool {
        match value {
            Some(driver) => self.seen.driver_override.known() == Some(driver),
            None => self.seen.driver_override.is_none(),
        }
    }

    /// The override while the function moves: the wanted driver. A function that is to stay without a driver gets its final
    /// override at once, for nothing is probed.
    fn override_on_the_way(&self) -> Option<&DriverName> {
        if self.changes_driver() && self.wanted.driver.is_some() {
            self.wanted.driver.as_ref()
        } else {
            self.wanted.driver_override.as_ref()
        }
    }

    fn set_override(&self, to: Option<&DriverName>) -> Step {
        Step::SetDriverOverride { address: self.wanted.address, to: to.cloned() }
    }

    fn first_override(&self) -> Option<Step> {
        let to = self.override_on_the_way();
        (!self.has_override(to)).then(|| self.set_override(to))
    }

    fn unbind(&self) -> Option<Step> {
        let driver = self.seen.driver.known().filter(|_| self.changes_driver())?;
        Some(Step::Unbind { address: self.wanted.address, driver: driver.clone() })
    }

    fn probe(&self) -> Option<Step> {
        let probes = self.changes_driver() && self.wanted.driver.is_some();
        probes.then_some(Step::Probe { address: self.wanted.address })
    }

    fn last_override(&self) -> Option<Step> {
        let last = self.wanted.driver_override.as_ref();
        (self.override_on_the_way() != last).then(|| self.set_override(last))
    }

    fn power(&self) -> Vec<Step> {
        let address = self.wanted.address;
        let d3cold = self.wanted.d3cold_allowed.filter(|allowed| self.seen.d3cold_allowed.get() != Some(*allowed));
        // Drivers write it for themselves as they come and go: vfio-pci lets the function sleep, and wakes it for good.
        let differs = |to: &PowerControl| self.changes_driver() || self.seen.power_control.get() != Some(*to);
        let control = self.wanted.power_control.filter(differs);
        let d3cold = d3cold.map(|allowed| Step::SetD3cold { address, allowed });
        d3cold.into_iter().chain(control.map(|to| Step::SetPowerControl { address, to })).collect()
    }
}
