//! Enrolment: one-use tokens, keys, ids, approval, and what comes out.

use crate::agent::{
    Agent, START_MS, TOKEN, TestClock, assert_answer, assert_refused, eventually, start, start_default,
};
use manager::{Endpoint, EnrolToken, Mode, Options, Standing};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_token_and_a_key_give_an_id_and_a_client_certificate() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let reply = agent.enroll(TOKEN, None).await;
    assert_answer(Endpoint::Enroll, &reply);
    let (status, body) = reply;
    assert_eq!(status, 200);
    assert!(body["cert_chain_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(body["ca_bundle_pem"], manager.ca_pem());
    assert_eq!(body["secret"], json!(null));
    let known = manager.enrolled();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].hostname.as_str(), known[0].standing), ("gpu-01", Standing::Approved));
    assert_eq!(body["server_id"], known[0].server_id);
    assert_eq!(manager.violations(), []);
}

#[tokio::test]
async fn the_credential_lasts_as_long_as_the_answer_says() {
    let options = Options { credential_life: Duration::from_secs(60), ..TestClock::new().options() };
    let manager = start(options).await;
    let (_, body) = Agent::new(&manager).enroll(TOKEN, None).await;
    let until: jiff::Timestamp = body["not_after"].as_str().unwrap().parse().unwrap();
    assert_eq!(until.as_millisecond(), START_MS + 60_000);
}

#[tokio::test]
async fn a_client_certificate_expires_by_the_managers_clock() {
    let clock = TestClock::new();
    let manager = start(Options { credential_life: Duration::from_secs(60), ..clock.options() }).await;
    let mut agent = Agent::new(&manager);
    let (_, body) = agent.enroll(TOKEN, None).await;
    agent.adopt(&body);
    assert_eq!(agent.send_beat(1).await.0, 200);
    clock.step(61_000);
    agent.adopt(&body); // a new connection with the same certificate
    agent.post(Endpoint::Heartbeat, &agent.beat(2)).send().await.unwrap_err();
    assert_eq!(manager.heartbeats().len(), 1);
    eventually("a failed handshake", || !manager.failed_handshakes().is_empty()).await;
    assert!(manager.failed_handshakes()[0].to_lowercase().contains("expired"), "{:?}", manager.failed_handshakes());
}

#[tokio::test]
async fn the_same_key_enrols_again_with_the_same_token() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let (_, first) = agent.enroll(TOKEN, None).await;
    let id = first["server_id"].as_str().unwrap();
    for asked in [None, Some(id)] {
        let (status, again) = agent.enroll(TOKEN, asked).await;
        assert_eq!((status, &again["server_id"]), (200, &first["server_id"]));
    }
    assert_eq!(manager.enrolled().len(), 1);
}

#[tokio::test]
async fn a_token_is_good_for_one_key() {
    let manager = start_default().await;
    Agent::enrolled(&manager, TOKEN).await;
    assert_refused(&Agent::new(&manager).enroll(TOKEN, None).await, 409, "enrol_used");
    assert_eq!(manager.enrolled().len(), 1);
    let second = Agent::enrolled(&manager, &manager.issue_token()).await;
    assert_eq!(manager.enrolled().len(), 2);
    assert_refused(&second.enroll(TOKEN, None).await, 409, "enrol_used");
}

#[tokio::test]
async fn an_id_belongs_to_one_key_and_a_key_to_one_id() {
    let manager = start_default().await;
    let given = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7";
    let agent = Agent::new(&manager);
    let (status, body) = agent.enroll(TOKEN, Some(given)).await;
    assert_eq!((status, &body["server_id"]), (200, &json!(given)));
    assert_refused(&Agent::new(&manager).enroll(&manager.issue_token(), Some(given)).await, 409, "conflict");
    let other = "00000000-0000-4000-8000-000000000001";
    assert_refused(&agent.enroll(TOKEN, Some(other)).await, 409, "conflict");
    assert_eq!(manager.enrolled().len(), 1);
}

#[tokio::test]
async fn tokens_that_are_unknown_or_expired_let_nobody_in() {
    let manager = start_default().await;
    manager.add_token(&EnrolToken { expired: true, ..EnrolToken::new("old") });
    let agent = Agent::new(&manager);
    assert_refused(&agent.enroll("guess", None).await, 401, "invalid_token");
    assert_refused(&agent.enroll("old", None).await, 401, "token_expired");
    assert_refused(&agent.send(Endpoint::Enroll, &agent.enrolment(None)).await, 401, "invalid_token");
    assert_eq!(manager.enrolled(), []);
}

