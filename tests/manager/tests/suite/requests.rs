//! What every request must have, and the small endpoints.

use crate::agent::{Agent, TOKEN, TestClock, assert_answer, assert_refused, example, reply, start, start_default};
use manager::{Code, Endpoint, Options};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

#[tokio::test]
async fn the_version_says_what_is_spoken_and_asks_for_nothing() {
    let manager = start_default().await;
    let plain = Agent::new(&manager).client;
    let response = plain.get(format!("{}{}", manager.url(), Endpoint::Version.path())).send().await.unwrap();
    let got = reply(response).await;
    assert_answer(Endpoint::Version, &got);
    assert_eq!(got.1["protocols"], json!(["1.0"]));
    assert_eq!(got.1["features"], json!(["gzip"]));
    assert_eq!(got.1["server_time"], "2026-03-31T13:13:13Z");
}

#[tokio::test]
async fn the_health_check_answers_even_when_busy() {
    let manager = start_default().await;
    manager.set_busy(true);
    let got = reply(Agent::new(&manager).get(Endpoint::Healthcheck, "").send().await.unwrap()).await;
    assert_answer(Endpoint::Healthcheck, &got);
    assert_eq!(got, (200, json!({"ok": true})));
}

/// Takes a header away or replaces it, and says what the manager makes of it.
async fn with_header(agent: &Agent, endpoint: Endpoint, body: &Value, name: &str, value: Option<&str>) -> (u16, Value) {
    let mut request = agent.post(endpoint, body).bearer_auth(TOKEN).build().unwrap();
    match value {
        Some(value) => {
            request.headers_mut().insert(name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap())
        }
        None => request.headers_mut().remove(name),
    };
    // A client's own User-Agent fills a gap, so a gap needs a client without one.
    let client = if name == "user-agent" && value.is_none() {
        let ca = reqwest::Certificate::from_pem(agent.ca_pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([ca]).build().unwrap()
    } else {
        agent.client.clone()
    };
    reply(client.execute(request).await.unwrap()).await
}

#[tokio::test]
async fn each_header_of_the_contract_is_wanted() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let body = agent.enrolment(None);
    let cases = [
        ("user-agent", None),
        ("user-agent", Some("curl/8")),
        ("user-agent", Some("gpuhostd/")),
        ("user-agent", Some("gpuhostd/1 (x)")),
        ("x-gpuhostd-protocol", None),
        ("x-gpuhostd-protocol", Some("2.0")),
        ("x-request-id", None),
        ("x-request-id", Some("")),
        ("idempotency-key", None),
        ("idempotency-key", Some("again")),
        ("content-type", None),
        ("content-type", Some("text/plain")),
    ];
    for (index, (name, value)) in cases.into_iter().enumerate() {
        let got = with_header(&agent, Endpoint::Enroll, &body, name, value).await;
        assert_refused(&got, 400, "bad_request");
        let violations = manager.violations();
        assert_eq!(violations.len(), index + 1);
        assert!(violations[index].what.starts_with(&format!("header {name}")), "{}", violations[index].what);
    }
    let good =
        with_header(&agent, Endpoint::Enroll, &body, "content-type", Some("application/json; charset=utf-8")).await;
    assert_eq!(good.0, 200);
}

#[tokio::test]
async fn an_error_repeats_the_id_of_its_request() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let request = agent.post(Endpoint::Heartbeat, &json!({}));
    let mut request = request.build().unwrap();
    request.headers_mut().insert("x-request-id", "r-17".parse().unwrap());
    let got = reply(agent.client.execute(request).await.unwrap()).await;
    assert_eq!(got.1["request_id"], "r-17");
}

#[tokio::test]
async fn a_body_must_be_json() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    for body in ["", "{", "\u{feff}{}", "{\"seq\": NaN}"] {
        let request = agent.post(Endpoint::Heartbeat, &Value::Null).body(body);
        assert_refused(&reply(request.send().await.unwrap()).await, 400, "bad_request");
    }
}

