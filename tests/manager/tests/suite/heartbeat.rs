//! Heartbeats: who may report, what is remembered, and what is said back.

use crate::agent::{
    Agent, START_MS, TOKEN, TestClock, assert_answer, assert_refused, example, gzip, start, start_default,
};
use manager::{Auth, Endpoint, Mode, Options};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_heartbeat_is_answered_and_remembered() {
    let clock = TestClock::new();
    let manager = start(clock.options()).await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    clock.step(1500);
    let reply = agent.send_beat(1).await;
    assert_answer(Endpoint::Heartbeat, &reply);
    assert_eq!(reply.1["server_time"], "2026-03-31T13:13:14.5Z");
    assert_eq!(reply.1["next_heartbeat_s"], 30);
    let beats = manager.wait_heartbeats(1, Duration::from_secs(60)).await.unwrap();
    assert_eq!(beats.len(), 1);
    assert_eq!((beats[0].received_at, beats[0].status, beats[0].accepted), (START_MS + 1500, 200, true));
    assert_eq!(beats[0].body, agent.beat(1));
    assert_eq!(beats[0].wire_bytes, agent.beat(1).to_string().len());
    assert_eq!(beats[0].headers["x-gpuhostd-protocol"], "1.0");
    let known = manager.enrolled();
    assert_eq!(beats[0].auth, Auth::Certificate { fingerprint: known[0].certificates[0].clone() });
    assert_eq!(manager.violations(), []);
}

#[tokio::test]
async fn the_date_is_the_managers_own() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let response = agent.post(Endpoint::Heartbeat, &agent.beat(1)).send().await.unwrap();
    assert_eq!(response.headers()["date"], "Tue, 31 Mar 2026 13:13:13 GMT");
}

#[tokio::test]
async fn heartbeats_come_on_one_connection() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    agent.send_beat(1).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(45)).await;
    tokio::time::resume();
    agent.send_beat(2).await;
    let beats = manager.heartbeats();
    assert_eq!(beats[0].connection_id, beats[1].connection_id, "an idle connection was closed between two beats");
}

#[tokio::test]
async fn a_certificate_speaks_for_its_own_agent_only() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let other = Agent::enrolled(&manager, &manager.issue_token()).await;
    let reply = agent.send(Endpoint::Heartbeat, &other.beat(1)).await;
    assert_refused(&reply, 401, "invalid_token");
    assert_refused(&Agent::new(&manager).send(Endpoint::Heartbeat, &agent.beat(1)).await, 401, "invalid_token");
    assert!(manager.heartbeats().iter().all(|beat| !beat.accepted && beat.status == 401));
}

#[tokio::test]
async fn agents_that_are_gone_are_told_how() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    assert!(manager.forget(&agent.server_id));
    assert_refused(&agent.send_beat(1).await, 410, "agent_deleted");
    assert!(manager.lose(&agent.server_id));
    assert_refused(&agent.send_beat(2).await, 404, "unknown_agent");
    assert!(!manager.lose(&agent.server_id));
}

#[tokio::test]
async fn two_hosts_with_one_identity_are_found_out() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    assert_eq!(agent.send_beat(10).await.0, 200);
    assert_refused(&agent.send_beat(10).await, 409, "duplicate_agent");
    assert_refused(&agent.send_beat(9).await, 409, "duplicate_agent");
    let mut rebooted = agent.beat(3);
    rebooted["boot_id"] = json!("b");
    assert_eq!(agent.send(Endpoint::Heartbeat, &rebooted).await.0, 200, "a reboot begins again");
    assert_refused(&agent.send_beat(11).await, 409, "duplicate_agent");
}

#[tokio::test]
async fn the_inventory_is_asked_for_until_it_came() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let beat = |seq: u64, rev: &str, full: bool| {
        let mut beat = agent.beat(seq);
        beat["inventory_rev"] = json!(rev);
        if !full {
            beat.as_object_mut().unwrap().remove("inventory");
        }
        beat
    };
    for (seq, rev, full, wanted) in [
        (1, "r1", false, true),
        (2, "r1", true, false),
        (3, "r1", false, false),
        (4, "r2", false, true),
        (5, "r2", true, false),
    ] {
        let (_, reply) = agent.send(Endpoint::Heartbeat, &beat(seq, rev, full)).await;
        assert_eq!(reply["need_inventory"], json!(wanted), "beat {seq}");
    }
}

#[tokio::test]
async fn a_test_changes_the_reply() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.set_reply(|reply| reply["next_heartbeat_s"] = json!(9999));
    assert_eq!(agent.send_beat(1).await.1["next_heartbeat_s"], 9999);
    manager.reset_reply();
    assert_eq!(agent.send_beat(2).await.1["next_heartbeat_s"], 30);
}

