//! The fetching of desired state in virtual time: behind which heartbeat, at whom, and what follows from each answer.

use crate::world::UP;
use model::checkin::features::ManagerFeatures;
use model::checkin::poll::{KNOWN_AGAIN_MS, POLL_EACH_MS, POLL_GAP_MS, POLL_WAIT_S};
use model::checkin::{
    DeliveryFailure, DesiredFetch, KeyId, ManagerAddress, Poll, PollAction, PollAnswer, PollMachine, ReplyHints,
};
use model::desired::{DocumentId, Epoch};
use model::time::BootMillis;
use proptest::prelude::*;

const HOUR_MS: u64 = 3_600_000;

fn id(revision: u64) -> DocumentId {
    DocumentId { epoch: Epoch::try_from("b0f4".to_owned()).unwrap(), revision: revision.try_into().unwrap() }
}

fn newest(revision: u64) -> ReplyHints {
    ReplyHints { newest: Some(id(revision)), embedded: false }
}

/// A machine, its clock, and a manager of which it is known what it can do.
struct World {
    machine: PollMachine,
    now: BootMillis,
    manager: ManagerAddress,
    key: KeyId,
    long_poll: Option<bool>,
    interval_s: u64,
}

impl World {
    fn new(long_poll: Option<bool>) -> Self {
        let manager = ManagerAddress::new("a", 443);
        Self { machine: PollMachine::default(), now: UP, manager, key: KeyId(1), long_poll, interval_s: 30 }
    }

    fn beat(&mut self, hints: ReplyHints) {
        let features = self.long_poll.map(|long_poll| ManagerFeatures { gzip: false, long_poll, events: false });
        self.machine.on_accepted(self.now, (&self.manager, self.key), features, self.interval_s, hints);
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
    }

    /// The request that is opened now.
    fn open(&mut self) -> Poll {
        match self.machine.next(self.now) {
            PollAction::Open(poll) => poll,
            other @ (PollAction::Wait(_) | PollAction::Drop) => panic!("{other:?} where a request is due"),
        }
    }

    /// Nothing is opened before that many milliseconds, and nothing at all where it is `None`.
    fn rests(&mut self, millis: Option<u64>) {
        assert_eq!(self.machine.next(self.now), PollAction::Wait(millis.map(|millis| self.now.plus(millis))));
    }

    fn answer(&mut self, poll: &Poll, answer: PollAnswer) {
        self.machine.on_answer(self.now, poll.number, answer);
    }

    fn way(&self) -> DesiredFetch {
        self.machine.way(self.now)
    }
}

#[test]
fn t38_nothing_is_opened_but_behind_an_accepted_heartbeat_at_its_manager_with_its_credential() {
    let mut world = World::new(Some(true));
    world.rests(None);
    world.machine.on_not_accepted(None);
    world.rests(None);
    world.machine.on_held(Some(&id(7)), None);
    world.beat(ReplyHints::default());
    let poll = world.open();
    assert_eq!((poll.manager.host.as_str(), poll.key, poll.wait_s), ("a", KeyId(1), POLL_WAIT_S));
    assert_eq!(poll.held, Some(id(7)));
    world.rests(None);
    assert_eq!(world.way(), DesiredFetch::LongPoll);
}

#[test]
fn t38_another_manager_or_credential_ends_the_request_and_the_next_one_goes_there() {
    for other_manager in [true, false] {
        let mut world = World::new(Some(true));
        world.beat(ReplyHints::default());
        let first = world.open();
        world.pass(30_000);
        world.beat(ReplyHints::default());
        world.rests(None);
        if other_manager {
            world.manager = ManagerAddress::new("b", 443);
        } else {
            world.key = KeyId(2);
        }
        world.pass(10);
        world.beat(ReplyHints::default());
        assert_eq!(world.machine.next(world.now), PollAction::Drop);
        let second = world.open();
        assert_eq!((&second.manager, second.key), (&world.manager, world.key));
        // What was given up and answers all the same changes nothing.
        world.answer(&first, PollAnswer::NoPath);
        world.rests(None);
        assert_eq!(world.way(), DesiredFetch::LongPoll);
    }
}