#[tokio::test]
async fn every_request_is_in_the_log() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    agent.get(Endpoint::Version, "?a=b").send().await.unwrap();
    let missing = agent.client.get(format!("{}/nowhere", manager.url())).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let wrong = agent.client.get(format!("{}{}", manager.url(), Endpoint::Enroll.path())).send().await.unwrap();
    assert_eq!(wrong.status(), 405);
    let log: Vec<_> = manager.requests().into_iter().map(|r| (r.method, r.path, r.endpoint, r.status)).collect();
    assert_eq!(
        log,
        [
            ("GET".to_owned(), Endpoint::Version.path().to_owned(), Some(Endpoint::Version), 200),
            ("GET".to_owned(), "/nowhere".to_owned(), None, 404),
            ("GET".to_owned(), Endpoint::Enroll.path().to_owned(), Some(Endpoint::Enroll), 405),
        ]
    );
    assert_eq!(manager.requests()[0].query["a"], "b");
}

#[tokio::test]
async fn only_the_heartbeat_must_be_there() {
    let manager = start(Options { optional_paths: Vec::new(), ..TestClock::new().options() }).await;
    let agent = Agent::new(&manager);
    for endpoint in Endpoint::ALL {
        let got = reply(agent.post(endpoint, &json!({})).send().await.unwrap()).await;
        if endpoint == Endpoint::Heartbeat {
            assert_refused(&got, 400, "bad_request");
        } else {
            assert_eq!((got.0, got.1.get("code")), (404, None), "{endpoint:?}: a missing path is no unknown agent");
        }
    }
}

fn events(agent: &Agent, seqs: &[u64]) -> Value {
    let event = |seq: &u64| json!({"id": Uuid::from_u128(u128::from(*seq)), "seq": seq, "time": "2026-03-31T13:13:13Z", "type": "gpu.added"});
    json!({"server_id": agent.server_id, "events": seqs.iter().map(event).collect::<Vec<_>>()})
}

#[tokio::test]
async fn events_are_acknowledged_each_time_and_stored_once() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let first = agent.send(Endpoint::Events, &events(&agent, &[1, 2, 3])).await;
    assert_answer(Endpoint::Events, &first);
    assert_eq!(first, (200, json!({"acked_seq": 3})));
    assert_eq!(agent.send(Endpoint::Events, &events(&agent, &[2, 3, 4])).await.1["acked_seq"], 4);
    let stored: Vec<_> = manager.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(stored, [1, 2, 3, 4]);
    let many: Vec<u64> = (0..501).collect();
    assert_refused(&agent.send(Endpoint::Events, &events(&agent, &many)).await, 400, "bad_request");
    let stranger = Agent::new(&manager);
    assert_refused(&stranger.send(Endpoint::Events, &events(&agent, &[9])).await, 401, "invalid_token");
    assert_eq!(manager.events().len(), 4);
}

#[tokio::test]
async fn an_agent_that_says_goodbye_is_not_known_any_more() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let goodbye = json!({"server_id": agent.server_id, "reason": "leave"});
    assert_refused(&Agent::new(&manager).send(Endpoint::Deregister, &goodbye).await, 401, "invalid_token");
    assert_eq!(agent.send(Endpoint::Deregister, &goodbye).await.0, 200);
    assert_eq!(manager.enrolled(), []);
    assert_refused(&agent.send_beat(1).await, 404, "unknown_agent");
}

#[tokio::test]
async fn the_readiness_call_is_taken_as_it_is_documented() {
    let manager = start_default().await;
    let agent = Agent::new(&manager);
    let path = format!("{}{}", manager.url(), Endpoint::SetServerStatus.path());
    let call = |query: &str, body: &Value| {
        agent.client.post(format!("{path}{query}")).header("content-type", "application/json").body(body.to_string())
    };
    let good = example("set_server_status.json");
    assert_eq!(call("?token=jwt", &good).send().await.unwrap().status(), 200);
    assert_eq!(manager.requests()[0].body, good);
    assert_eq!(manager.requests()[0].query["token"], "jwt");
    assert_refused(&reply(call("", &good).send().await.unwrap()).await, 401, "invalid_token");
    let mut number = good.clone();
    number["status_progress"] = json!(100);
    let got = reply(call("?token=jwt", &number).send().await.unwrap()).await;
    assert_refused(&got, 400, "bad_request");
    assert!(got.1["error_message"].as_str().unwrap().contains("status_progress"), "{}", got.1);
}

#[test]
fn the_codes_are_those_of_the_contract() {
    let document = manager::contract::document().unwrap();
    let codes = document.pointer("/components/schemas/Error/properties/code/enum").unwrap().as_array().unwrap();
    let of_contract: HashSet<_> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(Code::ALL.iter().map(|code| code.name()).collect::<HashSet<_>>(), of_contract);
}