#[tokio::test]
async fn the_shared_token_is_enough_and_can_change() {
    let manager = start(Options { mode: Mode::SharedToken("old".to_owned()), ..TestClock::new().options() }).await;
    let mut agent = Agent::new(&manager);
    agent.server_id = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned();
    assert_refused(&agent.send_beat(1).await, 401, "invalid_token");
    agent.bearer = Some("old".to_owned());
    assert_eq!(agent.send_beat(2).await.0, 200);
    manager.set_shared_tokens(&["old", "new"]);
    assert_eq!(agent.send_beat(3).await.0, 200);
    manager.set_shared_tokens(&["new"]);
    assert_refused(&agent.send_beat(4).await, 401, "invalid_token");
    agent.bearer = Some("new".to_owned());
    assert_eq!(agent.send_beat(5).await.0, 200);
    assert_eq!(manager.heartbeats()[4].auth, Auth::Bearer("new".to_owned()));
    assert!(manager.forget(&agent.server_id));
    assert_refused(&agent.send_beat(6).await, 410, "agent_deleted");
}

#[tokio::test]
async fn a_heartbeat_may_come_in_gzip() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let packed = gzip(agent.beat(1).to_string().as_bytes());
    let request = agent.post(Endpoint::Heartbeat, &Value::Null).header("content-encoding", "gzip");
    assert_eq!(request.body(packed.clone()).send().await.unwrap().status(), 200);
    let beats = manager.heartbeats();
    assert_eq!((beats[0].gzip, beats[0].wire_bytes), (true, packed.len()));
    assert_eq!(beats[0].body, agent.beat(1));
}

#[tokio::test]
async fn gzip_must_be_offered_and_must_be_gzip() {
    let without = start(Options { features: Vec::new(), ..TestClock::new().options() }).await;
    let with = start_default().await;
    for (manager, body) in [(&without, gzip(b"{}")), (&with, b"not gzip".to_vec())] {
        let agent = Agent::enrolled(manager, TOKEN).await;
        let request = agent.post(Endpoint::Heartbeat, &Value::Null).header("content-encoding", "gzip").body(body);
        assert_refused(&crate::agent::reply(request.send().await.unwrap()).await, 400, "bad_request");
        assert_eq!(manager.violations().len(), 1);
        assert_eq!(manager.heartbeats()[0].body, Value::Null);
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_it_comes_and_as_it_inflates() {
    let manager = start(Options { max_heartbeat_bytes: 100_000, ..TestClock::new().options() }).await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let mut large = agent.beat(1);
    large["hostname"] = json!("x".repeat(100_000));
    assert_refused(&agent.send(Endpoint::Heartbeat, &large).await, 413, "too_large");
    for (bytes, encoding) in [(vec![b' '; 1_100_000], "identity"), (gzip(&vec![b' '; 64 * 1024 * 1024]), "gzip")] {
        let request = agent.post(Endpoint::Heartbeat, &Value::Null).header("content-encoding", encoding).body(bytes);
        assert_refused(&crate::agent::reply(request.send().await.unwrap()).await, 413, "too_large");
    }
    assert_eq!(manager.violations(), [], "size is no breach of the contract");
    assert_eq!(agent.send_beat(2).await.0, 200);
}

#[tokio::test]
async fn the_newest_revision_is_told_and_embedded_where_there_is_no_other_way() {
    let document = example("desired_state.json");
    let all = start_default().await;
    let few = start(Options { optional_paths: vec![Endpoint::Enroll], ..TestClock::new().options() }).await;
    for (manager, embedded) in [(&all, false), (&few, true)] {
        let agent = Agent::enrolled(manager, TOKEN).await;
        manager.set_desired(Some(document.clone()));
        let reply = agent.send_beat(1).await;
        assert_answer(Endpoint::Heartbeat, &reply);
        assert_eq!(reply.1["desired"], json!({"epoch": "b0f4", "revision": 43}));
        assert_eq!(reply.1.get("desired_state").is_some(), embedded);
    }
}

#[tokio::test]
async fn only_so_many_are_remembered_and_all_are_counted() {
    let manager = start(Options { history: 3, ..TestClock::new().options() }).await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    for seq in 1..=5 {
        agent.send_beat(seq).await;
    }
    let seqs = |beats: Vec<manager::Received>| -> Vec<u64> {
        beats.iter().map(|beat| beat.body["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(*manager.heartbeat_count().borrow(), 5);
    assert_eq!(seqs(manager.heartbeats()), [3, 4, 5]);
    assert_eq!(seqs(manager.heartbeats_after(4)), [5]);
    assert_eq!(seqs(manager.heartbeats_after(0)), [3, 4, 5]);
    assert_eq!(seqs(manager.heartbeats_after(5)), Vec::<u64>::new());
}

#[tokio::test]
async fn waiting_for_a_heartbeat_that_does_not_come_ends() {
    let manager = start_default().await;
    assert!(manager.wait_heartbeats(1, Duration::from_millis(10)).await.is_none());
}
