//! The connection that is kept from heartbeat to heartbeat, and what happens when the other side gives it up.

use crate::world::{Host, Running, TOKEN, eventually, no_violations, with_token};
use manager::{Endpoint, Manager, Options, Scripted};
use model::enrol::CheckinState;
use serde_json::json;
use std::collections::BTreeSet;

async fn enrolled(host: &mut Host) -> (Manager, Running) {
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(30_000).await;
    (manager, running)
}

#[tokio::test]
async fn a_beat_lost_on_a_kept_connection_is_sent_once_more_at_once_with_a_higher_number() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let before = manager.heartbeats().len();
    manager.script(Endpoint::Heartbeat, vec![Scripted::cut()]);
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    let beats = manager.heartbeats();
    let [lost, again] = &beats[before..] else { panic!("{} heartbeats", beats.len() - before) };
    assert!(again.accepted && again.connection_id != lost.connection_id);
    assert!(again.body["seq"].as_u64() > lost.body["seq"].as_u64());
    assert_eq!(again.received_at, lost.received_at);
    assert_eq!((running.state(), running.now().failed), (CheckinState::Ok, 0));
    host.clock.advance(90_000).await;
    let seqs: Vec<_> = manager.heartbeats().iter().map(|beat| beat.body["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|w| w[1] > w[0]), "{seqs:?}");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_beat_lost_on_a_new_connection_or_twice_waits_for_its_slot() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let before = manager.heartbeats().len();
    manager.script(Endpoint::Heartbeat, vec![Scripted::cut(), Scripted::cut(), Scripted::cut()]);
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    assert_eq!(manager.heartbeats().len(), before + 2, "more than once more");
    assert_eq!(running.state(), CheckinState::Unreachable);
    host.clock.advance(30_000).await;
    assert_eq!(manager.heartbeats().len(), before + 3, "on a new connection it is not sent again at once");
    host.clock.advance(30_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again_at_once() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let before = manager.heartbeats().len();
    let half = Scripted::json(200, &serde_json::json!({"server_time": "2026-01-01T00:00:00Z"})).cut_after(10);
    manager.script(Endpoint::Heartbeat, vec![half]);
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    assert_eq!(manager.heartbeats().len(), before + 1);
    host.clock.advance(30_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
}

/// A front that gives idle connections up between two heartbeats costs nothing.
#[tokio::test]
async fn a_connection_that_was_given_up_between_two_heartbeats_costs_none() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    for _ in 0..20 {
        manager.set_down(true);
        manager.set_down(false);
        host.clock.advance(30_000).await;
    }
    assert_eq!((running.state(), running.now().failed), (CheckinState::Ok, 0));
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    running.stop().await;
    no_violations(&manager);
}

/// A held request that is answered must not take the connection of the heartbeats: each would cost a front a handshake.
#[tokio::test]
async fn heartbeats_and_held_requests_keep_one_connection_each() {
    let mut host = Host::new();
    let features = ["gzip", "long_poll"].map(str::to_owned).to_vec();
    let manager = host.manager(Options { features, ..with_token() }).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(60_000).await;
    let before = manager.requests().len();
    for revision in 1..=6 {
        let document = json!({"epoch": "b0f4", "revision": revision, "issued_at": "2026-03-31T13:13:13Z"});
        manager.set_desired(Some(document));
        let answered =
            || manager.requests().iter().filter(|one| one.endpoint == Some(Endpoint::DesiredState)).count() >= revision;
        eventually("the document", answered).await;
        host.clock.advance(30_000).await;
    }
    let requests = manager.requests().split_off(before);
    let connections: BTreeSet<u64> = requests.iter().map(|request| request.connection_id).collect();
    assert!(requests.len() >= 12 && connections.len() <= 2, "{} requests on {connections:?}", requests.len());
    running.stop().await;
    no_violations(&manager);
}
