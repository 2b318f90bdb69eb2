//! Which credential is used: a new one is tried and gives way to the old one, one that has ended is replaced without a person.

use crate::world::{Sent, UP, WALL, accepted, at, config, down, fault, key_of, later, places, refused, run};
use model::checkin::{
    Answer, CheckinAction, CheckinConfig, CheckinMachine, EnrolFor, FaultKind, Key, KeyId, KnownManagers,
    OwnCertificate, TlsError, Worth,
};
use model::enrol::CheckinState;
use model::time::{BootMillis, UnixMillis};
use proptest::prelude::*;

const DAY_MS: i64 = 86_400_000;

fn fresh(id: u64) -> Key {
    Key { worth: Worth::Fresh, until: Some(UnixMillis(WALL.0 + 30 * DAY_MS)), ..key_of(id) }
}

fn ended(id: u64) -> Key {
    Key { until: Some(UnixMillis(WALL.0 - DAY_MS)), ..key_of(id) }
}

fn with(keys: Vec<Key>) -> CheckinMachine {
    CheckinMachine::new(CheckinConfig { keys, ..config("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", &["a"]) }, UP, WALL)
}

fn keys_of(sent: &[Sent]) -> Vec<u64> {
    sent.iter().map(|one| one.beat().key.0).collect()
}

/// Whoever uses the new credential is answered so; the old one is accepted.
fn only_the_old_works(answer: &Answer) -> impl FnMut(BootMillis, &CheckinAction) -> Answer {
    move |_, what| match what {
        CheckinAction::Beat(beat) if beat.key == KeyId(1) => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => answer.clone(),
    }
}

#[test]
fn t32_a_refused_new_credential_gives_way_to_the_old_at_once_and_is_tried_every_ten_minutes() {
    let html = Answer::Refused(model::checkin::ManagerRefusal {
        status: 400,
        code: None,
        message: "<html>".into(),
        retry_after_s: None,
    });
    for answer in [
        refused(401, "invalid_token"),
        refused(404, "unknown_agent"),
        refused(403, "not_approved"),
        html,
        fault(FaultKind::Credential(OwnCertificate::UnknownIssuer)),
        fault(FaultKind::Credential(OwnCertificate::Unusable)),
        fault(FaultKind::Tls(TlsError::Other)),
        fault(FaultKind::Network),
        fault(FaultKind::Local),
        fault(FaultKind::Timeout),
    ] {
        let mut m = with(vec![key_of(1), fresh(2)]);
        let sent = run(&mut m, UP, UP.plus(1_300_000), 5, only_the_old_works(&answer));
        assert_eq!(keys_of(&sent[..2]), [2, 1], "{answer:?}");
        assert_eq!(sent[1].at.since(sent[0].at), 5, "the old one is not used at once: {answer:?}");
        let tries: Vec<_> = sent.iter().filter(|s| s.beat().key == KeyId(2)).map(|s| s.at).collect();
        assert!((2..=3).contains(&tries.len()), "{answer:?} {}", tries.len());
        assert!(tries.windows(2).all(|w| (600_000..=630_000).contains(&w[1].since(w[0]))), "{answer:?} {tries:?}");
        assert_eq!(m.state(), CheckinState::Ok, "{answer:?}");
        assert!(m.standing(at(UP.plus(1_300_000))).is_empty(), "{answer:?}");
    }
}

#[test]
fn t32_the_new_one_that_works_in_the_end_makes_the_old_one_go() {
    let mut m = with(vec![key_of(1), fresh(2)]);
    let _ = run(&mut m, UP, UP.plus(300_000), 5, only_the_old_works(&refused(401, "invalid_token")));
    let mut dropped = Vec::new();
    let mut now = UP.plus(300_000);
    while now < UP.plus(700_000) {
        match m.next(at(now), "r") {
            CheckinAction::Wait(until) => now = until.unwrap(),
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) => dropped.extend(m.on_answer(at(now), accepted())),
        }
    }
    assert_eq!(dropped, [KeyId(1)]);
}

