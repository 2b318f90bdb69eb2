//! Pulls the card out before each thing that a change does, and puts it back: the change ends, and the record never lies.

use crate::worlds::{BOOT, GPU, World, at, binding, look, take, worlds};
use model::change::{AtStart, ChangeMachine, Effect, Event, Outcome, at_start, decode, encode};
use model::policy::Act;
use model::time::BootMillis;
use sim::state::HostState;

const NOW: BootMillis = BootMillis(1_000_000);
/// Far more than any change does.
const MOST: usize = 500;

/// A change under way on a host, with its record on disk.
struct Run {
    host: HostState,
    disk: Option<Vec<u8>>,
    taken: usize,
}

impl Run {
    fn new(world: &World) -> Self {
        let disk = world.standing.as_ref().map(|entry| encode(entry).unwrap());
        Self { host: world.host.clone(), disk, taken: 0 }
    }

    /// Goes on to the end; before the thing of that number the card is pulled out.
    fn on(&mut self, world: &World, mut machine: ChangeMachine, pull_before: usize) -> Outcome {
        for _ in 0..MOST {
            if self.taken == pull_before {
                self.host.unplug(at(GPU)).unwrap();
            }
            self.taken += 1;
            let happened = match machine.to_do() {
                Effect::End(outcome) => return outcome,
                Effect::Look => Event::Looked(Ok(Box::new(look(&self.host, &world.entry.plan.bounds.target)))),
                Effect::Take(step) => Event::Took(take(&mut self.host, &step, None)),
                Effect::Journal(entry) => {
                    self.disk = Some(encode(&entry).unwrap());
                    Event::Journaled(Ok(()))
                }
                Effect::Forget => {
                    self.disk = None;
                    Event::Journaled(Ok(()))
                }
            };
            machine.happened(happened);
        }
        panic!("{}, pulled before {pull_before}: the change never ends", world.name);
    }

    /// The record says that the change is not settled.
    fn is_open(&self) -> bool {
        self.disk.as_ref().is_some_and(|bytes| !decode("the entry", bytes).unwrap().is_given())
    }

    fn others_are_untouched(&self, world: &World) -> bool {
        let is_other = |at: &model::PciAddress| !world.entry.plan.bounds.target.functions().contains(at);
        let others = world.host.bus.functions.iter().filter(|(at, _)| is_other(at));
        self.host.bus.functions.iter().filter(|(at, _)| is_other(at)).eq(others)
    }
}

#[test]
fn a_card_that_is_pulled_out_at_any_point_ends_its_change_and_harms_nobody() {
    let mut pulled = 0;
    for world in worlds() {
        let begin = || ChangeMachine::begin(world.entry.clone(), NOW);
        let mut whole = Run::new(&world);
        assert_eq!(whole.on(&world, begin(), usize::MAX), Outcome::Done, "{}", world.name);
        // The last thing is the end, the one before it the record of a change that has been seen to be done.
        let record = whole.taken - 2;
        for pull_before in 0..=record {
            let what = format!("{}, pulled before {pull_before}", world.name);
            let mut run = Run::new(&world);
            let outcome = run.on(&world, begin(), pull_before);
            assert_eq!(outcome == Outcome::Done, pull_before == record, "{what}: {outcome:?}");
            assert!(!matches!(outcome, Outcome::Quarantined(_)), "{what}: nothing is left to be kept from anybody");
            assert!(!run.is_open(), "{what}: the record keeps the lane for a card that is no more");
            assert!(run.others_are_untouched(&world), "{what}: another function was changed");
            pulled += 1;
        }
    }
    assert!(pulled > 200, "{pulled} points");
}

#[test]
fn a_card_that_was_pulled_out_while_it_was_given_can_be_given_once_it_is_back() {
    for world in worlds().into_iter().filter(|world| world.entry.operation == Act::PassthroughBind) {
        for pull_before in 0..6 {
            let mut run = Run::new(&world);
            run.on(&world, ChangeMachine::begin(world.entry.clone(), NOW), pull_before);
            run.host.plug(at(GPU)).unwrap();
            let again = binding(&world.name, run.host, true);
            let outcome = Run::new(&again).on(&again, ChangeMachine::begin(again.entry.clone(), NOW), usize::MAX);
            assert_eq!(outcome, Outcome::Done, "{}, pulled before {pull_before}", world.name);
        }
    }
}

#[test]
fn a_daemon_that_died_with_the_card_finds_the_record_and_settles_it() {
    for world in worlds() {
        let mut run = Run::new(&world);
        run.disk = Some(encode(&world.entry).unwrap());
        let entry = decode("the entry", run.disk.as_ref().unwrap()).unwrap();
        assert_eq!(at_start(&entry, BOOT), AtStart::Restore);
        let outcome = run.on(&world, ChangeMachine::recover(entry, NOW), 0);
        assert!(matches!(outcome, Outcome::Restored(_)), "{}: {outcome:?}", world.name);
        assert!(!run.is_open(), "{}", world.name);
    }
}
