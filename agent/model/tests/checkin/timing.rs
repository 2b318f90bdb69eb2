//! When the check-in sends: first heartbeat, cadence, interval of the reply, early heartbeats.

use crate::world::{UP, WALL, accepted, at, config, machine, refused, run};
use model::checkin::slot::stable_hash;
use model::checkin::{Answer, CheckinAction, CheckinConfig, CheckinMachine, Reply};
use model::time::{BootMillis, UnixMillis};
use proptest::prelude::*;

fn asks(seconds: u64) -> Answer {
    Answer::Accepted(Reply { next_heartbeat_s: Some(seconds), ..Reply::default() })
}

#[test]
fn t04_the_first_heartbeat_is_spread_after_a_start_and_in_the_own_slot_after_a_host_boot() {
    let first = |key: &str, began: BootMillis| {
        let mut m = CheckinMachine::new(CheckinConfig { began, ..config(key, &["a"]) }, UP, WALL);
        run(&mut m, UP, UP.plus(5000), 1, |_, _| accepted())[0].at
    };
    for n in 0..100 {
        let key = format!("host-{n}");
        assert_eq!(first(&key, UP), UP.plus(stable_hash(&key) % 4000));
        // The daemon began earlier and waited for the first look at the host: that time counts.
        assert_eq!(first(&key, BootMillis(UP.0 - 3900)), UP.plus((stable_hash(&key) % 4000).saturating_sub(3900)));
    }

    let booted_at = BootMillis(40_000);
    let mut booted = CheckinMachine::new(config("k", &["a"]), booted_at, WALL);
    let CheckinAction::Wait(Some(slot)) = booted.next(at(booted_at), "r") else {
        panic!("sent at once after a host boot")
    };
    assert!(slot > booted_at && slot.since(booted_at) <= 30_000);
    assert!(matches!(booted.next(at(slot), "r"), CheckinAction::Beat(_)));

    let mut enrolled = CheckinMachine::new(config("k", &["a"]), booted_at, WALL).at_once(booted_at);
    assert!(matches!(enrolled.next(at(booted_at), "r"), CheckinAction::Beat(_)));
}

#[test]
fn t05_cadence_and_slot_over_a_hundred_beats() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(100 * 30_000), 180, |_, _| accepted());
    assert!((100..=101).contains(&sent.len()), "{}", sent.len());
    let phase = sent[1].at.0 % 30_000;
    assert!(sent[1..].iter().all(|s| s.at.0 % 30_000 == phase));
    assert!(sent.windows(2).all(|w| w[1].beat().seq > w[0].beat().seq));
}

#[test]
fn t06_interval_of_the_reply_is_clamped() {
    for (asked, kept) in [(1, 5), (5, 5), (60, 60), (300, 300), (9999, 300), (0, 5)] {
        let mut m = machine(&["a"]);
        let sent = run(&mut m, UP, UP.plus(kept * 1000 * 7), 50, |_, _| asks(asked));
        assert_eq!(m.interval_s(), kept);
        assert!(sent[1..].windows(2).all(|w| w[1].at.since(w[0].at) == kept * 1000), "{asked}");
        assert!(sent.len() >= 6, "{asked}: {}", sent.len());
    }
}

#[test]
fn t07_fifty_changes_in_a_tenth_of_a_second_are_one_request() {
    let mut m = machine(&["a"]);
    let first = run(&mut m, UP, UP.plus(5000), 20, |_, _| accepted());
    let quiet = first.last().unwrap().at.plus(2000);
    for n in 0..50 {
        m.on_change(quiet.plus(n * 2));
    }
    let sent = run(&mut m, quiet.plus(100), quiet.plus(3000), 20, |_, _| accepted());
    let slot_beats = sent.iter().filter(|s| s.at != quiet.plus(250)).count();
    assert_eq!(sent.iter().filter(|s| s.at == quiet.plus(250)).count(), 1);
    assert!(slot_beats <= 1, "{sent:?}");
}

#[test]
fn never_more_than_one_early_heartbeat_a_second() {
    let mut m = machine(&["a"]);
    let sent = changes_all_the_time(&mut m, 60_000, accepted);
    assert!(sent.windows(2).all(|w| w[1].since(w[0]) >= 1000), "{sent:?}");
    assert!(sent.len() >= 58, "{}", sent.len());
}

/// When heartbeats go out while something changes in every millisecond, after the first one.
fn changes_all_the_time(m: &mut CheckinMachine, for_ms: u64, answer: impl Fn() -> Answer) -> Vec<BootMillis> {
    let begin = run(m, UP, UP.plus(4010), 1, |_, _| answer())[0].at.plus(10);
    let mut sent = Vec::new();
    for step in 0..for_ms {
        let now = begin.plus(step);
        m.on_change(now);
        if matches!(m.next(at(now), "r"), CheckinAction::Beat(_)) {
            sent.push(now);
            m.on_answer(at(now), answer());
        }
    }
    sent
}

#[test]
fn the_manager_says_how_far_apart_early_heartbeats_are() {
    let says = |early_gap_s: Option<u64>| {
        Answer::Accepted(Reply { early_gap_s, next_heartbeat_s: Some(300), ..Reply::default() })
    };
    for (said, kept) in [(Some(10), 10_000), (Some(0), 1000), (Some(9999), 60_000), (None, 1000)] {
        let mut m = machine(&["a"]);
        let sent = changes_all_the_time(&mut m, 250_000, || says(said));
        let gaps: Vec<_> = sent.windows(2).map(|w| w[1].since(w[0])).collect();
        // A heartbeat in the own slot may come between.
        assert!(gaps.iter().filter(|gap| **gap != kept).count() <= 2, "{said:?}: {gaps:?}");
    }
    let mut m = machine(&["a"]);
    let _ = changes_all_the_time(&mut m, 1, || says(Some(10)));
    assert_eq!(m.early_gap_s(), 10);
    let _ = run(&mut m, UP.plus(5000), UP.plus(400_000), 1, |_, _| accepted());
    assert_eq!(m.early_gap_s(), 1, "without a word of it a second is enough again");
}

