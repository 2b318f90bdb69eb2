//! A credential that has ended while the host was off: it comes back without anybody who logs in.

use crate::world::{Host, Running, TOKEN, no_violations, with_token};
use manager::{Auth, Endpoint, Manager, Mode, Options, Scripted};
use model::enrol::CheckinState;
use std::time::Duration;

fn options(mode: Mode, recovers_by_key: bool) -> Options {
    Options { mode, recovers_by_key, credential_life: Duration::from_secs(86_400), ..with_token() }
}

/// A host that was off for longer than its credential lives.
async fn ended(host: &mut Host, options: Options) -> (Manager, Running, String) {
    let is_secret = options.mode == Mode::Secrets;
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let id = running.now().server_id.clone().unwrap();
    running.stop().await;
    host.settings.enrolment_token_file = None;
    host.clock.jump(30 * 86_400_000);
    if is_secret {
        // TLS sees that a certificate has ended; a secret's end the manager has to see itself.
        manager.revoke(&id);
    }
    let running = host.start().await;
    (manager, running, id)
}

fn enrolments(manager: &Manager) -> Vec<manager::Request> {
    manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::Enroll)).collect()
}

#[tokio::test]
async fn t33_an_ended_credential_comes_back_by_its_key_alone() {
    for mode in [Mode::Certificates, Mode::Secrets] {
        let mut host = Host::new();
        let (manager, running, id) = ended(&mut host, options(mode.clone(), true)).await;
        host.clock.advance(30_000).await;
        assert_eq!((running.state(), running.now().server_id.clone()), (CheckinState::Ok, Some(id)), "{mode:?}");
        assert!(running.conditions().is_empty(), "{:?}", running.conditions());
        let asked = enrolments(&manager);
        assert_eq!((asked.len(), asked[1].headers.get("authorization")), (2, None), "{mode:?}");
        assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1, "the ended one is kept");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn t33_an_ended_credential_waits_for_an_administrator_and_asks_at_most_every_ten_minutes() {
    let mut host = Host::new();
    let (manager, running, id) = ended(&mut host, options(Mode::Certificates, false)).await;
    host.clock.advance(3_600_000).await;
    assert_eq!(running.state(), CheckinState::PendingApproval);
    assert_eq!(running.conditions(), ["credential_expired", "pending_approval"]);
    let message = running.condition("credential_expired");
    assert!(
        message.contains("automatically") && message.contains("approve") && !message.contains("manager's certificate"),
        "{message}"
    );
    let asked = enrolments(&manager);
    let gaps: Vec<_> = asked[1..].windows(2).map(|w| w[1].received_at - w[0].received_at).collect();
    assert!((4..=6).contains(&gaps.len()) && gaps.iter().all(|gap| (600_000..=640_000).contains(gap)), "{gaps:?}");
    let key = |request: &manager::Request| request.headers["idempotency-key"].clone();
    assert!(
        asked[1..]
            .iter()
            .all(|request| key(request) == key(&asked[1]) && request.body["csr_pem"] == asked[1].body["csr_pem"])
    );
    assert!(asked.iter().skip(1).all(|request| request.body["server_id"] == id.as_str()));
    assert!(manager.approve(&id));
    host.clock.advance(640_000).await;
    assert_eq!((running.state(), running.now().server_id.clone()), (CheckinState::Ok, Some(id)));
    assert!(running.conditions().is_empty());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t33_an_end_while_the_daemon_runs_and_no_manager_answers_needs_no_restart() {
    let mut host = Host::new();
    let short = Options { credential_life: Duration::from_secs(3600), ..options(Mode::Certificates, true) };
    let manager = host.manager(short).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    manager.set_down(true);
    host.clock.advance(2 * 3_600_000).await;
    assert!(running.conditions().contains(&"credential_expired".to_owned()), "{:?}", running.conditions());
    manager.set_down(false);
    host.clock.advance(31_000).await;
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t33_the_alert_about_our_certificate_never_blames_the_managers() {
    let mut host = Host::new();
    let (manager, running, _) = ended(&mut host, options(Mode::Certificates, false)).await;
    manager.script(Endpoint::Enroll, vec![Scripted::page(502); 99]);
    host.clock.advance(120_000).await;
    let said = format!("{:?}", running.now());
    assert!(said.contains("credential_expired"), "{said}");
    assert!(!said.contains("renew the manager's certificate") && !said.contains("docs.rs"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn a_token_at_hand_goes_with_it_and_one_that_is_refused_is_left_out() {
    let mut host = Host::new();
    let manager = host.manager(options(Mode::Certificates, true)).await;
    host.unattended(&[&manager], TOKEN);
    host.start().await.stop().await;
    std::fs::write(host.settings.enrolment_token_file.as_ref().unwrap(), "spent-by-somebody-else").unwrap();
    host.clock.jump(30 * 86_400_000);
    let running = host.start().await;
    host.clock.advance(60_000).await;
    let bearer = |request: &manager::Request| request.headers.get("authorization").cloned();
    let asked = enrolments(&manager);
    assert_eq!(asked.last().and_then(bearer).as_deref(), Some("Bearer spent-by-somebody-else"));
    assert_eq!(asked.last().unwrap().status, 401);
    host.clock.advance(640_000).await;
    let asked = enrolments(&manager);
    assert_eq!((asked.last().and_then(bearer), asked.last().unwrap().status), (None, 200));
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(matches!(manager.heartbeats().last().unwrap().auth, Auth::Certificate { .. }));
    running.stop().await;
    no_violations(&manager);
}

/// The manager had given a new certificate, its answer was lost, and then the host was off.
#[tokio::test]
async fn a_renewal_whose_answer_was_lost_does_not_cost_the_identity() {
    let mut host = Host::new();
    let manager = host.manager(options(Mode::Certificates, true)).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let id = running.now().server_id.clone();
    manager.script(Endpoint::Credentials, vec![Scripted::cut().handled()]);
    manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
    host.clock.advance(61_000).await;
    manager.reset_reply();
    running.stop().await;
    host.settings.enrolment_token_file = None;
    host.clock.jump(30 * 86_400_000);
    let running = host.start().await;
    host.clock.advance(700_000).await;
    assert_eq!((running.state(), running.now().server_id.clone()), (CheckinState::Ok, id), "{:?}", running.now());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_clock_that_is_a_year_ahead_for_a_while_costs_no_identity() {
    let mut host = Host::new();
    let true_time = host.clock.wall_now_minus_boot();
    let clock = std::sync::Arc::clone(&host.clock);
    let right: manager::Clock = std::sync::Arc::new(move || clock.boot_millis() + true_time);
    let manager = host.manager(Options { clock: Some(right), ..options(Mode::Certificates, false) }).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let before = enrolments(&manager).len();
    running.stop().await;
    host.clock.step_wall(365 * 86_400_000);
    let running = host.start().await;
    host.clock.advance(600_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(running.conditions(), ["clock_skew"]);
    assert_eq!(enrolments(&manager).len(), before, "it threw a good credential away");
    host.clock.step_wall(-365 * 86_400_000);
    host.clock.advance(600_000).await;
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()));
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    running.stop().await;
}

/// A front, or a manager, whose clock was years ahead for an hour: nothing has ended, and no administrator has to approve anything.
#[tokio::test]
async fn t33_a_manager_whose_clock_was_wrong_for_an_hour_costs_no_identity() {
    let mut host = Host::new();
    let manager = host.manager(options(Mode::Secrets, false)).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let (id, before) = (running.now().server_id.clone(), host.kept()["credentials"].clone());
    host.settings.enrolment_token_file = None;
    running.reload(host.settings.clone()).await;
    manager.set_gate(|endpoint, _| match endpoint {
        Endpoint::Heartbeat => Some(Scripted::refusal(manager::Code::TokenExpired, "expired")),
        Endpoint::Enroll => Some(Scripted::status(202).header("retry-after", "5")),
        Endpoint::Version
        | Endpoint::DesiredState
        | Endpoint::Events
        | Endpoint::Credentials
        | Endpoint::Deregister
        | Endpoint::Healthcheck
        | Endpoint::SetServerStatus => None,
    });
    host.clock.advance(3_600_000).await;
    assert_eq!(running.conditions(), ["credential_expired", "pending_approval"]);
    manager.reset_gate();
    host.clock.advance(660_000).await;
    assert_eq!((running.state(), running.now().server_id.clone()), (CheckinState::Ok, id), "{:?}", running.now());
    assert_eq!(host.kept()["credentials"], before);
    running.stop().await;
}

#[tokio::test]
async fn t09_a_202_is_followed_by_its_pause_in_seconds_or_as_a_date() {
    for (after, least) in [("90".to_owned(), 90_000), ("date".to_owned(), 119_000), ("86400".to_owned(), 300_000)] {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        let clock = std::sync::Arc::clone(&host.clock);
        manager.set_gate(move |endpoint, _| {
            use model::ports::Clock;
            let in_two_minutes = jiff::Timestamp::from_millisecond(clock.wall_now().0 + 120_000).unwrap();
            let date = in_two_minutes.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let after = if after == "date" { date } else { after.clone() };
            (endpoint == Endpoint::Enroll).then(|| Scripted::status(202).header("retry-after", &after))
        });
        host.unattended(&[&manager], TOKEN);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::PendingApproval);
        host.clock.advance(700_000).await;
        let asked: Vec<_> = enrolments(&manager).iter().map(|request| request.received_at).collect();
        assert!(asked.len() >= 3, "{asked:?}");
        assert!(asked.windows(2).all(|w| (least..=least + 32_000).contains(&(w[1] - w[0]))), "{least}: {asked:?}");
        running.stop().await;
    }
}