#[tokio::test]
async fn an_agent_waits_so_many_rounds_and_keeps_its_id() {
    let manager = start_default().await;
    manager.add_token(&EnrolToken { pending_rounds: 2, ..EnrolToken::new("slow") });
    let agent = Agent::new(&manager);
    let waits = agent.post(Endpoint::Enroll, &agent.enrolment(None)).bearer_auth("slow").send().await.unwrap();
    assert_eq!((waits.status().as_u16(), waits.headers()["retry-after"].to_str().unwrap()), (202, "5"));
    assert_eq!(manager.enrolled()[0].standing, Standing::Pending);
    assert_eq!(agent.enroll("slow", None).await.0, 202);
    let (status, body) = agent.enroll("slow", None).await;
    assert_eq!((status, body["server_id"].as_str()), (200, Some(manager.enrolled()[0].server_id.as_str())));
    assert_eq!(manager.enrolled().len(), 1);
}

#[tokio::test]
async fn an_administrator_lets_in_who_waits() {
    let manager = start_default().await;
    manager.add_token(&EnrolToken { pending_rounds: u32::MAX, ..EnrolToken::new("slow") });
    let agent = Agent::new(&manager);
    for _ in 0..3 {
        assert_eq!(agent.enroll("slow", None).await.0, 202);
    }
    assert!(!manager.approve("nobody"));
    assert!(manager.approve(&manager.enrolled()[0].server_id));
    assert_eq!(agent.enroll("slow", None).await.0, 200);
}

#[tokio::test]
async fn a_used_token_does_not_bring_a_deleted_agent_back() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    assert!(manager.forget(&agent.server_id));
    assert_refused(&agent.enroll(TOKEN, Some(&agent.server_id)).await, 409, "enrol_used");
    let (status, body) = agent.enroll(&manager.issue_token(), Some(&agent.server_id)).await;
    assert_eq!((status, body["server_id"].as_str()), (200, Some(agent.server_id.as_str())));
}

/// The signature stands last in a signing request: one digit of it is changed.
fn with_another_signature(pem: &str) -> String {
    let end = pem.find("-----END").unwrap();
    let at = pem[..end - 12].rfind(|c: char| c.is_ascii_alphanumeric()).unwrap();
    let digit = if &pem[at..=at] == "A" { "B" } else { "A" };
    format!("{}{digit}{}", &pem[..at], &pem[at + 1..])
}

#[tokio::test]
async fn a_signing_request_must_be_one() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let other_kind = CertificateParams::default().serialize_request(&ed25519).unwrap().pem().unwrap();
    for bad in ["", "no PEM", &other_kind, &with_another_signature(&agent.csr())] {
        let mut body = agent.enrolment(None);
        body["csr_pem"] = json!(bad);
        let request = agent.post(Endpoint::Enroll, &body).bearer_auth(TOKEN);
        let reply = crate::agent::reply(request.send().await.unwrap()).await;
        assert_refused(&reply, 400, "bad_request");
        assert!(reply.1["error_message"].as_str().unwrap().starts_with("/csr_pem"), "{}", reply.1);
    }
    assert_eq!(agent.enroll(TOKEN, None).await.0, 200, "the token was not used up by bad requests");
}

#[tokio::test]
async fn a_manager_without_pki_gives_a_secret() {
    let manager = start(Options { mode: Mode::Secrets, ..TestClock::new().options() }).await;
    let mut agent = Agent::new(&manager);
    let reply = agent.enroll(TOKEN, None).await;
    assert_answer(Endpoint::Enroll, &reply);
    assert_eq!(reply.1["cert_chain_pem"], json!(null));
    agent.adopt(&reply.1);
    assert_eq!(agent.send_beat(1).await.0, 200);
    agent.bearer = Some("guess".to_owned());
    assert_refused(&agent.send_beat(2).await, 401, "invalid_token");
    agent.bearer = None;
    assert_refused(&agent.send_beat(3).await, 401, "invalid_token");
}

#[tokio::test]
async fn with_a_shared_token_nobody_enrols() {
    let manager = start(Options { mode: Mode::SharedToken("all".to_owned()), ..TestClock::new().options() }).await;
    assert_refused(&Agent::new(&manager).enroll(TOKEN, None).await, 403, "not_approved");
}

#[tokio::test]
async fn renewal_gives_a_certificate_for_a_new_key_and_the_old_one_stays_good_for_a_while() {
    let manager = start_default().await;
    let old = Agent::enrolled(&manager, TOKEN).await;
    let mut new = Agent::new(&manager);
    let body = json!({"server_id": old.server_id, "csr_pem": new.csr()});
    let reply = old.send(Endpoint::Credentials, &body).await;
    assert_answer(Endpoint::Credentials, &reply);
    new.adopt(&reply.1);
    assert_eq!(new.server_id, old.server_id);
    assert_eq!(new.send_beat(1).await.0, 200);
    assert_eq!(old.send_beat(2).await.0, 200);
    assert_eq!(
        new.send(Endpoint::Credentials, &json!({"server_id": new.server_id, "csr_pem": new.csr()})).await.0,
        200
    );
    assert_refused(&old.send_beat(3).await, 401, "invalid_token");
    let stranger = Agent::new(&manager);
    assert_refused(&stranger.send(Endpoint::Credentials, &body).await, 401, "invalid_token");
}
