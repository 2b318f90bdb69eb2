//! What the check-in does after each answer of the contract's table.

use crate::world::{UP, WALL, accepted, at, config, down, key_of, later, machine, places, refused, run};
use model::checkin::slot::stable_hash;
use model::checkin::{
    Answer, CheckinAction, CheckinConfig, CheckinMachine, Code, EnrolFor, Goal, KnownManagers, ManagerRefusal, Omit,
    Slot,
};
use model::enrol::CheckinState;
use model::time::BootMillis;

fn kinds(m: &CheckinMachine, now: BootMillis) -> Vec<&'static str> {
    m.standing(at(now)).into_iter().map(|s| s.kind).collect()
}

/// A machine that has beaten once, at the instant of its first heartbeat, and how long it waits after this answer.
fn after(answer: Answer) -> (CheckinMachine, BootMillis, u64) {
    let mut m = machine(&["a"]);
    let first = first_beat(&mut m);
    m.on_answer(at(first), answer);
    let wait = match m.next(at(first), "r") {
        CheckinAction::Wait(Some(until)) => until.since(first),
        CheckinAction::Wait(None) | CheckinAction::Beat(_) | CheckinAction::Enrol(..) => 0,
    };
    (m, first, wait)
}

fn first_beat(m: &mut CheckinMachine) -> BootMillis {
    let mut now = UP;
    loop {
        match m.next(at(now), "r") {
            CheckinAction::Wait(until) => now = until.unwrap(),
            CheckinAction::Beat(_) | CheckinAction::Enrol(..) => return now,
        }
    }
}

fn slot() -> Slot {
    Slot::anchored("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", UP, WALL)
}

#[test]
fn t09_retry_after_is_kept_to_capped_and_followed_by_the_own_slot() {
    for status in [429, 503] {
        for (asked, kept) in [(7, 7_000), (120, 120_000), (9999, 300_000)] {
            let (m, first, wait) = after(later(status, asked));
            let due = first.plus(wait);
            assert!((kept..=kept + 30_000).contains(&wait), "{status} {asked}: {wait}");
            assert_eq!(slot().next_after(BootMillis(due.0 - 1), 30), due, "not in the own slot");
            assert_eq!(m.asked_to_wait_until(first).map(|until| until.since(first)), Some(kept));
        }
    }
    let (m, first, wait) = after(refused(429, "rate_limited"));
    assert!((1..=30_000).contains(&wait));
    assert_eq!((kinds(&m, first), m.asked_to_wait_until(first)), (vec!["rate_limited"], None));
}

#[test]
fn t09_a_manager_that_is_busy_for_a_while_is_left_alone_and_the_others_are_asked_at_once() {
    let mut m = machine(&["a", "b"]);
    let sent = run(&mut m, UP, UP.plus(200_000), 1, |_, what| match what {
        CheckinAction::Beat(b) if b.manager.host == "a" => later(503, 100),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) | CheckinAction::Enrol(..) => accepted(),
    });
    assert_eq!(sent[1].at.since(sent[0].at), 1);
    assert!(sent[1..].iter().all(|s| s.beat().manager.host == "b"));

    let mut m = machine(&["a", "b"]);
    let sent = run(&mut m, UP, UP.plus(200_000), 1, |_, what| match what {
        CheckinAction::Beat(b) if b.manager.host == "a" => later(503, 100),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) | CheckinAction::Enrol(..) => down(),
    });
    let to_a: Vec<_> = sent.iter().filter(|s| s.beat().manager.host == "a").map(|s| s.at).collect();
    assert!(to_a.windows(2).all(|w| w[1].since(w[0]) >= 100_000), "{to_a:?}");
    let to_b: Vec<_> = sent.iter().filter(|s| s.beat().manager.host == "b").map(|s| s.at).collect();
    assert!(to_b.len() >= 5, "the other one is asked in every slot: {to_b:?}");
}