#[test]
fn t38_a_request_that_breaks_or_is_refused_waits_for_the_next_accepted_heartbeat() {
    for answer in [PollAnswer::Broken, PollAnswer::Refused { retry_after_ms: None }] {
        let mut world = World::new(Some(true));
        world.beat(ReplyHints::default());
        let poll = world.open();
        world.pass(10_000);
        world.answer(&poll, answer);
        world.rests(None);
        world.pass(15_000);
        world.machine.on_not_accepted(Some(DeliveryFailure::Unreachable));
        world.rests(None);
        world.pass(5000);
        world.beat(ReplyHints::default());
        assert_eq!(world.open().wait_s, POLL_WAIT_S);
    }
}

#[test]
fn a_manager_that_asks_for_a_pause_is_left_alone_and_asked_behind_a_heartbeat_after_it() {
    let mut world = World::new(Some(true));
    world.beat(newest(9));
    let poll = world.open();
    world.answer(&poll, PollAnswer::Refused { retry_after_ms: Some(45_000) });
    world.pass(30_000);
    world.beat(newest(9));
    world.rests(None);
    world.pass(30_000);
    world.beat(newest(9));
    world.open();
}

#[test]
fn a_heartbeat_that_is_lost_leaves_the_request_open_and_one_that_speaks_of_the_host_ends_it() {
    for (trouble, ends) in [
        (None, false),
        (Some(DeliveryFailure::Unreachable), false),
        (Some(DeliveryFailure::RateLimited), false),
        (Some(DeliveryFailure::RejectedReport), false),
        (Some(DeliveryFailure::Unauthenticated), true),
        (Some(DeliveryFailure::PendingApproval), true),
        (Some(DeliveryFailure::DuplicateIdentity), true),
        (Some(DeliveryFailure::UpgradeRequired), true),
        (Some(DeliveryFailure::UnknownAgent), true),
        (Some(DeliveryFailure::PerhapsDeleted), true),
    ] {
        let mut world = World::new(Some(true));
        world.beat(ReplyHints::default());
        let poll = world.open();
        world.machine.on_not_accepted(trouble);
        assert_eq!(world.machine.next(world.now) == PollAction::Drop, ends, "{trouble:?}");
        world.answer(&poll, PollAnswer::Unchanged);
        world.rests(None);
    }
}

#[test]
fn t13_a_long_poll_that_was_held_is_opened_again_at_once() {
    let mut world = World::new(Some(true));
    world.beat(ReplyHints::default());
    for _ in 0..100 {
        let poll = world.open();
        world.pass(55_000);
        world.beat(ReplyHints::default());
        world.answer(&poll, PollAnswer::Unchanged);
    }
    world.machine.on_held(Some(&id(8)), None);
    let poll = world.open();
    world.pass(POLL_GAP_MS);
    world.answer(&poll, PollAnswer::Accepted);
    assert_eq!(world.open().held, Some(id(8)));
}

#[test]
fn t13_two_answers_304_at_once_end_the_polling_for_an_hour_and_hints_are_used() {
    let mut world = World::new(Some(true));
    world.beat(newest(1));
    for after_ms in [999, 0] {
        let poll = world.open();
        world.pass(after_ms);
        world.answer(&poll, PollAnswer::Unchanged);
        world.pass(POLL_GAP_MS);
    }
    world.rests(None);
    world.machine.on_held(Some(&id(1)), None);
    for beat in 0..HOUR_MS / 30_000 {
        world.beat(newest(1 + beat / 40));
        assert_eq!(world.way(), DesiredFetch::Hint);
        if beat % 40 == 0 && beat > 0 {
            let poll = world.open();
            assert_eq!(poll.wait_s, 0);
            world.machine.on_held(Some(&id(1 + beat / 40)), None);
            world.answer(&poll, PollAnswer::Accepted);
        }
        world.rests(None);
        world.pass(30_000);
    }
    world.beat(newest(1));
    assert_eq!(world.open().wait_s, POLL_WAIT_S, "an hour later it is tried again");
}

