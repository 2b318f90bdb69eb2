//! A host whose credential has ended comes back without a token, and a wish that comes again gets the same answer.

use crate::agent::{Agent, Reply, TOKEN, TestClock, assert_refused, reply, start, start_default};
use manager::{Endpoint, Options, Standing};
use rcgen::KeyPair;
use serde_json::Value;

const FIRST: &str = "3f8c1d7e-2a11-4b6c-8d5e-7c0e5b0a9e5c";
const SECOND: &str = "9e5c3f8c-1d7e-4a11-8b6c-5d5e7c0e5b0a";

async fn without_token(agent: &Agent, server_id: Option<&str>) -> Reply {
    reply(agent.post(Endpoint::Enroll, &agent.enrolment(server_id)).send().await.unwrap()).await
}

#[tokio::test]
async fn one_that_is_known_by_its_key_waits_for_an_administrator_and_then_has_the_same_id() {
    let manager = start_default().await;
    let mut agent = Agent::enrolled(&manager, TOKEN).await;
    let id = agent.server_id.clone();
    for _ in 0..2 {
        let answer = without_token(&agent, Some(&id)).await;
        assert_eq!(answer.0, 202);
    }
    assert_eq!(manager.enrolled()[0].standing, Standing::Pending);
    assert!(manager.approve(&id));
    let (status, body) = without_token(&agent, Some(&id)).await;
    assert_eq!((status, &body["server_id"]), (200, &Value::from(id.clone())));
    agent.adopt(&body);
    assert_eq!(agent.send_beat(1).await.0, 200);
    assert_eq!(without_token(&agent, Some(&id)).await.0, 202, "one approval is good for one credential");
    assert_eq!(manager.violations(), []);
}

#[tokio::test]
async fn a_manager_that_recovers_by_key_lets_it_in_at_once() {
    let manager = start(Options { recovers_by_key: true, ..TestClock::new().options() }).await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let (status, body) = without_token(&agent, Some(&agent.server_id)).await;
    assert_eq!((status, body["server_id"].as_str()), (200, Some(agent.server_id.as_str())));
}

#[tokio::test]
async fn nobody_else_comes_back_as_it() {
    let manager = start(Options { recovers_by_key: true, ..TestClock::new().options() }).await;
    let mut agent = Agent::enrolled(&manager, TOKEN).await;
    let id = agent.server_id.clone();
    assert_refused(&without_token(&agent, None).await, 401, "invalid_token");
    assert_refused(&without_token(&agent, Some("0190a1b2-c3d4-4e5f-8a6b-7c8d9e0f1a2b")).await, 401, "invalid_token");
    let own = std::mem::replace(&mut agent.key, KeyPair::generate().unwrap());
    assert_refused(&without_token(&agent, Some(&id)).await, 409, "conflict");
    agent.key = own;
    assert!(manager.forget(&id));
    assert_refused(&without_token(&agent, Some(&id)).await, 410, "agent_deleted");
}

#[tokio::test]
async fn the_same_wish_gets_the_same_credential_and_must_come_with_the_same_request() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let body = agent.enrolment(None);
    let ask = async |key: &str, body: &Value| {
        let mut request = agent.post(Endpoint::Enroll, body).bearer_auth(TOKEN).build().unwrap();
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        reply(agent.client.execute(request).await.unwrap()).await
    };
    let first = ask(FIRST, &body).await;
    assert_eq!((first.0, &first), (200, &ask(FIRST, &body).await));
    assert_eq!(manager.violations(), []);
    let other = agent.enrolment(None);
    assert_ne!(other["csr_pem"], body["csr_pem"], "a signature is another one each time");
    ask(FIRST, &other).await;
    ask(SECOND, &body).await;
    let said: Vec<_> = manager.violations().into_iter().map(|violation| violation.what).collect();
    assert!(said[0].contains("another csr_pem") && said[1].contains("with another one"), "{said:?}");
}
