//! The managers that a reply names: one wrong list in one reply must not lose a host, and a right one moves it.

use crate::world::{Host, Running, TOKEN, no_violations, spec, with_token};
use manager::{Endpoint, Manager, Options, Scripted};
use model::enrol::CheckinState;
use serde_json::{Value, json};

/// Enrolled by hand: nothing but the identity says where the manager is.
async fn by_hand(host: &Host, options: Options) -> (Manager, Running) {
    let manager = host.manager(options).await;
    let running = host.start().await;
    running.enrol_as(spec(&manager, TOKEN)).await.unwrap();
    (manager, running)
}

fn place(manager: &Manager) -> Value {
    json!({"hostname": "127.0.0.1", "port": manager.addr().port()})
}

/// Nobody listens there.
fn nowhere() -> Value {
    json!({"hostname": "127.0.0.1", "port": 9})
}

#[tokio::test]
async fn one_wrong_list_in_one_accepted_reply_does_not_lose_the_host() {
    for wrong in [
        json!([nowhere()]),
        json!([nowhere(), {"hostname": "no-such-name.invalid"}]),
        json!([{"hostname": "127.0.0.1", "port": 1}]),
    ] {
        let host = Host::new();
        let (manager, running) = by_hand(&host, with_token()).await;
        let list = wrong.clone();
        manager.set_reply(move |reply| reply["managers"] = list.clone());
        host.clock.advance(30_000).await;
        manager.reset_reply();
        host.clock.advance(540_000).await;
        assert_eq!(running.state(), CheckinState::Ok, "{wrong}: {:?}", running.now());
        let kept = host.kept();
        assert_eq!(
            kept["managers"][0]["port"],
            manager.addr().port(),
            "{wrong}: adopted although nobody of it answered"
        );
        running.stop().await;
        for _ in 0..2 {
            host.clock.jump(60_000);
            let running = host.start().await;
            assert_eq!(running.state(), CheckinState::Ok, "{wrong}: lost over a restart");
            running.stop().await;
        }
        no_violations(&manager);
    }
}

#[tokio::test]
async fn the_same_list_in_every_reply_does_not_make_heartbeats_late() {
    let host = Host::new();
    let (manager, running) = by_hand(&host, with_token()).await;
    manager.set_reply(|reply| reply["managers"] = json!([nowhere()]));
    host.clock.advance(1_800_000).await;
    let accepted = manager.heartbeats().iter().filter(|beat| beat.accepted).count();
    assert!(accepted >= 60, "{accepted} heartbeats in half an hour");
    assert_eq!((running.state(), running.now().failed), (CheckinState::Ok, 1));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_right_list_moves_the_host_and_counts_from_the_first_accepted_heartbeat_on() {
    let host = Host::new();
    let (first, running) = by_hand(&host, with_token()).await;
    let second = host.manager(Options { fleet: Some(first.fleet()), ..Options::default() }).await;
    let list = json!([place(&second)]);
    first.set_reply(move |reply| reply["managers"] = list.clone());
    host.clock.advance(65_000).await;
    assert_eq!(running.now().manager.as_deref(), Some(second.addr().to_string().as_str()));
    assert_eq!(
        host.kept()["managers"],
        json!([{"host": "127.0.0.1", "port": second.addr().port(), "zone": null, "priority": null}])
    );
    running.stop().await;
    // The one that it enrolled with stays a last resort for ever.
    host.clock.jump(60_000);
    second.set_down(true);
    let running = host.start().await;
    assert_eq!(running.now().manager.as_deref(), Some(first.addr().to_string().as_str()));
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&second);
}

/// The list names a manager of another fleet, which knows nobody of ours.
#[tokio::test]
async fn what_a_manager_of_another_fleet_says_of_the_host_does_not_count() {
    let strange = [
        ("unknown", Scripted::refusal(manager::Code::UnknownAgent, "who?")),
        ("wrong token", Scripted::refusal(manager::Code::InvalidToken, "no")),
        ("deleted", Scripted::refusal(manager::Code::AgentDeleted, "gone")),
        ("not approved", Scripted::refusal(manager::Code::NotApproved, "wait")),
        ("duplicate", Scripted::refusal(manager::Code::DuplicateAgent, "twice")),
    ];
    for (what, answer) in strange {
        let host = Host::new();
        let (mine, running) = by_hand(&host, with_token()).await;
        let stranger = host.manager(Options { fleet: Some(mine.fleet()), ..Options::default() }).await;
        stranger.script(Endpoint::Heartbeat, vec![answer; 999]);
        let list = json!([place(&stranger)]);
        mine.set_reply(move |reply| reply["managers"] = list.clone());
        host.clock.advance(900_000).await;
        assert_eq!(running.state(), CheckinState::Ok, "{what}: {:?}", running.now());
        assert!(host.identity().exists(), "{what}");
        let accepted = mine.heartbeats().iter().filter(|beat| beat.accepted).count();
        assert!(accepted >= 30, "{what}: {accepted}");
        running.stop().await;
        no_violations(&mine);
    }
}

#[tokio::test]
async fn a_wrong_list_in_the_answer_to_an_enrolment_does_not_lose_the_host() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    manager.set_issue(|reply| reply["managers"] = json!([{"hostname": "127.0.0.1", "port": 9, "priority": 1}]));
    let running = host.start().await;
    running.enrol_as(spec(&manager, TOKEN)).await.unwrap();
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    running.stop().await;
    host.clock.jump(60_000);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

/// A document that moves the host into a zone: the managers of that zone are asked first where another one has to be.
#[tokio::test]
async fn the_zone_of_the_desired_state_decides_which_manager_is_asked_next() {
    for zone in [None, Some("b")] {
        let mut host = Host::new();
        let first = host.manager(with_token()).await;
        let other = Options { fleet: Some(first.fleet()), ..Options::default() };
        let (in_a, in_b) = (host.manager(other.clone()).await, host.manager(other).await);
        host.settings.zone = Some("a".to_owned());
        host.unattended(&[&first], TOKEN);
        let place = |manager: &Manager, zone: &str| json!({"hostname": "127.0.0.1", "port": manager.addr().port(), "zone": zone});
        let list = json!([place(&first, "a"), place(&in_a, "a"), place(&in_b, "b")]);
        first.set_reply(move |reply| reply["managers"] = list.clone());
        let running = host.start().await;
        host.clock.advance(30_000).await;
        let mut settings = (**running.configured.borrow()).clone();
        settings.desired.zone = zone.map(str::to_owned);
        host.clock.wake_by(|| running.configured.send_replace(std::sync::Arc::new(settings))).await;
        host.clock.advance(60_000).await;
        assert_eq!(running.now().manager, Some(first.addr().to_string()), "the one that works was left");
        first.set_busy(true);
        host.clock.advance(31_000).await;
        let next = if zone.is_some() { &in_b } else { &in_a };
        assert_eq!(running.now().manager, Some(next.addr().to_string()), "{zone:?}");
        running.stop().await;
    }
}