#[test]
fn one_304_at_once_between_long_ones_ends_nothing() {
    let mut world = World::new(Some(true));
    world.beat(ReplyHints::default());
    for turn in 0..40 {
        let poll = world.open();
        world.pass(if turn % 2 == 0 { 55_000 } else { 10 });
        world.answer(&poll, PollAnswer::Unchanged);
        world.pass(POLL_GAP_MS);
    }
    assert_eq!(world.way(), DesiredFetch::LongPoll);
}

#[test]
fn t13_without_long_poll_a_hint_that_differs_is_fetched_at_once_and_one_that_does_not_never() {
    let mut world = World::new(Some(false));
    world.machine.on_held(Some(&id(4)), Some(&id(5)));
    for known in [4, 5] {
        world.beat(newest(known));
        world.rests(None);
        world.pass(30_000);
    }
    world.beat(newest(6));
    let poll = world.open();
    assert_eq!((poll.wait_s, poll.held.clone()), (0, Some(id(4))));
    // The endpoint does not have it yet: it is asked for behind the next heartbeat, not in a loop.
    world.answer(&poll, PollAnswer::Unchanged);
    world.pass(POLL_EACH_MS - 1);
    world.rests(None);
    world.beat(newest(6));
    let poll = world.open();
    world.machine.on_held(Some(&id(6)), None);
    world.answer(&poll, PollAnswer::Accepted);
    world.pass(30_000);
    world.beat(newest(6));
    world.rests(None);
}

#[test]
fn a_hint_counts_before_it_is_known_what_the_manager_can_do_and_a_poll_waits_for_that() {
    let mut world = World::new(None);
    world.beat(ReplyHints::default());
    world.rests(None);
    assert_eq!(world.way(), DesiredFetch::None);
    world.machine.on_features(&world.manager.clone(), ManagerFeatures { gzip: true, long_poll: true, events: false });
    world.open();

    let mut world = World::new(None);
    world.beat(newest(1));
    assert_eq!(world.open().wait_s, 0);
}

#[test]
fn without_hints_and_long_poll_it_is_each_30_s_whatever_the_interval() {
    for interval_s in [5, 7, 20, 30, 45, 60, 300] {
        let mut world = World { interval_s, ..World::new(Some(false)) };
        let mut opened = Vec::new();
        let end = UP.plus(1_200_000);
        let mut beat_at = UP;
        while world.now < end {
            if world.now == beat_at {
                world.beat(ReplyHints::default());
                beat_at = beat_at.plus(interval_s * 1000);
            }
            match world.machine.next(world.now) {
                PollAction::Open(poll) => {
                    opened.push(world.now.0);
                    world.pass(3);
                    world.answer(&poll, PollAnswer::Unchanged);
                }
                PollAction::Wait(Some(at)) => world.now = at.min(beat_at),
                PollAction::Wait(None) => world.now = beat_at,
                PollAction::Drop => panic!("dropped"),
            }
        }
        let gaps: Vec<_> = opened.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(world.way(), DesiredFetch::Interval);
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        // Behind the last heartbeat before 30 s are over, or, where heartbeats are rare, at 30 s.
        assert!(*most <= POLL_EACH_MS + 10 && *least >= POLL_EACH_MS / 3, "{interval_s}: {least}..{most}");
    }
}

#[test]
fn an_embedded_document_is_not_asked_for_unless_the_manager_takes_long_polls() {
    let embedded = ReplyHints { newest: Some(id(9)), embedded: true };
    for long_poll in [None, Some(false)] {
        let mut world = World::new(long_poll);
        world.beat(embedded.clone());
        world.rests(None);
        assert_eq!(world.way(), DesiredFetch::Embedded);
    }
    let mut world = World::new(Some(true));
    world.beat(embedded);
    world.open();
}