#[test]
fn what_is_no_refusal_of_the_new_credential_leaves_it_in_use() {
    for (answer, old) in [
        (refused(429, "rate_limited"), false),
        (refused(413, "too_large"), false),
        (refused(400, "bad_request"), false),
        (down(), false),
        (fault(FaultKind::Dns), false),
    ] {
        let mut m = with(vec![key_of(1), fresh(2)]);
        let kind = format!("{answer:?}");
        let answer = if matches!(answer, Answer::Failed(_)) && !kind.contains("Dns") {
            fault(FaultKind::Connect)
        } else {
            answer
        };
        let sent = run(&mut m, UP, UP.plus(200_000), 5, only_the_old_works(&answer));
        assert_eq!(keys_of(&sent).contains(&1), old, "{kind}: {:?}", keys_of(&sent));
    }
}

#[test]
fn an_old_one_that_is_refused_meanwhile_is_followed_by_the_new_one_at_once() {
    let mut m = with(vec![key_of(1), fresh(2)]);
    let mut old_is_good = true;
    let mut play = |m: &mut CheckinMachine, from: BootMillis, to: BootMillis, good: bool| {
        old_is_good = good;
        run(m, from, to, 5, |_, what| match what {
            CheckinAction::Beat(beat) if (beat.key == KeyId(1)) == old_is_good => accepted(),
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => refused(401, "invalid_token"),
        })
    };
    let _ = play(&mut m, UP, UP.plus(60_000), true);
    let sent = play(&mut m, UP.plus(60_000), UP.plus(95_000), false);
    assert_eq!(keys_of(&sent[..2]), [1, 2]);
    assert_eq!(sent[1].at.since(sent[0].at), 5);
    assert_eq!(m.state(), CheckinState::Ok);
}

#[test]
fn one_that_fails_while_the_old_one_was_refused_is_not_asked_with_again_and_again() {
    for kind in [FaultKind::Network, FaultKind::Local, FaultKind::Timeout, FaultKind::Garbled] {
        let answer = |_: BootMillis, what: &CheckinAction| match what {
            CheckinAction::Beat(beat) if beat.key == KeyId(1) => {
                fault(FaultKind::Credential(OwnCertificate::UnknownIssuer))
            }
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => fault(kind),
        };
        let mut m = with(vec![key_of(1), fresh(2)]);
        let sent = run(&mut m, UP, UP.plus(600_000), 0, answer);
        let twice = |pair: &[Sent]| pair[0].beat().key == pair[1].beat().key && pair[1].at.since(pair[0].at) < 1000;
        assert!(sent.len() > 2 && !sent.windows(2).any(twice), "{kind:?}: {} requests", sent.len());
    }
}

#[test]
fn a_token_announced_for_later_waits_until_the_one_in_use_is_refused() {
    let shared = |id, worth| Key { worth, shared: true, ..key_of(id) };
    let mut m = with(vec![shared(1, Worth::Proven), shared(2, Worth::Next)]);
    let sent = run(&mut m, UP, UP.plus(900_000), 5, |_, _| accepted());
    assert!(keys_of(&sent).iter().all(|key| *key == 1));
    let sent = run(&mut m, UP.plus(900_000), UP.plus(940_000), 5, |_, what| match what {
        CheckinAction::Beat(beat) if beat.key == KeyId(2) => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => refused(401, "token_expired"),
    });
    assert_eq!(keys_of(&sent[..2]), [1, 2]);

    // An edited file is tried at once; refused, it is kept for the switch and not tried before.
    let mut m = with(vec![shared(1, Worth::Proven), shared(2, Worth::Fresh)]);
    let sent = run(&mut m, UP, UP.plus(3_600_000), 5, only_the_old_works(&refused(401, "invalid_token")));
    assert_eq!(keys_of(&sent[..2]), [2, 1]);
    assert!(keys_of(&sent[2..]).iter().all(|key| *key == 1), "it is tried again and again");
    let sent = run(&mut m, UP.plus(3_600_000), UP.plus(3_640_000), 5, |_, what| match what {
        CheckinAction::Beat(beat) if beat.key == KeyId(2) => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => refused(401, "token_expired"),
    });
    assert_eq!(keys_of(&sent[..2]), [1, 2]);
}