#[test]
fn t10_a_refused_credential_is_followed_by_the_next_once_then_every_quarter_of_a_minute() {
    let mut m =
        CheckinMachine::new(CheckinConfig { keys: vec![key_of(1), key_of(2)], ..config("k", &["a"]) }, UP, WALL);
    let sent = run(&mut m, UP, UP.plus(120_000), 5, |_, _| refused(401, "invalid_token"));
    let keys: Vec<_> = sent.iter().map(|s| s.beat().key.0).collect();
    assert_eq!(keys[..4], [2, 1, 2, 1], "each of them has its turn");
    assert_eq!(sent[1].at.since(sent[0].at), 5);
    let gaps: Vec<_> = sent[1..].windows(2).map(|w| w[1].at.since(w[0].at)).collect();
    assert!(gaps.len() >= 4 && gaps.iter().all(|g| (7_500..22_600).contains(g)), "{gaps:?}");
    assert!(gaps.iter().any(|g| g != &gaps[0]), "no jitter: {gaps:?}");
    assert_eq!(m.state(), CheckinState::Unauthenticated);
    assert_eq!(kinds(&m, UP), ["unauthenticated"]);
}

#[test]
fn a_credential_that_is_refused_a_thousand_times_is_kept_and_works_again_when_it_is_accepted() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(4 * 3_600_000), 5, |_, _| {
        Answer::Refused(ManagerRefusal { status: 401, code: None, message: "proxy".into(), retry_after_s: None })
    });
    assert!((640..=1920).contains(&sent.len()), "{}", sent.len());
    let from = UP.plus(4 * 3_600_000);
    let back = run(&mut m, from, from.plus(23_000), 5, |_, _| accepted());
    assert!(!back.is_empty() && m.state() == CheckinState::Ok);
}

#[test]
fn a_wrong_report_is_slimmed_and_comes_back_whole_after_an_hour() {
    let mut m = machine(&["a"]);
    let picky = |_: BootMillis, what: &CheckinAction| match what {
        CheckinAction::Beat(b) if b.omit == Omit::Optional => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) | CheckinAction::Enrol(..) => refused(400, "bad_request"),
    };
    let sent = run(&mut m, UP, UP.plus(3_540_000), 5, picky);
    assert_eq!(sent[0].beat().omit, Omit::Nothing);
    assert!(sent[1..].iter().all(|s| s.beat().omit == Omit::Optional && !s.beat().inventory));
    assert_eq!(m.state(), CheckinState::Ok);
    assert_eq!(kinds(&m, UP.plus(3_000_000)), ["rejected_report"]);
    let later = run(&mut m, UP.plus(3_610_000), UP.plus(3_700_000), 5, |_, _| accepted());
    assert!(later[0].beat().omit == Omit::Nothing && later[0].beat().inventory);
    assert!(kinds(&m, UP.plus(3_700_000)).is_empty());
}

#[test]
fn t34_what_a_front_says_is_as_a_5xx_and_changes_nothing_of_the_report() {
    for status in [400, 403, 404, 409, 410, 426] {
        let front = Answer::Refused(ManagerRefusal { status, code: None, message: String::new(), retry_after_s: None });
        let mut m = CheckinMachine::new(CheckinConfig { may_enrol_again: true, ..config("k", &["a"]) }, UP, WALL);
        let sent = run(&mut m, UP, UP.plus(3_600_000), 5, |_, _| front.clone());
        assert!(sent.iter().all(|s| s.beat().omit == Omit::Nothing && s.beat().inventory), "{status}");
        assert!((118..=122).contains(&sent.len()), "{status}: {}", sent.len());
        assert_eq!((m.state(), kinds(&m, UP)), (CheckinState::Unreachable, vec!["manager_unreachable"]), "{status}");

        let mut m = machine(&["a", "b"]);
        let sent = run(&mut m, UP, UP.plus(40_000), 5, |_, what| match what {
            CheckinAction::Beat(b) if b.manager.host == "b" => accepted(),
            CheckinAction::Beat(_) | CheckinAction::Wait(_) | CheckinAction::Enrol(..) => front.clone(),
        });
        assert_eq!(sent[1].at.since(sent[0].at), 5, "{status}: the next manager is not asked at once");
        assert_eq!(m.state(), CheckinState::Ok);
    }
}

#[test]
fn t19_too_large_leaves_out_workspace_metrics_then_mig_metrics() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(70_000), 5, |_, _| refused(413, "too_large"));
    let omitted: Vec<_> = sent.iter().take(4).map(|s| s.beat().omit).collect();
    assert_eq!(omitted, [Omit::Nothing, Omit::WorkspaceMetrics, Omit::MigMetrics, Omit::Optional]);
    assert!(sent.windows(2).all(|w| w[1].at.since(w[0].at) >= 1000));
    assert!(sent[3..].windows(2).all(|w| w[1].at.since(w[0].at) >= 1000) && sent.len() <= 7);
}