#[test]
fn seq_rises_even_within_a_millisecond_and_after_another_machine() {
    let mut m = CheckinMachine::new(config("k", &["a", "b"]), UP, WALL).after_seq(UP.0 + 7);
    let mut seqs = Vec::new();
    m = m.at_once(UP);
    while let CheckinAction::Beat(beat) = m.next(at(UP), "r") {
        seqs.push(beat.seq);
        m.on_answer(at(UP), refused(503, "internal"));
    }
    assert_eq!(seqs, [UP.0 + 8, UP.0 + 9]);
    m = m.at_once(UP);
    let CheckinAction::Beat(beat) = m.next(at(UP), "r") else { panic!("no heartbeat") };
    m.on_resent(beat.seq + 50);
    m.on_answer(at(UP), refused(503, "internal"));
    let CheckinAction::Beat(next) = m.next(at(UP), "r") else { panic!("no heartbeat") };
    assert_eq!(next.seq, beat.seq + 51, "it does not rise above the one that was sent once more");
}

#[test]
fn a_change_while_a_heartbeat_is_on_its_way_is_sent_afterwards() {
    let mut m = machine(&["a"]);
    m = m.at_once(UP);
    assert!(matches!(m.next(at(UP), "r"), CheckinAction::Beat(_)));
    m.on_change(UP.plus(5));
    m.on_answer(at(UP.plus(3000)), accepted());
    assert!(matches!(m.next(at(UP.plus(3000)), "r"), CheckinAction::Beat(_)));
}

#[test]
fn changes_do_not_break_out_of_the_slot_while_nobody_accepts() {
    for trouble in [refused(503, "internal"), refused(429, "rate_limited"), refused(401, "invalid_token")] {
        let mut m = machine(&["a"]);
        let mut now = UP;
        let mut sends = Vec::new();
        while now < UP.plus(120_000) {
            m.on_change(now);
            if matches!(m.next(at(now), "r"), CheckinAction::Beat(_)) {
                sends.push(now);
                m.on_answer(at(now), trouble.clone());
            }
            now = now.plus(50);
        }
        assert!(
            sends.len() <= 17 && sends.windows(2).skip(1).all(|w| w[1].since(w[0]) >= 7000),
            "{trouble:?} {sends:?}"
        );
    }
}

#[test]
fn t21_inventory_first_then_only_on_change_or_request() {
    let mut m = machine(&["a"]);
    let mut now = UP;
    let mut beat = |m: &mut CheckinMachine, rev: &str, need: bool| {
        loop {
            match m.next(at(now), rev) {
                CheckinAction::Wait(until) => now = until.unwrap(),
                CheckinAction::Beat(beat) => {
                    m.on_answer(at(now), Answer::Accepted(Reply { need_inventory: need, ..Reply::default() }));
                    return beat.inventory;
                }
                CheckinAction::Enrol(..) => panic!("enrols"),
            }
        }
    };
    let seen: Vec<_> = [("a", false), ("a", false), ("b", false), ("b", true), ("b", false), ("b", false)]
        .map(|(rev, need)| beat(&mut m, rev, need))
        .into();
    assert_eq!(seen, [true, false, true, false, true, false]);
}

#[test]
fn an_inventory_that_was_not_accepted_is_sent_again() {
    let mut m = machine(&["a"]);
    let mut answers = [refused(503, "internal"), accepted(), accepted()].into_iter();
    let sent = run(&mut m, UP, UP.plus(75_000), 10, |_, _| answers.next().unwrap_or_else(accepted));
    let inventories: Vec<_> = sent.iter().map(|s| s.beat().inventory).collect();
    assert_eq!(inventories[..3], [true, true, false]);
}

proptest! {
    #[test]
    fn two_beats_are_never_closer_than_a_second_and_never_farther_than_an_interval(
        key in "[a-z]{6}", up in 0_u64..1 << 40, wall in 0_i64..1 << 41, interval in 1_u64..400, latency in 0_u64..4000,
        changes in proptest::collection::vec(0_u64..300_000, 0..30),
    ) {
        let start = BootMillis(up);
        let mut m = CheckinMachine::new(model::checkin::CheckinConfig { interval_s: interval, ..config(&key, &["a"]) }, start, UnixMillis(wall));
        let mut changes: Vec<_> = changes.into_iter().map(|c| start.plus(c)).collect();
        changes.sort();
        let mut changes = changes.into_iter().peekable();
        let (mut now, mut last) = (start, None::<BootMillis>);
        while now < start.plus(300_000) {
            while changes.next_if(|c| *c <= now).is_some() {
                m.on_change(now);
            }
            match m.next(at(now), "r") {
                CheckinAction::Wait(until) => now = until.unwrap().min(changes.peek().copied().unwrap_or(BootMillis(u64::MAX))),
                CheckinAction::Beat(_) => {
                    if let Some(last) = last {
                        let apart = now.since(last);
                        prop_assert!(apart >= 1000 && apart <= m.interval_s() * 1000 + latency + 1000, "{apart}");
                    }
                    last = Some(now);
                    now = now.plus(latency);
                    m.on_answer(at(now), accepted());
                }
                CheckinAction::Enrol(..) => prop_assert!(false),
            }
        }
        prop_assert!(last.is_some());
    }
}