#[test]
fn a_manager_without_the_path_is_left_alone_for_an_hour_and_others_are_not() {
    for long_poll in [true, false] {
        let mut world = World::new(Some(long_poll));
        world.beat(newest(2));
        let poll = world.open();
        world.answer(&poll, PollAnswer::NoPath);
        let off = world.now.plus(HOUR_MS);
        for revision in 3..120 {
            world.pass(30_000);
            world.beat(newest(revision));
            world.rests(None);
            assert_eq!((world.way(), world.machine.off_until(world.now)), (DesiredFetch::Off, Some(off)));
        }
        let home = std::mem::replace(&mut world.manager, ManagerAddress::new("b", 443));
        world.beat(newest(2));
        let poll = world.open();
        world.answer(&poll, PollAnswer::Accepted);
        world.manager = home;
        world.pass(10_000);
        world.beat(newest(3));
        world.rests(None);
        world.pass(90_000);
        world.beat(newest(3));
        world.open();
        assert_eq!(world.machine.off_until(world.now), None);
    }
}

#[test]
fn a_known_document_is_asked_for_once_in_5_s_and_ever_more_rarely() {
    let mut world = World::new(Some(true));
    world.beat(ReplyHints::default());
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let poll = world.open();
        world.answer(&poll, PollAnswer::Known);
        let PollAction::Wait(Some(until)) = world.machine.next(world.now) else { panic!("no pause") };
        pauses.push(until.since(world.now));
        world.now = until;
    }
    assert_eq!(pauses[..4], [KNOWN_AGAIN_MS, 2 * KNOWN_AGAIN_MS, 4 * KNOWN_AGAIN_MS, POLL_EACH_MS]);
    assert!(pauses[4..].iter().all(|pause| *pause == POLL_EACH_MS));
    let poll = world.open();
    world.answer(&poll, PollAnswer::Accepted);
    world.pass(POLL_GAP_MS);
    world.open();
}

#[test]
fn what_was_refused_is_asked_for_at_once_when_the_refusal_is_lifted() {
    let mut world = World::new(Some(false));
    world.beat(newest(5));
    let poll = world.open();
    world.machine.on_held(None, Some(&id(5)));
    world.answer(&poll, PollAnswer::Known);
    world.pass(1000);
    world.rests(None);
    world.machine.on_held(None, None);
    assert_eq!(world.open().held, None);
}

#[test]
fn other_documents_without_end_are_no_endless_loop() {
    let mut world = World::new(Some(true));
    world.beat(ReplyHints::default());
    let mut opened = 0;
    for revision in 1..=100 {
        let poll = world.open();
        opened += 1;
        world.machine.on_held(Some(&id(revision)), None);
        world.answer(&poll, PollAnswer::Accepted);
        world.rests(Some(POLL_GAP_MS));
        world.pass(POLL_GAP_MS);
    }
    assert_eq!(opened, 100);
}

/// What may happen in a world, in any order.
#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Beat { manager: u8, key: u64, long_poll: Option<bool>, newest: Option<u64>, embedded: bool, interval_s: u64 },
    NotAccepted(Option<DeliveryFailure>),
    Held(Option<u64>, Option<u64>),
    Answer(PollAnswer),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let troubles = [DeliveryFailure::Unreachable, DeliveryFailure::Unauthenticated, DeliveryFailure::RateLimited];
    let answers = prop_oneof![
        Just(PollAnswer::Accepted),
        Just(PollAnswer::Known),
        Just(PollAnswer::Unchanged),
        Just(PollAnswer::NoPath),
        Just(PollAnswer::Broken),
        proptest::option::of(1000_u64..300_000).prop_map(|retry_after_ms| PollAnswer::Refused { retry_after_ms }),
    ];
    let beat = (
        0..3_u8,
        0..3_u64,
        proptest::option::of(any::<bool>()),
        proptest::option::of(1..4_u64),
        any::<bool>(),
        5..300_u64,
    );
    let one = prop_oneof![
        (0..70_000_u64).prop_map(Event::Pass),
        beat.prop_map(|(manager, key, long_poll, newest, embedded, interval_s)| Event::Beat {
            manager,
            key,
            long_poll,
            newest,
            embedded,
            interval_s
        }),
        proptest::option::of(proptest::sample::select(troubles.to_vec())).prop_map(Event::NotAccepted),
        (proptest::option::of(1..4_u64), proptest::option::of(1..4_u64))
            .prop_map(|(held, refused)| Event::Held(held, refused)),
        answers.prop_map(Event::Answer),
    ];
    proptest::collection::vec(one, 0..200)
}