#[test]
fn not_approved_is_asked_every_half_minute() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(300_000), 5, |_, _| refused(403, "not_approved"));
    assert!(sent[2..].windows(2).all(|w| w[1].at.since(w[0].at) == 30_000));
    assert_eq!(m.state(), CheckinState::PendingApproval);
}

#[test]
fn an_unknown_host_sends_its_inventory_again_or_enrols_once() {
    let (mut m, first, wait) = after(refused(404, "unknown_agent"));
    assert_eq!(kinds(&m, UP), ["unknown_agent"]);
    assert!(matches!(m.next(at(first.plus(wait)), "r"), CheckinAction::Beat(b) if b.inventory));

    let mut m = CheckinMachine::new(CheckinConfig { may_enrol_again: true, ..config("k", &["a"]) }, UP, WALL);
    let first = first_beat(&mut m);
    m.on_answer(at(first), refused(404, "unknown_agent"));
    assert!(matches!(m.next(at(first), "r"), CheckinAction::Enrol(_, EnrolFor::Lost)));
    m.on_answer(at(first), refused(401, "token_expired"));
    assert_eq!(kinds(&m, UP), ["unknown_agent"]);
    let sent = run(&mut m, first, first.plus(120_000), 5, |_, _| refused(404, "unknown_agent"));
    assert!((3..=4).contains(&sent.len()) && sent.iter().all(|s| s.beat().inventory), "{sent:?}");
}

#[test]
fn a_wrong_path_does_not_spend_the_enrolment_token() {
    let mut m = CheckinMachine::new(CheckinConfig { may_enrol_again: true, ..config("k", &["a"]) }, UP, WALL);
    let first = first_beat(&mut m);
    let nginx = ManagerRefusal { status: 404, code: None, message: "nginx".into(), retry_after_s: None };
    m.on_answer(at(first), Answer::Refused(nginx));
    assert!(matches!(m.next(at(first), "r"), CheckinAction::Wait(Some(_))));
}

#[test]
fn a_duplicate_keeps_asking_in_its_slot_and_recovers_when_a_person_has_decided() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(120_000), 5, |_, _| refused(409, "duplicate_agent"));
    assert!((4..=5).contains(&sent.len()));
    assert_eq!(m.state(), CheckinState::DuplicateIdentity);
    assert_eq!(kinds(&m, UP), ["duplicate_identity"]);
    let _ = run(&mut m, UP.plus(120_000), UP.plus(160_000), 5, |_, _| accepted());
    assert_eq!(m.state(), CheckinState::Ok);
}

#[test]
fn t17_deletion_counts_only_with_its_code_and_twice_a_minute_apart() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(600_000), 5, |_, _| refused(410, "agent_deleted"));
    assert_eq!(m.state(), CheckinState::Forgotten);
    assert_eq!(kinds(&m, UP), ["agent_deleted"]);
    assert!(sent.last().unwrap().at.since(sent[0].at) >= 60_000);
    assert!(sent.len() <= 4, "it goes on after the second: {}", sent.len());

    let mut m = machine(&["a"]);
    let _ = run(&mut m, UP, UP.plus(600_000), 5, |_, _| refused(410, "internal"));
    assert_eq!(m.state(), CheckinState::Unreachable);

    let mut m = machine(&["a"]);
    let mut turn = 0;
    let _ = run(&mut m, UP, UP.plus(600_000), 5, |_, _| {
        turn += 1;
        if turn % 2 == 0 { accepted() } else { refused(410, "agent_deleted") }
    });
    assert_ne!(m.state(), CheckinState::Forgotten);
}

#[test]
fn t18_upgrade_required_goes_on_in_its_slot() {
    let mut m = machine(&["a"]);
    let sent = run(&mut m, UP, UP.plus(150_000), 5, |_, _| refused(426, "upgrade_required"));
    assert!((5..=6).contains(&sent.len()));
    assert_eq!(m.state(), CheckinState::UpgradeRequired);
    assert_eq!(kinds(&m, UP), ["upgrade_required"]);
}