#[test]
fn credentials_that_come_while_a_heartbeat_is_on_its_way_are_tried_behind_its_answer() {
    for answer in [accepted(), refused(401, "invalid_token"), refused(503, "internal"), down()] {
        let mut m = with(vec![key_of(1)]).at_once(UP);
        assert!(matches!(m.next(at(UP), "r"), CheckinAction::Beat(_)));
        m.on_keys(UP.plus(5), vec![key_of(1), fresh(2)], true);
        m.on_answer(at(UP.plus(10)), answer.clone());
        assert!(
            matches!(m.next(at(UP.plus(10)), "r"), CheckinAction::Beat(beat) if beat.key == KeyId(2)),
            "{answer:?}"
        );
    }
}

/// The times of the requests for an identity, and what they were for.
fn enrolments(sent: &[Sent]) -> Vec<(BootMillis, EnrolFor)> {
    let of = |one: &Sent| match &one.what {
        CheckinAction::Enrol(_, why) => Some((one.at, *why)),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) => None,
    };
    sent.iter().filter_map(of).collect()
}

#[test]
fn t33_an_ended_credential_is_replaced_by_enrolling_again_at_most_every_ten_minutes() {
    for first in
        [fault(FaultKind::Credential(OwnCertificate::Ended)), refused(401, "token_expired"), fault(FaultKind::Network)]
    {
        for answer in [
            later(202, 5),
            refused(403, "not_approved"),
            refused(401, "invalid_token"),
            refused(409, "conflict"),
            refused(500, "internal"),
        ] {
            let mut m = with(vec![ended(1)]);
            let sent = run(&mut m, UP, UP.plus(3_600_000), 5, |_, what| match what {
                CheckinAction::Enrol(..) => answer.clone(),
                CheckinAction::Beat(_) | CheckinAction::Wait(_) => first.clone(),
            });
            let asked = enrolments(&sent);
            assert!((5..=6).contains(&asked.len()), "{first:?} {answer:?}: {}", asked.len());
            assert!(asked.iter().all(|(_, why)| *why == EnrolFor::Ended));
            assert!(
                asked.windows(2).all(|w| (600_000..=660_000).contains(&w[1].0.since(w[0].0))),
                "{answer:?} {asked:?}"
            );
            assert!(
                sent.len() - asked.len() <= 2,
                "it goes on sending heartbeats that cannot be accepted: {}",
                sent.len()
            );
            let kinds: Vec<_> = m.standing(at(UP.plus(3_600_000))).into_iter().map(|s| s.kind).collect();
            assert!(kinds.contains(&"credential_expired"), "{answer:?} {kinds:?}");
        }
    }
}

#[test]
fn t33_a_manager_that_cannot_be_reached_is_asked_in_every_slot() {
    let mut m = with(vec![ended(1)]);
    let mut up = false;
    let mut play = |m: &mut CheckinMachine, from: BootMillis, to: BootMillis, is_up: bool| {
        up = is_up;
        run(m, from, to, 5, |_, what| match what {
            CheckinAction::Enrol(..) if up => later(202, 5),
            CheckinAction::Beat(_) if up => fault(FaultKind::Credential(OwnCertificate::Ended)),
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => fault(FaultKind::Connect),
        })
    };
    let before = play(&mut m, UP, UP.plus(86_400_000), false);
    assert!(before[2..].windows(2).all(|w| w[1].at.since(w[0].at) <= 30_000));
    let after = play(&mut m, UP.plus(86_400_000), UP.plus(86_435_000), true);
    assert_eq!(enrolments(&after).len(), 1, "an outage of a day does not make it wait for ten minutes");
    assert_eq!(m.state(), CheckinState::PendingApproval);
}

