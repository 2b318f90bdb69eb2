//! `/version` and what follows from it: compressed bodies where a manager takes them, and nothing at all where it says nothing.

use crate::reports::sixteen_by_seven;
use crate::world::{Host, Running, TOKEN, no_violations, spec, times, with_token};
use manager::{Endpoint, Manager, Options, Scripted};
use model::enrol::CheckinState;
use serde_json::json;
use std::sync::Arc;

/// A host whose reports are large, with an identity; the manager is asked for its features behind the next heartbeat.
async fn large(host: &mut Host, options: Options) -> Manager {
    host.seen.send_replace(Arc::new(sixteen_by_seven()));
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    host.start().await.stop().await;
    host.clock.jump(3_600_000);
    manager
}

fn versions(manager: &Manager) -> usize {
    manager.requests().iter().filter(|request| request.endpoint == Some(Endpoint::Version)).count()
}

/// So many minutes of heartbeats, each in its time.
async fn on_time(host: &Host, manager: &Manager, minutes: u64, what: &str) -> Running {
    let before = manager.heartbeats().len();
    let running = host.start().await;
    host.clock.advance(minutes * 60_000).await;
    let beats = &manager.heartbeats()[before..];
    assert!(beats.iter().all(|beat| beat.accepted && !beat.gzip), "{what}");
    assert!(times(beats)[2..].windows(2).all(|w| w[1] - w[0] == 30_000), "{what}: a heartbeat was kept back");
    let count = u64::try_from(beats.len()).unwrap();
    assert!((minutes * 2..=minutes * 2 + 2).contains(&count), "{what}: {count} heartbeats");
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()), "{what}");
    running
}

#[tokio::test]
async fn t31_a_version_that_is_cut_or_nonsense_costs_gzip_for_an_hour_and_no_heartbeat() {
    let right = json!({"protocols": ["1.0"], "server_time": "2026-01-01T00:00:00Z", "features": ["gzip"]});
    for (what, answer) in [
        ("closed without a byte", Scripted::cut()),
        ("cut in the middle of the body", Scripted::json(200, &right).cut_after(20)),
        ("no JSON", Scripted::raw(200, "application/json", b"{\"features\": [\"gzip\"")),
        ("a page", Scripted::page(200)),
        ("a list", Scripted::json(200, &json!(["gzip"]))),
        ("features that are no list", Scripted::json(200, &json!({"features": "gzip"}))),
        ("an error in a 200", Scripted::json(200, &json!({"error_message": "no", "features": ["gzip"]}))),
        ("404", Scripted::status(404)),
        ("500", Scripted::page(500)),
        ("elsewhere", Scripted::status(302).header("location", "https://127.0.0.1:1/")),
    ] {
        let mut host = Host::new();
        let manager = large(&mut host, with_token()).await;
        manager.script(Endpoint::Version, vec![answer; 9]);
        let before = versions(&manager);
        let running = on_time(&host, &manager, 10, what).await;
        assert_eq!(versions(&manager) - before, 1, "{what}: asked again before an hour was over");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn t31_a_manager_that_said_nothing_is_asked_again_after_an_hour() {
    let mut host = Host::new();
    let manager = large(&mut host, with_token()).await;
    let before = versions(&manager);
    manager.script(Endpoint::Version, vec![Scripted::cut()]);
    let running = on_time(&host, &manager, 59, "before").await;
    assert_eq!(versions(&manager) - before, 1);
    host.clock.advance(180_000).await;
    assert_eq!(versions(&manager) - before, 2);
    assert!(manager.heartbeats().last().unwrap().gzip);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t31_a_version_that_hangs_keeps_no_heartbeat_back() {
    let mut host = Host::new();
    let manager = large(&mut host, with_token()).await;
    manager.script(Endpoint::Version, vec![Scripted::hang(); 9]);
    host.clock.let_hang(&["version"]);
    let running = on_time(&host, &manager, 10, "hangs").await;
    assert!(versions(&manager) >= 2);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn the_first_heartbeat_after_a_start_asks_nobody_first_and_the_next_one_is_compressed() {
    let mut host = Host::new();
    let manager = large(&mut host, with_token()).await;
    let before = manager.requests().len();
    let running = host.start().await;
    host.clock.advance(30_000).await;
    // Requests for desired state go beside them, over a connection of their own.
    let requests = manager.requests().split_off(before);
    let (polls, others): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.endpoint == Some(Endpoint::DesiredState));
    let asked: Vec<_> = others.iter().map(|request| request.endpoint.unwrap()).collect();
    assert_eq!(asked[..3], [Endpoint::Heartbeat, Endpoint::Version, Endpoint::Heartbeat]);
    let beats = manager.heartbeats();
    let first = beats.iter().position(|beat| !beat.gzip).unwrap();
    assert!(beats[first + 1..].iter().all(|beat| beat.gzip));
    assert!(others.windows(2).all(|w| w[0].connection_id == w[1].connection_id), "not one connection");
    assert!(polls.iter().all(|poll| poll.connection_id != others[0].connection_id), "not a connection of its own");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn an_enrolment_is_compressed_where_the_manager_takes_it_and_does_not_wait_long_to_know() {
    for (features, answer, compressed) in [
        (vec!["gzip".to_owned(), "teleport".to_owned()], None, true),
        (Vec::new(), None, false),
        (vec!["gzip".to_owned()], Some(Scripted::hang()), false),
        (vec!["gzip".to_owned()], Some(Scripted::cut()), false),
    ] {
        let host = Host::new();
        host.seen.send_replace(Arc::new(sixteen_by_seven()));
        let manager = host.manager(Options { features, ..with_token() }).await;
        manager.script(Endpoint::Version, answer.clone().into_iter().collect());
        let running = host.start().await;
        running.enrol_as(spec(&manager, TOKEN)).await.unwrap();
        let enrolled =
            manager.requests().into_iter().find(|request| request.endpoint == Some(Endpoint::Enroll)).unwrap();
        assert_eq!(enrolled.headers.contains_key("content-encoding"), compressed, "{answer:?}");
        assert_eq!(running.state(), CheckinState::Ok);
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn a_front_that_takes_no_gzip_although_the_manager_does_gets_none() {
    for status in [415, 400] {
        let mut host = Host::new();
        let manager = large(&mut host, with_token()).await;
        let running = host.start().await;
        host.clock.advance(30_000).await;
        assert!(manager.heartbeats().last().unwrap().gzip);
        manager.script(Endpoint::Heartbeat, vec![Scripted::page(status)]);
        host.clock.advance(60_000).await;
        let beats = manager.heartbeats();
        let [.., refused, next] = &beats[..] else { panic!("{}", beats.len()) };
        assert!(refused.gzip && !next.gzip && next.accepted, "{status}");
        running.stop().await;
    }
}
