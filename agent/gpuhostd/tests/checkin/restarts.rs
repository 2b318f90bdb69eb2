//! What survives a restart of the daemon: what the last accepted reply said, which token works, what the manager has seen already.

use crate::world::{Host, Running, TOKEN, no_violations, times, with_token};
use manager::{Auth, Manager, Mode, Options};
use model::enrol::CheckinState;
use model::ports::Clock;
use serde_json::json;

async fn enrolled(host: &mut Host) -> (Manager, Running) {
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    (manager, running)
}

#[tokio::test]
async fn t35_interval_and_enabled_survive_a_restart() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    manager.set_reply(|reply| {
        reply["next_heartbeat_s"] = json!(120.0);
        reply["enabled"] = false.into();
    });
    host.clock.advance(60_000).await;
    running.stop().await;
    // From here on replies say nothing of it.
    manager.set_reply(|reply| {
        reply.as_object_mut().unwrap().retain(|name, _| name == "server_time");
    });
    host.clock.jump(5_000);
    let before = manager.heartbeats().len();
    let running = host.start().await;
    assert_eq!(running.now().interval_s, 120);
    host.clock.advance(600_000).await;
    let beats = &manager.heartbeats()[before..];
    assert!(times(beats)[2..].windows(2).all(|w| w[1] - w[0] == 120_000), "{:?}", times(beats));
    assert!(beats.iter().all(|beat| beat.body["status"] == "disabled"));
    running.stop().await;

    // What a file says of the interval counts only as long as no manager has said anything.
    host.settings.heartbeat_interval_s = 200;
    let running = host.start().await;
    assert_eq!(running.now().interval_s, 120);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t35_another_identity_inherits_nothing_and_damage_costs_nothing_else() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    manager.set_reply(|reply| {
        reply["next_heartbeat_s"] = 120.into();
        reply["enabled"] = false.into();
    });
    host.clock.advance(60_000).await;
    running.stop().await;
    let file = host.state.path().join("identity/last-reply.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    manager.set_reply(|reply| {
        reply.as_object_mut().unwrap().retain(|name, _| name == "server_time");
    });
    let other = whole.replace(host.kept()["server_id"].as_str().unwrap(), "00000000-0000-4000-8000-000000000000");
    for content in ["", "{\"schema\": 1", "null", "{\"schema\": 9}", &other, &"x".repeat(2 << 20)] {
        std::fs::write(&file, content).unwrap();
        host.clock.jump(5_000);
        let running = host.start().await;
        assert_eq!((running.state(), running.now().interval_s), (CheckinState::Ok, 30), "{:.40}", content);
        assert!(running.conditions().is_empty());
        running.stop().await;
    }
    no_violations(&manager);
}

fn last_bearer(manager: &Manager) -> String {
    match manager.heartbeats().pop().unwrap().auth {
        Auth::Bearer(token) => token,
        other @ (Auth::Certificate { .. } | Auth::Nothing) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn t35_a_retired_token_in_its_file_is_not_tried_again_after_a_restart() {
    let mut host = Host::new();
    let manager = host.manager(Options { mode: Mode::SharedToken("first".into()), ..Options::default() }).await;
    host.settings.urls = vec![manager.url()];
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    host.settings.shared_token_file = Some(host.file("shared", "first"));
    manager.set_reply(|reply| reply["next_token"] = "second".into());
    let running = host.start().await;
    manager.reset_reply();
    manager.set_shared_tokens(&["second"]);
    host.clock.advance(31_000).await;
    assert_eq!(last_bearer(&manager), "second");
    running.stop().await;
    for _ in 0..3 {
        host.clock.jump(5_000);
        let before = manager.heartbeats().len();
        let running = host.start().await;
        host.clock.advance(90_000).await;
        let beats = &manager.heartbeats()[before..];
        assert!(beats.len() >= 3 && beats.iter().all(|beat| beat.accepted), "the retired token was tried");
        running.stop().await;
    }
    // An edit is one, whenever it was made.
    manager.set_shared_tokens(&["second", "third"]);
    std::fs::write(host.settings.shared_token_file.as_ref().unwrap(), "third").unwrap();
    let running = host.start().await;
    host.clock.advance(1000).await;
    assert_eq!(last_bearer(&manager), "third");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn the_inventory_goes_once_in_a_boot_and_again_after_the_next() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    running.stop().await;
    let carried =
        |manager: &Manager| manager.heartbeats().iter().filter(|beat| beat.body.get("inventory").is_some()).count();
    assert_eq!(carried(&manager), 1);
    host.clock.jump(5_000);
    let running = host.start().await;
    host.clock.advance(60_000).await;
    assert_eq!(carried(&manager), 1, "a restart of the daemon is no reason to send it again");
    running.stop().await;
    host.seen.send_modify(|seen| {
        let mut next = (**seen).clone();
        next.host.boot_id = model::Reading::Known("00000000-0000-4000-8000-00000000b007".into());
        *seen = std::sync::Arc::new(next);
    });
    let running = host.start().await;
    host.clock.advance(60_000).await;
    assert_eq!(carried(&manager), 2, "the first heartbeat of a boot goes without it");
    running.stop().await;
    no_violations(&manager);
}

/// A time that a manager has set (`drain_at`) is judged by its clock, also while it does not answer after a restart.
#[tokio::test]
async fn the_skew_of_the_clocks_outlives_a_restart_without_a_manager() {
    let mut host = Host::new();
    let clock = std::sync::Arc::clone(&host.clock);
    let ahead: manager::Clock = std::sync::Arc::new(move || clock.wall_now().0 + 3_600_000);
    let manager = host.manager(Options { clock: Some(ahead), ..with_token() }).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let known = running.now().clock_skew_ms.unwrap();
    assert!((3_595_000..=3_605_000).contains(&known), "{known}");
    running.stop().await;
    manager.set_down(true);
    host.clock.jump(60_000);
    let running = host.start().await;
    assert_ne!(running.state(), CheckinState::Ok);
    assert!(running.now().clock_skew_ms.unwrap().abs_diff(known) < 5000, "{:?}", running.now());
    assert!(running.conditions().contains(&"clock_skew".to_owned()));
    running.stop().await;
    no_violations(&manager);
}
