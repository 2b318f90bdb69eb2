//! What stands before a manager and answers in its place: pages, captive portals, gateways. None of it is the manager's word.

use crate::world::{Host, Running, TOKEN, no_violations, with_token};
use manager::{Endpoint, Manager, Options, Scripted};
use model::enrol::CheckinState;
use serde_json::json;

async fn enrolled(host: &mut Host) -> (Manager, Running) {
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    (manager, running)
}

/// What a front says in place of the manager.
fn answers() -> Vec<Scripted> {
    let mut answers = Vec::new();
    for status in [400, 403, 404, 409, 410, 426, 407, 451, 500, 502, 503, 504, 511] {
        answers.push(Scripted::page(status));
        answers.push(Scripted::json(status, &json!({"error_message": "no"})));
        answers.push(Scripted::json(status, &json!({"error_message": "no", "code": "teapot"})));
        answers.push(Scripted::status(status));
    }
    answers.push(Scripted::page(200));
    answers.push(Scripted::status(302).header("location", "https://portal.example/login"));
    answers.push(Scripted::json(200, &json!("ok")));
    answers
}

#[tokio::test]
async fn t34_what_a_front_says_is_as_a_5xx_and_conditions_go_with_every_beat() {
    for answer in answers() {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host).await;
        // The second heartbeat keeps a second's distance from the first one, whatever its slot.
        host.clock.advance(31_000).await;
        let identity = host.kept();
        let before = manager.heartbeats().len();
        manager.script(Endpoint::Heartbeat, vec![answer.clone(); 5]);
        host.clock.advance(185_000).await;
        assert_eq!(manager.scripted_left(Endpoint::Heartbeat), 0, "{answer:?}");
        let during = manager.heartbeats()[before..before + 5].to_vec();
        assert!(
            during.windows(2).all(|w| w[1].received_at - w[0].received_at == 30_000),
            "{answer:?}: not in its slot"
        );
        for beat in &during[1..] {
            assert!(beat.body.get("gpu_metrics").is_some(), "{answer:?}: the report is mute");
            assert_eq!(beat.body["conditions"][0]["type"], "manager_unreachable", "{answer:?}");
        }
        assert_eq!(running.state(), CheckinState::Ok, "{answer:?}");
        assert!(running.conditions().is_empty(), "{answer:?}: {:?}", running.conditions());
        assert_eq!(host.kept(), identity, "{answer:?}: the identity has changed");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn t34_a_wrong_report_costs_optional_blocks_for_an_hour_and_never_the_conditions() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    manager.script(Endpoint::Heartbeat, vec![Scripted::refusal(manager::Code::BadRequest, "/gpu_metrics is odd")]);
    host.clock.advance(60_000).await;
    let slim = manager.heartbeats().pop().unwrap();
    assert!(slim.accepted && slim.body.get("gpu_metrics").is_none() && slim.body.get("inventory").is_none());
    let said = &slim.body["conditions"][0];
    assert_eq!(said["type"], "rejected_report");
    assert!(said["message"].as_str().unwrap().contains("/gpu_metrics is odd"), "{said}");
    host.clock.advance(3_600_000).await;
    assert!(manager.heartbeats().pop().unwrap().body.get("gpu_metrics").is_some());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_thousand_refusals_of_a_proxy_neither_forget_the_host_nor_its_credential() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let identity = host.kept();
    manager.set_gate(|_, _| Some(Scripted::page(401)));
    host.clock.advance(4 * 3_600_000).await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    assert!(running.now().failed > 600, "{}", running.now().failed);
    assert_eq!(host.kept(), identity);
    manager.reset_gate();
    host.clock.advance(23_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_front_at_enrolment_goes_to_the_next_manager_and_keeps_the_token() {
    for answer in
        [Scripted::page(403), Scripted::page(200), Scripted::page(409), Scripted::page(410), Scripted::page(404)]
    {
        let mut host = Host::new();
        let behind_a_portal = host.manager(with_token()).await;
        let good = host.manager(Options { fleet: Some(behind_a_portal.fleet()), ..Options::default() }).await;
        behind_a_portal.script(Endpoint::Enroll, vec![answer.clone(); 9]);
        host.unattended(&[&behind_a_portal, &good], TOKEN);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::Ok, "{answer:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn no_message_holds_the_address_of_a_librarys_manual() {
    for answer in
        [Scripted::cut(), Scripted::json(200, &json!({"server_time": "x", "pad": "x".repeat(999)})).cut_after(10)]
    {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host).await;
        manager.script(Endpoint::Heartbeat, vec![answer; 3]);
        let slot = host.clock.rest().await;
        host.clock.advance_to(slot).await;
        let said = running.now().last_error.clone().unwrap_or_default();
        assert!(said.contains("closed") && !said.contains("docs.rs") && !said.contains("close_notify"), "{said}");
        running.stop().await;
    }
}

/// Neither the token nor a report goes to where an answer points, also where this host would trust who is there.
#[tokio::test]
async fn a_redirect_is_followed_by_no_request() {
    for status in [301, 302, 303, 307, 308] {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        let elsewhere = host.manager(Options { fleet: Some(manager.fleet()), ..Options::default() }).await;
        for endpoint in [Endpoint::Enroll, Endpoint::Heartbeat, Endpoint::Version] {
            let there = format!("{}{}", elsewhere.url(), endpoint.path());
            manager.script(endpoint, vec![Scripted::status(status).header("location", &there)]);
        }
        host.unattended(&[&manager], TOKEN);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::Unreachable, "{status}");
        host.clock.advance(120_000).await;
        assert_eq!(running.state(), CheckinState::Ok, "{status}: {:?}", running.now());
        assert!(elsewhere.requests().is_empty(), "{status}: {:?}", elsewhere.requests());
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn each_path_of_the_configuration_is_the_one_that_is_asked() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    host.settings.paths.enroll = "/kasm/enroll".to_owned();
    let running = host.start().await;
    let asked = || manager.requests().into_iter().map(|request| request.path).collect::<Vec<_>>();
    assert!(asked().contains(&"/kasm/enroll".to_owned()), "{:?}", asked());
    assert_ne!(running.state(), CheckinState::Ok);
    running.stop().await;
    host.settings.paths.enroll = Endpoint::Enroll.path().to_owned();
    host.settings.paths.heartbeat = "/kasm/beat".to_owned();
    host.settings.paths.version = "/kasm/version".to_owned();
    host.settings.paths.deregister = "/kasm/gone".to_owned();
    host.clock.jump(60_000);
    let running = host.start().await;
    host.clock.advance(95_000).await;
    running.port.leave().await.unwrap();
    for path in ["/kasm/version", "/kasm/beat", "/kasm/gone"] {
        assert!(asked().contains(&path.to_owned()), "{path}: {:?}", asked());
    }
    assert!(!asked().contains(&Endpoint::Heartbeat.path().to_owned()));
    running.stop().await;
}