#[test]
fn a_clock_that_is_wrong_does_not_throw_a_good_credential_away() {
    let mut m = with(vec![ended(1)]);
    let sent = run(&mut m, UP, UP.plus(600_000), 5, |_, _| accepted());
    assert!(enrolments(&sent).is_empty() && sent.len() >= 20);
    assert_eq!(m.state(), CheckinState::Ok);

    // The clock was a year ahead and is set right: heartbeats go on.
    let good = Key { until: Some(UnixMillis(WALL.0 + 30 * DAY_MS)), ..key_of(1) };
    let mut m = with(vec![good]);
    let ahead = |boot: BootMillis| model::time::Now { wall: UnixMillis(at(boot).wall.0 + 365 * DAY_MS), ..at(boot) };
    let mut now = UP;
    let mut answers = 0;
    while answers < 3 {
        match m.next(ahead(now), "r") {
            CheckinAction::Wait(until) => now = until.unwrap(),
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) => {
                answers += 1;
                m.on_answer(ahead(now), fault(FaultKind::Tls(TlsError::Expired)));
            }
        }
    }
    let sent = run(&mut m, now.plus(1), now.plus(40_000), 5, |_, _| accepted());
    assert!(enrolments(&sent).is_empty() && m.state() == CheckinState::Ok, "{sent:?}");
}

#[test]
fn the_word_of_the_other_side_that_it_has_ended_counts_whatever_our_clock_says() {
    let good = Key { until: Some(UnixMillis(WALL.0 + 30 * DAY_MS)), ..key_of(1) };
    let mut m = with(vec![good]);
    let sent = run(&mut m, UP, UP.plus(300_000), 5, |_, what| match what {
        CheckinAction::Enrol(..) => later(202, 5),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) => fault(FaultKind::Credential(OwnCertificate::Ended)),
    });
    assert_eq!(enrolments(&sent).len(), 1, "{sent:?}");
}

/// A front whose clock is years ahead for an hour, and a manager that lets nobody in again without an administrator.
#[test]
fn t33_a_front_whose_clock_was_wrong_for_an_hour_costs_no_identity() {
    for lie in [fault(FaultKind::Credential(OwnCertificate::Ended)), refused(401, "token_expired")] {
        let good = Key { until: Some(UnixMillis(WALL.0 + 30 * DAY_MS)), ..key_of(1) };
        let mut m = with(vec![good]);
        let sent = run(&mut m, UP, UP.plus(3_600_000), 5, |_, what| match what {
            CheckinAction::Enrol(..) => later(202, 5),
            CheckinAction::Beat(_) | CheckinAction::Wait(_) => lie.clone(),
        });
        let asked = enrolments(&sent);
        assert!((5..=6).contains(&asked.len()), "{lie:?} {asked:?}");
        let beats: Vec<_> = sent.iter().filter(|one| matches!(one.what, CheckinAction::Beat(_))).collect();
        assert!(beats.len() <= 6 && beats[1..].windows(2).all(|w| w[1].at.since(w[0].at) >= 600_000), "{beats:?}");
        // Its clock is right again: the credential was good all the time.
        let sent = run(&mut m, UP.plus(3_600_000), UP.plus(4_260_000), 5, |_, what| match what {
            CheckinAction::Enrol(..) => later(202, 5),
            CheckinAction::Beat(_) | CheckinAction::Wait(_) => accepted(),
        });
        assert_eq!((m.state(), enrolments(&sent).len()), (CheckinState::Ok, 0), "{lie:?} {sent:?}");
        assert!(m.standing(at(UP.plus(4_260_000))).is_empty());
        let sent = run(&mut m, UP.plus(4_260_000), UP.plus(4_320_000), 5, |_, _| accepted());
        assert!(sent.len() >= 2, "{sent:?}");
    }
}

