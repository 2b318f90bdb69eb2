//! Faults that a test can order: bad certificates, scripted answers, a manager that is busy, down or gone.

use crate::agent::{Agent, TOKEN, TestClock, assert_refused, builder, eventually, start, start_default};
use manager::{Code, Endpoint, Options, Scripted, Tls};
use serde_json::json;
use std::collections::HashSet;
use std::error::Error;
use std::time::{Duration, Instant};

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn each_bad_certificate_is_refused_for_its_own_reason() {
    for (identity, why) in [
        (Tls::SelfSigned, "UnknownIssuer"),
        (Tls::Untrusted, "UnknownIssuer"),
        (Tls::Expired, "expired"),
        (Tls::WrongName, "not valid for name"),
    ] {
        let manager = start(Options { identity, ..TestClock::new().options() }).await;
        let agent = Agent::new(&manager);
        let error = agent.get(Endpoint::Version, "").send().await.unwrap_err();
        assert!(chain(&error).contains(why), "{identity:?}: {}", chain(&error));
        assert_eq!(manager.requests().len(), 0, "{identity:?}");
        eventually("a failed handshake", || manager.failed_handshakes().len() == 1).await;
    }
}

#[tokio::test]
async fn the_fingerprint_is_that_of_the_certificate_on_the_wire() {
    let mut seen = HashSet::new();
    for identity in [Tls::OwnCa, Tls::SelfSigned] {
        let manager = start(Options { identity, ..TestClock::new().options() }).await;
        let client = builder().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
        let response = client.get(format!("{}{}", manager.url(), Endpoint::Version.path())).send().await.unwrap();
        let info = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, info.peer_certificate().unwrap());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manager.fingerprint_sha256(), hex);
        seen.insert(hex);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_gets_no_session() {
    let manager = start_default().await;
    let other = start_default().await;
    let mut agent = Agent::new(&other);
    let (_, body) = agent.enroll(TOKEN, None).await;
    agent.ca_pem = manager.ca_pem();
    agent.url = manager.url();
    agent.adopt(&body);
    agent.post(Endpoint::Heartbeat, &agent.beat(1)).send().await.unwrap_err();
    assert_eq!(manager.heartbeats().len(), 0);
    eventually("a failed handshake", || manager.failed_handshakes().len() == 1).await;
}

#[tokio::test]
async fn scripted_answers_come_first_and_once() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.script(
        Endpoint::Heartbeat,
        vec![
            Scripted::refusal(Code::RateLimited, "later").header("retry-after", "77"),
            Scripted::json(200, &json!({"error_message": "inside a 200"})),
            Scripted::raw(502, "text/html", b"<html>"),
        ],
    );
    assert_eq!(manager.scripted_left(Endpoint::Heartbeat), 3);
    let response = agent.post(Endpoint::Heartbeat, &agent.beat(1)).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "77");
    assert_refused(&crate::agent::reply(response).await, 429, "rate_limited");
    assert_eq!(agent.send_beat(2).await, (200, json!({"error_message": "inside a 200"})));
    let response = agent.post(Endpoint::Heartbeat, &agent.beat(3)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (502, "<html>"));
    assert_eq!(agent.send_beat(4).await.0, 200);
    let seen: Vec<_> = manager.heartbeats().iter().map(|beat| (beat.status, beat.accepted)).collect();
    assert_eq!(seen, [(429, false), (200, false), (502, false), (200, true)]);
    assert_eq!(manager.scripted_left(Endpoint::Heartbeat), 0);
}

#[tokio::test]
async fn a_lost_answer_was_handled_all_the_same() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    manager.script(Endpoint::Enroll, vec![Scripted::status(504).handled()]);
    assert_eq!(agent.enroll(TOKEN, None).await.0, 504);
    let id = manager.enrolled()[0].server_id.clone();
    assert_eq!(agent.enroll(TOKEN, None).await.1["server_id"], json!(id));
}

#[tokio::test]
async fn a_scripted_answer_is_late_when_told_so() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.script(Endpoint::Heartbeat, vec![Scripted::status(503).after(Duration::from_millis(300))]);
    let begin = Instant::now();
    agent.send_beat(1).await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_bad_body_is_written_down_even_where_the_answer_is_scripted() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.script(Endpoint::Heartbeat, vec![Scripted::json(200, &json!({"server_time": "2026-03-31T13:13:13Z"}))]);
    let mut bad = agent.beat(1);
    bad["status"] = json!("happy");
    assert_eq!(agent.send(Endpoint::Heartbeat, &bad).await.0, 200);
    assert!(manager.violations()[0].what.contains("/status"), "{:?}", manager.violations());
}

#[tokio::test]
async fn a_busy_manager_answers_503_until_it_is_not() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.set_busy(true);
    assert_refused(&agent.send_beat(1).await, 503, "manager_disabled");
    manager.set_busy(false);
    assert_eq!(agent.send_beat(2).await.0, 200);
}

#[tokio::test]
async fn a_manager_that_is_down_cuts_old_and_new_connections() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    assert_eq!(agent.send_beat(1).await.0, 200);
    manager.set_down(true);
    for seq in [2, 3] {
        agent.post(Endpoint::Heartbeat, &agent.beat(seq)).send().await.unwrap_err();
    }
    manager.set_down(false);
    assert_eq!(agent.send_beat(4).await.0, 200);
    assert_eq!(manager.heartbeats().len(), 2);
}
