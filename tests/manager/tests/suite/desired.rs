//! The desired state: at once where there is news, else when there is.

use crate::agent::{Agent, TOKEN, assert_answer, assert_refused, example, reply, start_default};
use manager::Endpoint;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn news_come_at_once_and_no_news_after_the_wait() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let path = format!("?server_id={}&wait=0", agent.server_id);
    let nothing = agent.get(Endpoint::DesiredState, &path).send().await.unwrap();
    assert_eq!(nothing.status(), 304);
    manager.set_desired(Some(example("desired_state.json")));
    let response = agent.get(Endpoint::DesiredState, &path).send().await.unwrap();
    assert_eq!(response.headers()["etag"], "\"b0f4.43\"");
    let got = reply(response).await;
    assert_answer(Endpoint::DesiredState, &got);
    assert_eq!(got, (200, example("desired_state.json")));
    let again = agent.get(Endpoint::DesiredState, &path).header("if-none-match", "\"b0f4.43\"");
    assert_eq!(again.send().await.unwrap().status(), 304);
}

#[tokio::test]
async fn who_waits_is_woken_by_a_new_revision() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.set_desired(Some(example("desired_state.json")));
    let path = format!("?server_id={}&wait=300", agent.server_id);
    let waiting = agent.get(Endpoint::DesiredState, &path).header("if-none-match", "\"b0f4.43\"").send();
    let begin = Instant::now();
    let change = async {
        let mut newer = example("desired_state.json");
        newer["revision"] = json!(44);
        tokio::task::yield_now().await;
        manager.set_desired(Some(newer));
    };
    let (response, ()) = tokio::join!(waiting, change);
    assert_eq!(reply(response.unwrap()).await.1["revision"], 44);
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn only_the_agent_itself_is_told() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let path = format!("?server_id={}&wait=0", agent.server_id);
    let stranger = Agent::new(&manager);
    let got = reply(stranger.get(Endpoint::DesiredState, &path).send().await.unwrap()).await;
    assert_refused(&got, 401, "invalid_token");
}