/// The world of a property: the machine, what it has under way, and whether a request may be opened.
#[derive(Default)]
struct Judge {
    machine: PollMachine,
    now: u64,
    under_way: Option<Poll>,
    behind: Option<(String, KeyId)>,
    known_at: Option<u64>,
    opened_at: Option<u64>,
}

impl Judge {
    fn apply(&mut self, event: &Event) {
        let now = BootMillis(self.now);
        match event {
            Event::Pass(millis) => self.now += millis,
            Event::Beat { manager, key, long_poll, newest, embedded, interval_s } => {
                let manager = ManagerAddress::new(&format!("m{manager}"), 443);
                let features = long_poll.map(|long_poll| ManagerFeatures { gzip: false, long_poll, events: false });
                let hints = ReplyHints { newest: newest.map(id), embedded: *embedded };
                self.machine.on_accepted(now, (&manager, KeyId(*key)), features, *interval_s, hints);
                self.behind = Some((manager.host, KeyId(*key)));
            }
            Event::NotAccepted(trouble) => {
                self.machine.on_not_accepted(*trouble);
                self.behind = None;
            }
            Event::Held(held, refused) => self.machine.on_held(held.map(id).as_ref(), refused.map(id).as_ref()),
            Event::Answer(answer) => {
                let Some(poll) = self.under_way.take() else { return };
                self.machine.on_answer(now, poll.number, *answer);
                match answer {
                    PollAnswer::Known => self.known_at = Some(self.now),
                    PollAnswer::NoPath | PollAnswer::Broken | PollAnswer::Refused { .. } => self.behind = None,
                    PollAnswer::Accepted | PollAnswer::Unchanged => {}
                }
            }
        }
    }

    /// All that it wants to do at this instant.
    fn settle(&mut self) {
        for _ in 0..3 {
            match self.machine.next(BootMillis(self.now)) {
                PollAction::Wait(until) => {
                    assert!(until.is_none_or(|at| at.0 > self.now), "told to wait for the past");
                    return;
                }
                PollAction::Drop => assert!(self.under_way.take().is_some(), "dropped what is not under way"),
                PollAction::Open(poll) => {
                    assert!(self.under_way.is_none(), "two at once");
                    let behind = self.behind.as_ref().expect("opened without an accepted heartbeat before it");
                    assert_eq!((&poll.manager.host, poll.key), (&behind.0, behind.1));
                    assert!(self.opened_at.is_none_or(|at| self.now >= at + POLL_GAP_MS), "closer than the least gap");
                    self.opened_at = Some(self.now);
                    self.under_way = Some(poll);
                }
            }
        }
        panic!("it never rests");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens: one at a time, only behind an accepted heartbeat and where it went, never closer than the least gap.
    #[test]
    fn t38_in_any_order_of_events_a_request_is_opened_behind_an_accepted_heartbeat_alone(events in events()) {
        let mut judge = Judge { now: UP.0, ..Judge::default() };
        judge.settle();
        for event in &events {
            judge.apply(event);
            judge.settle();
            prop_assert!(judge.machine.off_until(BootMillis(judge.now)).is_none_or(|at| at.0 <= judge.now + HOUR_MS));
        }
    }
}
