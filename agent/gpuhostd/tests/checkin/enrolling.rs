//! Enrolment: good, refused, waiting, again with the same key, unattended, goodbye.

use crate::world::{Host, TOKEN, no_violations, spec, with_token};
use manager::{Auth, Code, Endpoint, EnrolToken, Manager, Mode, Options, Scripted};
use model::checkin::Pins;
use model::checkin::slot::stable_hash;
use model::enrol::{CheckinState, EnrolSpec, Farewell};
use model::refusal::Refusal;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn enrolments(manager: &Manager) -> Vec<manager::Request> {
    manager.requests().into_iter().filter(|r| r.endpoint == Some(Endpoint::Enroll)).collect()
}

#[tokio::test]
async fn t02_enrolment_by_hand_gives_a_certificate_and_the_first_heartbeat() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::NotEnrolled);
    running.enrol(&manager, TOKEN).await.unwrap();
    assert_eq!(running.state(), CheckinState::Ok);
    let beats = manager.heartbeats();
    assert!(matches!(beats[0].auth, Auth::Certificate { .. }) && beats[0].accepted);
    assert_eq!(Some(beats[0].body["server_id"].as_str().unwrap()), running.now().server_id.as_deref());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.identity()), 0o600);
    assert_eq!(mode(host.identity().parent().unwrap()), 0o700);
    let again = running.enrol(&manager, TOKEN).await.unwrap_err();
    assert!(matches!(&again, Refusal::Conflict { why } if why.contains("gpuhostctl leave")), "{again}");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t02_a_refused_token_is_said_and_nothing_is_kept() {
    let host = Host::new();
    let expired = EnrolToken { expired: true, ..EnrolToken::new("old") };
    let manager = host.manager(Options { enrol_tokens: vec![expired], ..Options::default() }).await;
    let running = host.start().await;
    for token in ["old", "never-issued"] {
        let no = running.enrol(&manager, token).await.unwrap_err();
        let Refusal::InvalidArgument { argument, why } = &no else { panic!("{no:?}") };
        assert_eq!(argument, "token");
        assert!(why.contains("401") && why.contains("new token") && !why.contains(token), "{why}");
    }
    manager.script(Endpoint::Enroll, vec![Scripted::refusal(Code::EnrolUsed, "used")]);
    let used = running.enrol(&manager, TOKEN).await.unwrap_err();
    assert!(matches!(&used, Refusal::Conflict { why } if why.contains("409") && why.contains("enrol_used")), "{used}");
    assert_eq!(running.state(), CheckinState::NotEnrolled);
    assert_eq!(std::fs::read_dir(host.state.path().join("identity")).unwrap().count(), 0);
    running.stop().await;
}

#[tokio::test]
async fn t02_waiting_for_approval_survives_a_restart() {
    let host = Host::new();
    let slow = EnrolToken { pending_rounds: 3, ..EnrolToken::new(TOKEN) };
    let manager = host.manager(Options { enrol_tokens: vec![slow], ..Options::default() }).await;
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    assert_eq!(running.state(), CheckinState::PendingApproval);
    assert_eq!(running.conditions(), ["pending_approval"]);
    running.stop().await;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::PendingApproval);
    host.clock.advance(600_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    let csrs: Vec<_> = enrolments(&manager).iter().map(|r| r.body["machine_id_hash"].clone()).collect();
    assert!(csrs.len() >= 4 && csrs.windows(2).all(|w| w[0] == w[1]));
    assert!(!host.state.path().join("identity/enrolment.json").exists());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t03_a_lost_answer_is_asked_for_again_with_the_same_key() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    // The manager enrols the host, but its answer never arrives.
    manager.script(Endpoint::Enroll, vec![Scripted::raw(502, "text/plain", b"bad gateway").handled()]);
    let running = host.start().await;
    let no = running.enrol(&manager, TOKEN).await.unwrap_err();
    assert!(matches!(no, Refusal::Unavailable { .. }), "{no}");
    running.stop().await;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::NotEnrolled);
    running.enrol(&manager, TOKEN).await.unwrap();
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(manager.enrolled().len(), 1);
    let statuses: Vec<_> = enrolments(&manager).iter().map(|r| r.status).collect();
    assert_eq!(statuses.last(), Some(&200));
    running.stop().await;
}

