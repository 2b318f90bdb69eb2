//! What stands before a manager and what goes wrong on the wire: answers that hang, are cut or come from a front.

use crate::agent::{Agent, TOKEN, eventually, start_default};
use manager::{Auth, Endpoint, Scripted};
use std::time::Duration;

#[tokio::test]
async fn an_answer_that_hangs_keeps_its_connection_and_no_other_one() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.script(Endpoint::Version, vec![Scripted::hang()]);
    let hanging = agent.get(Endpoint::Version, "").timeout(Duration::from_millis(300)).send();
    let (hung, beat) = tokio::join!(hanging, agent.send_beat(1));
    assert!(hung.unwrap_err().is_timeout());
    assert_eq!(beat.0, 200);
}

#[tokio::test]
async fn an_answer_that_is_cut_gives_nothing_or_the_part_before_the_cut() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let whole = agent.get(Endpoint::Version, "").send().await.unwrap().bytes().await.unwrap();
    manager
        .script(Endpoint::Version, vec![Scripted::cut(), Scripted::raw(200, "application/json", &whole).cut_after(7)]);
    assert!(!agent.get(Endpoint::Version, "").send().await.unwrap_err().is_timeout());
    let mut cut = agent.get(Endpoint::Version, "").send().await.unwrap();
    assert_eq!((cut.status().as_u16(), cut.content_length()), (200, u64::try_from(whole.len()).ok()));
    assert_eq!(cut.chunk().await.unwrap().as_deref(), whole.get(..7));
    cut.chunk().await.unwrap_err();
    assert_eq!(agent.send_beat(1).await.0, 200);
}

#[tokio::test]
async fn a_front_answers_in_the_managers_place_whom_it_wants() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    manager.set_gate(|endpoint, auth| {
        let with_certificate = matches!(auth, Auth::Certificate { .. });
        (endpoint == Endpoint::Heartbeat && with_certificate).then(|| Scripted::page(403))
    });
    let response = agent.post(Endpoint::Heartbeat, &agent.beat(1)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (403, "text/html"));
    assert!(response.text().await.unwrap().contains("<h1>403</h1>"));
    assert_eq!(agent.get(Endpoint::Version, "").send().await.unwrap().status().as_u16(), 200);
    manager.reset_gate();
    assert_eq!(agent.send_beat(1).await.0, 200);
}

#[tokio::test]
async fn a_front_that_is_behind_refuses_the_certificates_that_come_after() {
    let manager = start_default().await;
    let old = Agent::enrolled(&manager, TOKEN).await;
    manager.set_front_is_behind(true);
    let new = Agent::enrolled(&manager, &manager.issue_token()).await;
    new.post(Endpoint::Heartbeat, &new.beat(1)).send().await.unwrap_err();
    eventually("a failed handshake", || !manager.failed_handshakes().is_empty()).await;
    assert_eq!(old.send_beat(1).await.0, 200);
    manager.set_front_is_behind(false);
    assert_eq!(new.send_beat(1).await.0, 200);
}

#[tokio::test]
async fn a_credential_can_be_changed_on_its_way_and_one_that_is_revoked_counts_no_more() {
    let manager = start_default().await;
    manager.set_issue(|reply| reply["server_id"] = "nobody".into());
    let garbled = Agent::new(&manager).enroll(TOKEN, None).await;
    assert_eq!((garbled.0, garbled.1["server_id"].as_str()), (200, Some("nobody")));
    manager.reset_issue();
    let agent = Agent::enrolled(&manager, &manager.issue_token()).await;
    assert_eq!(agent.send_beat(1).await.0, 200);
    manager.revoke(&agent.server_id);
    assert_eq!(agent.send_beat(2).await.0, 401);
}
