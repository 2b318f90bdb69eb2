//! Searches every way in which a change can go wrong: each start world, with faults and crashes at each point of each run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails panics")]

mod broken;
mod explore;
mod mig_worlds;
mod mutants;
mod shown;
mod unplugged;
mod wide_hasher;
mod worlds;

use explore::{Budget, Mutant, Search, Verdict};
use mig_worlds::mig_worlds;
use worlds::{World, damaged_worlds, worlds};

fn search_all(budget: Budget, mutant: Mutant, pick: impl Fn(&World) -> bool) -> Verdict {
    search(worlds(), budget, mutant, pick)
}

fn search(worlds: Vec<World>, budget: Budget, mutant: Mutant, pick: impl Fn(&World) -> bool) -> Verdict {
    let mut total = Verdict::default();
    for world in worlds.into_iter().filter(|world| pick(world)) {
        let mut search = Search::new(&world, mutant);
        search.run(budget);
        total.add(search.verdict);
    }
    total
}

fn tell(what: &str, verdict: &Verdict) {
    println!(
        "{what}: {} runs in {} states; done {}, restored {}, untouched {}, quarantined {}, rebooted {}, held {}",
        verdict.runs,
        verdict.states,
        verdict.done,
        verdict.restored,
        verdict.untouched,
        verdict.quarantined,
        verdict.rebooted,
        verdict.held
    );
}

#[test]
fn two_faults_and_a_crash_anywhere_never_leave_the_host_in_between() {
    let verdict =
        search_all(Budget { faults: 2, crashes: 1, others: 0, damages: 0 }, Mutant::None, |world| world.functions == 1);
    tell("two faults, one crash", &verdict);
    verdict.assert_clean();
    assert!(verdict.done > 0 && verdict.restored > 0 && verdict.untouched > 0 && verdict.quarantined > 0);
}

#[test]
fn one_fault_and_a_crash_never_leave_any_world_in_between() {
    let verdict = search_all(Budget { faults: 1, crashes: 1, others: 0, damages: 0 }, Mutant::None, |_| true);
    tell("one fault, one crash", &verdict);
    verdict.assert_clean();
}

#[test]
fn one_fault_and_a_crash_never_leave_a_mig_layout_in_between() {
    let budget = Budget { faults: 1, crashes: 1, others: 0, damages: 0 };
    let verdict = search(mig_worlds(), budget, Mutant::None, |_| true);
    tell("MIG, one fault, one crash", &verdict);
    verdict.assert_clean();
    assert!(verdict.done > 0 && verdict.restored > 0 && verdict.untouched > 0 && verdict.quarantined > 0);
}

#[test]
fn what_somebody_else_does_to_mig_in_between_is_never_undone() {
    for budget in [
        Budget { faults: 0, crashes: 1, others: 2, damages: 0 },
        Budget { faults: 1, crashes: 0, others: 1, damages: 0 },
    ] {
        let verdict = search(mig_worlds(), budget, Mutant::None, |_| true);
        tell("MIG, others in between", &verdict);
        verdict.assert_clean();
        assert!(verdict.done > 0 && verdict.restored > 0);
    }
}

#[test]
#[ignore = "takes minutes: cargo test -p sim --test search -- --ignored"]
fn two_faults_two_crashes_and_somebody_else_never_leave_a_mig_layout_in_between() {
    let budget = Budget { faults: 2, crashes: 2, others: 1, damages: 0 };
    let verdict = search(mig_worlds(), budget, Mutant::None, |_| true);
    tell("MIG, two faults, two crashes, somebody else", &verdict);
    verdict.assert_clean();
}

#[test]
#[ignore = "takes minutes: cargo test -p sim --test search -- --ignored"]
fn two_faults_and_two_crashes_never_leave_any_world_in_between() {
    let verdict = search_all(Budget { faults: 2, crashes: 2, others: 0, damages: 0 }, Mutant::None, |_| true);
    tell("two faults, two crashes", &verdict);
    verdict.assert_clean();
}

#[test]
fn somebody_elses_probe_at_any_time_costs_nothing() {
    let settled = |world: &World| world.comes_home;
    let verdict = search_all(Budget { faults: 0, crashes: 0, others: 2, damages: 0 }, Mutant::None, settled);
    tell("two probes by others", &verdict);
    verdict.assert_clean();
    assert_eq!(verdict.restored + verdict.untouched + verdict.quarantined, 0, "without a fault every change is done");
}

#[test]
fn an_entry_that_cannot_be_read_holds_its_lane_and_stays() {
    let budget = Budget { faults: 1, crashes: 1, others: 0, damages: 0 };
    let verdict = search(damaged_worlds(), budget, Mutant::None, |_| true);
    tell("unreadable entries", &verdict);
    verdict.assert_clean();
    assert_eq!(verdict.done + verdict.restored + verdict.untouched + verdict.quarantined, 0, "nothing was begun");
    assert_eq!(verdict.held, 4 * u64::try_from(worlds().len()).unwrap());
}

#[test]
fn a_crash_that_damages_the_entry_leaves_what_is_left_of_it() {
    let budget = Budget { faults: 1, crashes: 1, others: 0, damages: 1 };
    let verdict = search_all(budget, Mutant::None, |world| world.functions == 1);
    tell("crashes that damage the entry", &verdict);
    verdict.assert_clean();
    assert!(verdict.held > 100, "{}", verdict.held);
}

#[test]
fn what_must_be_refused_is_refused_before_the_first_step() {
    for (name, code, result) in worlds::refused() {
        let refusal = result.err().unwrap_or_else(|| panic!("{name} was not refused"));
        assert_eq!(refusal.code(), code, "{name}: {refusal}");
    }
}