#[test]
fn a_shared_token_that_is_called_expired_has_no_end_of_its_own() {
    let mut m = with(vec![Key { shared: true, ..key_of(1) }]);
    let sent = run(&mut m, UP, UP.plus(3_600_000), 5, |_, _| refused(401, "token_expired"));
    assert!(enrolments(&sent).is_empty() && m.state() == CheckinState::Unauthenticated);
}

#[test]
fn an_alert_about_the_own_certificate_is_told_as_that_and_the_next_manager_is_asked() {
    let managers = KnownManagers { listed: places(&["a", "b"]), ..KnownManagers::default() };
    let mut m = CheckinMachine::new(CheckinConfig { managers, ..config("k", &[]) }, UP, WALL);
    let sent = run(&mut m, UP, UP.plus(300_000), 5, |_, what| match what {
        CheckinAction::Beat(beat) if beat.manager.host == "b" => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => {
            fault(FaultKind::Credential(OwnCertificate::UnknownIssuer))
        }
    });
    assert!(sent[1..].iter().all(|s| s.beat().manager.host == "b"));
    let _ = run(&mut m, UP.plus(300_000), UP.plus(340_000), 5, |_, _| {
        fault(FaultKind::Credential(OwnCertificate::UnknownIssuer))
    });
    assert_eq!(m.state(), CheckinState::Unauthenticated);
    let standing = m.standing(at(UP.plus(340_000)));
    assert_eq!(standing[0].kind, "unauthenticated");
    assert!(!standing[0].message.contains("renew the manager"), "{}", standing[0].message);
}

#[test]
fn an_ended_host_that_was_deleted_is_forgotten_only_after_two_answers() {
    let mut m = with(vec![ended(1)]);
    let sent = run(&mut m, UP, UP.plus(7_200_000), 5, |_, what| match what {
        CheckinAction::Enrol(..) => refused(410, "agent_deleted"),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) => fault(FaultKind::Credential(OwnCertificate::Ended)),
    });
    assert_eq!((m.state(), enrolments(&sent).len()), (CheckinState::Forgotten, 2));
}

proptest! {
    /// Whatever is answered: as long as one credential is accepted whenever it is used, the host is never without an accepted
    /// heartbeat for longer than two intervals and the pauses that were asked for.
    #[test]
    fn one_good_credential_among_others_is_always_found(
        good in 0_usize..4, count in 1_usize..5, kinds in proptest::collection::vec(0_u8..3, 4),
        answers in proptest::collection::vec(0_u8..8, 1..12),
    ) {
        let worth = |index: usize| match kinds[index] {
            0 => Worth::Proven,
            1 => Worth::Fresh,
            _ => Worth::Next,
        };
        let keys: Vec<_> =
            (0_u64..).zip(0..count).map(|(id, n)| Key { worth: worth(n), shared: kinds[n] == 2, ..key_of(id) }).collect();
        let good = keys[good % count].id;
        let mut m = with(keys);
        let mut turn = 0_usize;
        let sent = run(&mut m, UP, UP.plus(1_800_000), 5, |_, what| {
            turn += 1;
            match (what, answers[turn % answers.len()]) {
                (CheckinAction::Beat(beat), _) if beat.key == good => accepted(),
                (_, 0) => fault(FaultKind::Credential(OwnCertificate::Refused)),
                (_, 1) => fault(FaultKind::Credential(OwnCertificate::Unusable)),
                (_, _) => refused(401, "invalid_token"),
            }
        });
        let first_good = sent.iter().find(|s| matches!(&s.what, CheckinAction::Beat(beat) if beat.key == good));
        prop_assert!(first_good.is_some_and(|s| s.at.since(UP) <= 120_000), "{:?}", sent.iter().take(8).collect::<Vec<_>>());
        prop_assert_eq!(m.state(), CheckinState::Ok);
    }
}
