//! What the check-in does after each answer of the contract's table.

use crate::world::{UP, WALL, accepted, config, down, machine, refused, run};
use model::checkin::{Action, Answer, Config, Goal, Machine, Omit, Refused};
use model::enrol::CheckinState;
use model::time::BootMillis;

fn kinds(m: &Machine, now: BootMillis) -> Vec<&'static str> {
    m.standing(now).into_iter().map(|s| s.kind).collect()
}

fn after(answer: Answer) -> (Machine, u64) {
    let mut m = machine(&["a"]);
    let _ = m.next(UP, "r");
    m.on_answer(UP.plus(10), answer);
    let wait = match m.next(UP.plus(10), "r") {
        Action::Wait(Some(at)) => at.since(UP.plus(10)),
        Action::Wait(None) | Action::Beat(_) | Action::Enrol(_) => 0,
    };
    (m, wait)
}

#[test]
fn t09_retry_after_is_kept_to_and_capped() {
    for (asked, kept) in [(7, 7_000), (120, 120_000), (9999, 300_000)] {
        let answer = Refused { status: 429, code: None, message: String::new(), retry_after_s: Some(asked) };
        let (m, wait) = after(Answer::Refused(answer));
        assert_eq!(wait, kept);
        assert_eq!(kinds(&m, UP), ["rate_limited"]);
    }
    let (_, wait) = after(refused(429, "rate_limited"));
    assert!((1..=30_000).contains(&wait));
}

#[test]
fn t10_a_refused_credential_is_followed_by_the_next_once_then_every_quarter_of_a_minute() {
    let mut m = Machine::new(Config { credentials: 2, ..config("k", &["a"]) }, UP, WALL);
    let sent = run(&mut m, UP, UP.plus(120_000), 5, |_, _| refused(401, "invalid_token"));
    assert_eq!((sent[0].beat().credential, sent[1].beat().credential), (0, 1));
    assert_eq!(sent[1].at.since(sent[0].at), 5);
    let gaps: Vec<_> = sent[1..].windows(2).map(|w| w[1].at.since(w[0].at)).collect();
    assert!(gaps.len() >= 5 && gaps.iter().all(|g| (7_500..22_600).contains(g)), "{gaps:?}");
    assert!(gaps.iter().any(|g| g != &gaps[0]), "no jitter: {gaps:?}");
    assert_eq!(m.state(), CheckinState::Unauthenticated);
    assert_eq!(kinds(&m, UP), ["unauthenticated"]);
}

#[test]
fn t10_the_next_credential_that_works_stays() {
    let mut m = Machine::new(Config { credentials: 2, ..config("k", &["a"]) }, UP, WALL);
    let works = |_: BootMillis, what: &Action| match what {
        Action::Beat(b) if b.credential == 1 => accepted(),
        Action::Beat(_) | Action::Wait(_) | Action::Enrol(_) => refused(401, "token_expired"),
    };
    let sent = run(&mut m, UP, UP.plus(200_000), 5, works);
    assert!(sent[1..].iter().all(|s| s.beat().credential == 1));
    assert_eq!(m.state(), CheckinState::Ok);
    assert!(kinds(&m, UP).is_empty());
}

#[test]
fn t10_an_edited_token_is_tried_at_once() {
    let (mut m, wait) = after(refused(401, "invalid_token"));
    assert!(wait >= 7_500);
    m.on_credentials(UP.plus(500), 2, Some(1));
    assert!(matches!(m.next(UP.plus(500), "r"), Action::Beat(b) if b.credential == 1));
}

#[test]
fn a_wrong_report_is_slimmed_and_comes_back_whole_after_an_hour() {
    let mut m = machine(&["a"]);
    let picky = |_: BootMillis, what: &Action| match what {
        Action::Beat(b) if b.omit == Omit::Optional => accepted(),
        Action::Beat(_) | Action::Wait(_) | Action::Enrol(_) => refused(400, "bad_request"),
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
    assert!(sent[1..].windows(2).all(|w| w[1].at.since(w[0].at) == 30_000));
    assert_eq!(m.state(), CheckinState::PendingApproval);
}

#[test]
fn an_unknown_host_sends_its_inventory_again_or_enrols_once() {
    let (mut m, wait) = after(refused(404, "unknown_agent"));
    assert_eq!(kinds(&m, UP), ["unknown_agent"]);
    assert!(matches!(m.next(UP.plus(10 + wait), "r"), Action::Beat(b) if b.inventory));

    let mut m = Machine::new(Config { may_enrol_again: true, ..config("k", &["a"]) }, UP, WALL);
    let _ = m.next(UP, "r");
    m.on_answer(UP.plus(10), refused(404, "unknown_agent"));
    assert!(matches!(m.next(UP.plus(10), "r"), Action::Enrol(_)));
    m.on_answer(UP.plus(20), refused(401, "token_expired"));
    assert_eq!(kinds(&m, UP), ["unknown_agent"]);
    let sent = run(&mut m, UP.plus(30), UP.plus(120_000), 5, |_, _| refused(404, "unknown_agent"));
    assert!((3..=4).contains(&sent.len()) && sent.iter().all(|s| s.beat().inventory), "{sent:?}");
}

#[test]
fn a_wrong_path_does_not_spend_the_enrolment_token() {
    let mut m = Machine::new(Config { may_enrol_again: true, ..config("k", &["a"]) }, UP, WALL);
    let _ = m.next(UP, "r");
    m.on_answer(
        UP.plus(10),
        Answer::Refused(Refused { status: 404, code: None, message: "nginx".into(), retry_after_s: None }),
    );
    assert!(matches!(m.next(UP.plus(10), "r"), Action::Wait(Some(_))));
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
    let sent = run(&mut m, UP, UP.plus(10), 5, |_, what| match what {
        Action::Beat(b) if b.manager.host == "b" => accepted(),
        Action::Beat(_) | Action::Wait(_) | Action::Enrol(_) => refused(200, "internal"),
    });
    assert_eq!(sent.iter().map(|s| s.beat().manager.host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(m.state(), CheckinState::Ok);
}

#[test]
fn t02_enrolment_waits_for_approval_and_stops_where_a_person_must_act() {
    let enrolling = || Machine::new(Config { goal: Goal::Enrol, ..config("hash", &["a"]) }, UP, WALL);
    let mut m = enrolling();
    let pending = Answer::Refused(Refused { status: 202, code: None, message: String::new(), retry_after_s: Some(5) });
    let sent = run(&mut m, UP, UP.plus(21_000), 1, |_, _| pending.clone());
    assert_eq!(sent.len(), 5);
    assert_eq!(m.state(), CheckinState::PendingApproval);

    for (answer, state) in [
        (refused(401, "token_expired"), CheckinState::Unauthenticated),
        (refused(409, "enrol_used"), CheckinState::DuplicateIdentity),
    ] {
        let mut m = enrolling();
        assert_eq!(run(&mut m, UP, UP.plus(900_000), 1, |_, _| answer.clone()).len(), 1);
        assert_eq!(m.state(), state);
        m.on_credentials(UP.plus(900_000), 1, Some(0));
        assert!(matches!(m.next(UP.plus(900_000), ""), Action::Enrol(_)));
    }

    let mut m = enrolling();
    let sent = run(&mut m, UP, UP.plus(300_000), 1, |_, _| down());
    assert!(sent[1..].windows(2).all(|w| w[1].at.since(w[0].at) == 30_000));
}