#[tokio::test]
async fn unattended_enrolment_retries_in_its_slot_until_the_manager_is_there() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    manager.set_down(true);
    let running = host.start().await;
    host.clock.advance(300_000).await;
    assert_eq!(running.state(), CheckinState::Unreachable);
    manager.set_down(false);
    host.clock.advance(33_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn an_unreadable_token_file_says_how_to_mend_it_and_is_taken_when_it_appears() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let path = host.settings.enrolment_token_file.clone().unwrap();
    std::fs::remove_file(&path).unwrap();
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::NotEnrolled);
    let message = running.condition("credential_unreadable");
    assert!(message.contains(&path) && message.contains("chown root:gpuhostd"), "{message}");
    std::fs::write(&path, TOKEN).unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(running.conditions().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_spent_token_is_replaced_by_editing_its_file() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], "spent");
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    host.clock.advance(900_000).await;
    assert_eq!(enrolments(&manager).len(), 1, "a refused token is tried again and again");
    std::fs::write(host.settings.enrolment_token_file.as_ref().unwrap(), TOKEN).unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_token_that_is_edited_while_the_old_one_is_refused_is_tried_all_the_same() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], "spent");
    manager.script(
        Endpoint::Enroll,
        vec![Scripted::refusal(Code::InvalidToken, "spent").after(Duration::from_millis(500))],
    );
    host.clock.let_hang(&["enrolment"]);
    let running = host.start().await;
    std::fs::write(host.settings.enrolment_token_file.as_ref().unwrap(), TOKEN).unwrap();
    host.clock.advance(1000).await;
    host.clock.let_hang(&[]);
    host.clock.advance(2000).await;
    assert_eq!((running.state(), enrolments(&manager).len()), (CheckinState::Ok, 2));
    let keys: Vec<_> = enrolments(&manager).into_iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert_ne!(keys[0], keys[1], "another token is another wish");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn the_token_that_a_person_gave_is_not_replaced_by_the_one_of_the_file() {
    let mut host = Host::new();
    let slow = EnrolToken { pending_rounds: 4, ..EnrolToken::new(TOKEN) };
    let manager = host.manager(Options { enrol_tokens: vec![slow], ..Options::default() }).await;
    host.unattended(&[&manager], "spent");
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    running.enrol(&manager, TOKEN).await.unwrap();
    assert_eq!(running.state(), CheckinState::PendingApproval);
    host.clock.advance(2000).await;
    running.stop().await;
    host.clock.jump(1000);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::PendingApproval);
    host.clock.advance(200_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn secrets_work_as_certificates_do() {
    let host = Host::new();
    let manager = host.manager(Options { mode: Mode::Secrets, ..with_token() }).await;
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    assert!(matches!(manager.heartbeats()[0].auth, Auth::Bearer(_)) && manager.heartbeats()[0].accepted);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn leaving_tells_the_manager_and_wipes_everything() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    let farewell = running.port.leave().await.unwrap();
    assert!(matches!(farewell, Farewell::Told { .. }), "{farewell:?}");
    let again = running.port.leave().await.unwrap();
    assert_eq!(again, Farewell::NotEnrolled, "there is nothing left to leave");
    assert_eq!(running.state(), CheckinState::NotEnrolled);
    assert_eq!(running.now().server_id, None);
    assert!(manager.requests().iter().any(|r| r.endpoint == Some(Endpoint::Deregister) && r.status == 200));
    assert_eq!(std::fs::read_dir(host.state.path().join("identity")).unwrap().count(), 0);
    let before = manager.heartbeats().len();
    host.clock.advance(120_000).await;
    assert_eq!(manager.heartbeats().len(), before);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn leaving_does_not_need_the_manager() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    manager.set_down(true);
    let farewell = running.port.leave().await.unwrap();
    assert!(matches!(&farewell, Farewell::NotTold { why, .. } if !why.is_empty()), "{farewell:?}");
    assert!(farewell.to_string().contains("could not be notified"), "{farewell}");
    assert!(!host.identity().exists());
    running.stop().await;
}

#[tokio::test]
async fn the_credential_is_renewed_after_two_thirds_of_its_life_and_the_old_one_goes_after_the_new_one_worked() {
    for mode in [Mode::Certificates, Mode::Secrets] {
        let host = Host::new();
        let options = Options { mode, credential_life: Duration::from_secs(3600), ..with_token() };
        let manager = host.manager(options).await;
        let running = host.start().await;
        running.enrol(&manager, TOKEN).await.unwrap();
        let renewals = |m: &Manager| m.requests().iter().filter(|r| r.endpoint == Some(Endpoint::Credentials)).count();
        let first = host.kept()["credentials"].clone();
        host.clock.advance(2_390_000).await;
        assert_eq!(renewals(&manager), 0);
        host.clock.advance(450_000).await;
        assert_eq!(renewals(&manager), 1);
        let now = host.kept()["credentials"].clone();
        assert_eq!(now.as_array().unwrap().len(), 1);
        assert_ne!(now, first);
        assert_eq!(running.state(), CheckinState::Ok);
        assert!(manager.heartbeats().iter().all(|b| b.accepted));
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn a_wish_for_another_credential_is_granted_within_an_hour_or_in_the_own_slot() {
    for (wish, within_ms) in [(serde_json::json!(true), 3_600_000), (serde_json::json!("now"), 30_000)] {
        let host = Host::new();
        let manager = host.manager(with_token()).await;
        let running = host.start().await;
        running.enrol(&manager, TOKEN).await.unwrap();
        host.clock.advance(60_000).await;
        manager.set_reply(move |reply| reply["rotate_credential"] = wish.clone());
        let slot = host.clock.rest().await;
        host.clock.advance_to(slot).await;
        manager.reset_reply();
        host.clock.advance(within_ms + 1000).await;
        let renewals: Vec<_> =
            manager.requests().into_iter().filter(|r| r.endpoint == Some(Endpoint::Credentials)).collect();
        assert_eq!(renewals.iter().filter(|r| r.status == 200).count(), 1);
        let id = running.now().server_id.clone().unwrap();
        let at = renewals[0].received_at;
        let since_the_wish = at - manager.heartbeats().iter().map(|b| b.received_at).filter(|b| *b < at).max().unwrap();
        if within_ms == 30_000 {
            let phase = i64::try_from(stable_hash(&id) % 30_000).unwrap();
            assert!((at.rem_euclid(30_000) - phase).abs() <= 1000, "not in the own slot: {since_the_wish}");
        }
        assert!(manager.heartbeats().iter().all(|b| b.accepted));
        assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1);
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn bad_arguments_of_an_enrolment_are_named() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    let good = || spec(&manager, TOKEN);
    for (bad, argument) in [
        (EnrolSpec { urls: vec!["http://m.example".into()], ..good() }, "urls"),
        (EnrolSpec { urls: Vec::new(), ..good() }, "urls"),
        (EnrolSpec { token: model::enrol::Secret::new(" "), ..good() }, "token"),
        (EnrolSpec { pins: Pins::given(vec!["abc".into()]), ..good() }, "pin-sha256"),
    ] {
        let no = running.enrol_as(bad).await.unwrap_err();
        assert!(matches!(&no, Refusal::InvalidArgument { argument: a, .. } if a == argument), "{no:?}");
    }
    assert!(manager.requests().is_empty());
    running.stop().await;
}
