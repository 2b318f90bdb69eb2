//! The code broken on purpose in nine ways: the search must find each.

use crate::explore::{Budget, Mutant};
use crate::mig_worlds::mig_worlds;
use crate::worlds::{World, damaged_worlds};
use crate::{search, search_all};

const BUDGET: Budget = Budget { faults: 1, crashes: 1, others: 0, damages: 0 };

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
    let budget = Budget { faults: 2, crashes: 0, others: 0, damages: 0 };
    found(budget, Mutant::RestoreNotVerified, small, &["NoEffect", "said restored"]);
}

#[test]
fn overrides_after_unbinding_are_found() {
    let budget = Budget { faults: 0, crashes: 0, others: 1, damages: 0 };
    let verdict = search_all(budget, Mutant::OverrideAfterUnbind, |w| w.comes_home && w.name.starts_with("bind"));
    assert!(verdict.restored > 0, "a probe by others in between takes the function back, and the change fails");
}

#[test]
fn taking_an_unreadable_entry_for_none_is_found() {
    let budget = Budget { faults: 0, crashes: 0, others: 0, damages: 0 };
    let verdict = search(damaged_worlds(), budget, Mutant::ForgetUnread, small);
    let each_world = damaged_worlds().iter().filter(|world| small(world)).count();
    assert_eq!(verdict.violations.len(), each_world, "each world loses its record");
    assert!(verdict.violations.iter().all(|run| run.contains("the way home is lost")), "{:#?}", verdict.violations);
}

/// The search over the GPUs with MIG finds it, and among what it finds is a run with all these words.
fn found_in_mig(budget: Budget, mutant: Mutant, pick: impl Fn(&World) -> bool, words: &[&str]) {
    let verdict = search(mig_worlds(), budget, mutant, pick);
    println!("{mutant:?} of MIG: {} violations in {} runs", verdict.violations.len(), verdict.runs);
    let telling = verdict.violations.iter().any(|run| words.iter().all(|word| run.contains(word)));
    assert!(telling, "{mutant:?} was not found: {:#?}", verdict.violations.first());
}

#[test]
fn destroying_what_is_in_use_is_found() {
    let well = Budget { faults: 0, crashes: 0, others: 0, damages: 0 };
    // The driver lets a container's instance go where nothing runs on it: nobody but the plan protects it.
    let container = |world: &World| world.name.contains("container");
    found_in_mig(well, Mutant::DestroyUsed, container, &["in use or somebody else's, and was touched"]);
}

#[test]
fn undoing_what_others_did_is_found() {
    let budget = Budget { faults: 1, crashes: 0, others: 1, damages: 0 };
    found_in_mig(budget, Mutant::UndoEverything, |_| true, &["what somebody else did was undone: Creates"]);
    found_in_mig(budget, Mutant::UndoEverything, |_| true, &["what somebody else did was undone: Destroys"]);
}

#[test]
fn creating_before_destroying_is_found() {
    let well = Budget { faults: 0, crashes: 0, others: 0, damages: 0 };
    let goes_and_comes = |world: &World| world.name.contains("for a");
    let verdict = search(mig_worlds(), well, Mutant::CreateFirst, goes_and_comes);
    assert!(verdict.restored > 0 && verdict.done == 0, "there is no room yet, and the change fails: {verdict:?}");
    let right = search(mig_worlds(), well, Mutant::None, goes_and_comes);
    assert!(right.done > 0 && right.restored == 0, "{right:?}");
}

#[test]
fn believing_the_steps_and_a_late_journal_are_found_in_mig() {
    found_in_mig(BUDGET, Mutant::NoVerify, |_| true, &["NoEffect", "said done"]);
    found_in_mig(BUDGET, Mutant::JournalLate, |_| true, &["crash", "no entry after a crash"]);
    let two = Budget { faults: 2, crashes: 0, others: 0, damages: 0 };
    let inside = |world: &World| world.name.contains("inside");
    found_in_mig(two, Mutant::RestoreNotVerified, inside, &["NoEffect", "said restored"]);
}