#[test]
fn t20_an_error_in_a_200_goes_to_the_next_manager() {
    let mut m = machine(&["a", "b"]);
    let sent = run(&mut m, UP, UP.plus(4010), 5, |_, what| match what {
        CheckinAction::Beat(b) if b.manager.host == "b" => accepted(),
        CheckinAction::Beat(_) | CheckinAction::Wait(_) | CheckinAction::Enrol(..) => refused(200, "internal"),
    });
    assert_eq!(sent.iter().take(2).map(|s| s.beat().manager.host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(m.state(), CheckinState::Ok);
}

#[test]
fn a_202_says_nothing_to_a_heartbeat() {
    let (m, first, _) = after(later(202, 5));
    assert_eq!((m.state(), m.asked_to_wait_until(first)), (CheckinState::Unreachable, None));
}

#[test]
fn t02_enrolment_waits_for_approval_and_stops_where_a_person_must_act() {
    let enrolling = || CheckinMachine::new(CheckinConfig { goal: Goal::Enrol, ..config("hash", &["a"]) }, UP, WALL);
    let mut m = enrolling();
    let sent = run(&mut m, UP, UP.plus(150_000), 1, |_, _| later(202, 5));
    let phase = i64::try_from(stable_hash("hash") % 30_000).unwrap();
    assert!((5..=6).contains(&sent.len()));
    assert!(sent[1..].iter().all(|s| at(s.at).wall.0.rem_euclid(30_000) == phase), "not in the own slot");
    assert_eq!(m.state(), CheckinState::PendingApproval);
    let sent = run(&mut enrolling(), UP, UP.plus(650_000), 1, |_, _| later(202, 200));
    assert!(sent.windows(2).all(|w| (200_000..=230_000).contains(&w[1].at.since(w[0].at))));

    for (answer, state) in [
        (refused(401, "token_expired"), CheckinState::Unauthenticated),
        (refused(409, "enrol_used"), CheckinState::DuplicateIdentity),
    ] {
        let mut m = enrolling();
        assert_eq!(run(&mut m, UP, UP.plus(900_000), 1, |_, _| answer.clone()).len(), 1);
        assert_eq!(m.state(), state);
        m.on_keys(UP.plus(900_000), Vec::new(), true);
        assert!(matches!(m.next(at(UP.plus(900_000)), ""), CheckinAction::Enrol(..)));
    }

    let mut m = enrolling();
    let sent = run(&mut m, UP, UP.plus(300_000), 1, |_, _| down());
    assert!(sent[2..].windows(2).all(|w| w[1].at.since(w[0].at) == 30_000));
}

#[test]
fn what_a_stranger_says_of_this_host_is_not_believed() {
    for (status, code) in [
        (401, Code::InvalidToken),
        (403, Code::NotApproved),
        (404, Code::UnknownAgent),
        (409, Code::DuplicateAgent),
        (410, Code::AgentDeleted),
    ] {
        let managers = KnownManagers {
            last_accepted: Some(places(&["mine"]).remove(0)),
            listed: places(&["stranger"]),
            ..KnownManagers::default()
        };
        let mut m =
            CheckinMachine::new(CheckinConfig { managers, may_enrol_again: true, ..config("k", &[]) }, UP, WALL);
        let mut mine_is_up = false;
        let mut play = |m: &mut CheckinMachine, from: BootMillis, to: BootMillis, up: bool| {
            mine_is_up = up;
            run(m, from, to, 5, |_, what| match what {
                CheckinAction::Beat(b) if b.manager.host == "mine" && mine_is_up => accepted(),
                CheckinAction::Beat(b) if b.manager.host == "mine" => down(),
                CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => {
                    refused(status, code.name())
                }
            })
        };
        let during = play(&mut m, UP, UP.plus(600_000), false);
        assert!(
            during.iter().all(|s| matches!(s.what, CheckinAction::Beat(_))),
            "{status}: it gives its token to a stranger"
        );
        assert_eq!(m.state(), CheckinState::Unreachable, "{status}");
        let _ = play(&mut m, UP.plus(600_000), UP.plus(640_000), true);
        assert_eq!(m.state(), CheckinState::Ok, "{status}: it does not find back");
    }
}
