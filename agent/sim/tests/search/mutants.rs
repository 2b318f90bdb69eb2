//! The code broken on purpose in six ways: the search must find each.

use crate::explore::{Budget, Mutant};
use crate::worlds::{World, damaged_worlds};
use crate::{search, search_all};
use model::plan::{FunctionSettings, GroupState, MemberState, ModuleState};
use model::{Absence, PciClass, PciId, Reading};

const BUDGET: Budget = Budget { faults: 1, crashes: 1, probes: 0, damages: 0 };

/// The search finds it, and among what it finds is a run with all these words.
fn found(budget: Budget, mutant: Mutant, pick: impl Fn(&World) -> bool, words: &[&str]) {
    let verdict = search_all(budget, mutant, pick);
    println!("{mutant:?}: {} violations in {} runs", verdict.violations.len(), verdict.runs);
    let telling = verdict.violations.iter().any(|run| words.iter().all(|word| run.contains(word)));
    assert!(telling, "{mutant:?} was not found: {:#?}", verdict.violations.first());
}

fn small(world: &World) -> bool {
    world.functions == 1
}

#[test]
fn believing_the_steps_is_found() {
    found(BUDGET, Mutant::NoVerify, small, &["NoEffect", "said done"]);
}

#[test]
fn an_undo_stack_is_found() {
    found(BUDGET, Mutant::UndoStack, |w| small(w) && w.name.starts_with("bind"), &["NoEffect", "said restored"]);
}

#[test]
fn a_late_journal_is_found() {
    let binds = |w: &World| small(w) && w.name.starts_with("bind");
    found(BUDGET, Mutant::JournalLate, binds, &["crash", "no entry after a crash"]);
}

#[test]
fn restoring_without_a_look_is_found() {
    let budget = Budget { faults: 2, crashes: 0, probes: 0, damages: 0 };
    found(budget, Mutant::RestoreNotVerified, small, &["NoEffect", "said restored"]);
}

#[test]
fn overrides_after_unbinding_are_found() {
    let budget = Budget { faults: 0, crashes: 0, probes: 1, damages: 0 };
    let verdict = search_all(budget, Mutant::OverrideAfterUnbind, |w| w.comes_home && w.name.starts_with("bind"));
    assert!(verdict.restored > 0, "a probe by others in between takes the function back, and the change fails");
}

#[test]
fn taking_an_unreadable_entry_for_none_is_found() {
    let budget = Budget { faults: 0, crashes: 0, probes: 0, damages: 0 };
    let verdict = search(damaged_worlds(), budget, Mutant::ForgetUnread, small);
    let each_world = damaged_worlds().iter().filter(|world| small(world)).count();
    assert_eq!(verdict.violations.len(), each_world, "each world loses its record");
    assert!(verdict.violations.iter().all(|run| run.contains("the way home is lost")), "{:#?}", verdict.violations);
}

/// A look that shows nothing.
pub(crate) fn empty_look() -> GroupState {
    GroupState {
        group: Reading::Absent(Absence::None),
        no_iommu: false,
        members: Vec::new(),
        vfio_node: false,
        variant: None,
        module: ModuleState::Loaded,
    }
}

/// A member that shows exactly this.
pub(crate) fn member_like(settled: &FunctionSettings) -> MemberState {
    fn reading<T: Clone>(value: Option<&T>) -> Reading<T> {
        value.map_or(Reading::Absent(Absence::None), |value| Reading::Known(value.clone()))
    }
    MemberState {
        address: settled.address,
        id: Reading::Known(PciId { vendor: 0x10de, device: 0x2230 }),
        class: Reading::Known(PciClass(0x03_02_00)),
        driver: reading(settled.driver.as_ref()),
        driver_override: reading(settled.driver_override.as_ref()),
        d3cold_allowed: reading(settled.d3cold_allowed.as_ref()),
        power_control: reading(settled.power_control.as_ref()),
        mediated_devices: Reading::Absent(Absence::None),
        virtual_functions: Reading::Known(0),
        console: None,
        usb_devices: Vec::new(),
    }
}
