//! Which documents come into force, and that each is on disk before it does.

use crate::rig::{HOST, NEWS, NO_NEWS, OTHER, Rig, document, plain, refused};
use gpuhostd::desired::Offer;
use model::desired::{Desired, Epoch};
use serde_json::json;
use sim::{LedgerCrash, SimLedger};

#[tokio::test]
async fn t14_a_new_revision_and_a_new_epoch_are_accepted_stale_and_conflicting_ones_are_not() {
    let rig = Rig::on(SimLedger::default()).await;
    assert_eq!(rig.offer(&plain("a", 5)).await, NEWS);
    assert_eq!(rig.offer(&plain("a", 7)).await, NEWS);
    for (body, code) in [
        (plain("a", 6), "stale_revision"),
        (document("a", 7, &json!({"agent": {"zone": "other"}})), "conflicting_revision"),
        (document("a", 7, &json!({"agent": {"zone": "a-7"}, "unknown": 1})), "conflicting_revision"),
        (document("a", 8, &json!({"requires": ["gpu.v1", "quota.v1"]})), "unsupported_feature"),
        (document("a", 8, &json!({"server_id": OTHER})), "wrong_server_id"),
        (document("a", 8, &json!({"not_after": "2026-03-31T13:13:12Z"})), "document_expired"),
        (b"[]".to_vec(), "document_invalid"),
    ] {
        assert_eq!(rig.offer(&body).await, refused(code));
        assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("a.7"), vec![code.to_owned()]));
        assert_eq!(rig.state().refused.as_ref().map(|refused| refused.code), Some(code));
    }
    assert_eq!(rig.offer(&plain("b", 1)).await, NEWS);
    assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("b.1"), vec![]));
    assert_eq!(rig.offer(&plain("a", 99)).await, refused("stale_epoch"));
    assert_eq!(rig.ledger.disk(|disk| disk.writes), 3, "one write for each accepted document");
}

#[tokio::test]
async fn t15_a_requirement_that_is_not_offered_is_named() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.offer(&document("a", 1, &json!({"requires": ["host.v1", "teleport.v1"]}))).await;
    let said = rig.condition("unsupported_feature").unwrap().message;
    assert!(said.contains("teleport.v1") && said.contains("document a.1"), "{said}");
}

#[tokio::test]
async fn the_same_document_again_is_no_news_and_no_write_however_it_is_written() {
    let rig = Rig::on(SimLedger::default()).await;
    let expires = json!({"agent": {"max_workspaces": 4}, "not_after": "2026-03-31T13:13:13Z"});
    assert_eq!(rig.offer(&document("a", 1, &expires)).await, NEWS);
    let again = br#"{"not_after": "2026-03-31T13:13:13Z", "revision": 1.0, "epoch": "\u0061", "agent": {"max_workspaces": 4e0}}"#;
    assert_eq!(rig.offer(again).await, NO_NEWS);
    let late = Offer {
        body: again.to_vec(),
        server_id: HOST.to_owned(),
        manager_now: Some(model::time::UnixMillis(i64::MAX)),
    };
    assert_eq!(rig.port.offer(late).await, NO_NEWS, "what is in force does not expire");
    assert_eq!((rig.ledger.disk(|disk| disk.writes), rig.conditions()), (1, vec![]));
}

#[tokio::test]
async fn a_manager_that_returns_to_what_is_in_force_ends_the_refusal() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.offer(&plain("a", 1)).await;
    assert_eq!(rig.offer(b"{}").await, refused("document_invalid"));
    let said = rig.condition("document_invalid").unwrap().message;
    assert!(said.contains("/epoch: is missing"), "{said}");
    assert_eq!(rig.offer(&plain("a", 1)).await, NO_NEWS);
    assert_eq!((rig.conditions(), rig.state().refused.clone()), (vec![], None));
}

#[tokio::test]
async fn t37_a_left_epoch_is_taken_again_only_when_a_person_accepts_it_also_after_a_restart() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.offer(&plain("a", 9)).await;
    rig.offer(&plain("b", 1)).await;
    let rig = rig.restart().await;
    assert_eq!(rig.offer(&plain("a", 9)).await, refused("stale_epoch"));
    let epoch = |text: &str| Epoch::try_from(text.to_owned()).unwrap();
    assert_eq!(rig.port.accept_epoch(epoch("c")).await.unwrap_err().code(), "not_found");
    rig.ledger.disk(|disk| disk.refuses = Some("No space left on device".to_owned()));
    let said = rig.port.accept_epoch(epoch("a")).await.unwrap_err().to_string();
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(rig.offer(&plain("a", 9)).await, refused("stale_epoch"));
    rig.ledger.disk(|disk| disk.refuses = None);
    rig.port.accept_epoch(epoch("a")).await.unwrap();
    let rig = rig.restart().await;
    assert_eq!(rig.offer(&plain("a", 9)).await, NEWS, "the same bytes are read again");
    assert_eq!(rig.state().epochs_left, [epoch("b")]);
}

#[tokio::test]
async fn t16_whenever_the_daemon_is_killed_a_document_is_in_force_only_if_it_is_on_disk() {
    for crash in [LedgerCrash::Before(2), LedgerCrash::Behind(2)] {
        let rig = Rig::on(SimLedger::default()).await;
        assert_eq!(rig.offer(&plain("a", 1)).await, NEWS);
        rig.ledger.disk(|disk| disk.crash = Some(crash));
        let mut shown = rig.port.state();
        shown.mark_unchanged();
        let port = rig.port.clone();
        let offer = Offer { body: plain("a", 2), server_id: HOST.to_owned(), manager_now: None };
        let asked = tokio::spawn(async move { port.offer(offer).await });
        // The keeper stands still in the write.
        let began = || rig.ledger.disk(|disk| disk.begun());
        while began() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.in_force().as_deref(), Some("a.1"), "{crash:?}: it is not shown before it is saved");
        assert!(!shown.has_changed().unwrap());
        rig.ledger.disk(|disk| disk.crash = None);
        let rig = rig.restart().await;
        asked.await.unwrap();
        let after = if crash == LedgerCrash::Before(2) { "a.1" } else { "a.2" };
        assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some(after), vec![]), "{crash:?}");
        assert_eq!(rig.offer(&plain("a", 2)).await.is_news, after == "a.1");
    }
}

#[tokio::test]
async fn what_cannot_be_saved_is_not_applied_and_is_tried_again_until_it_can() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.offer(&plain("a", 1)).await;
    rig.ledger.disk(|disk| disk.refuses = Some("No space left on device".to_owned()));
    assert_eq!(rig.offer(&plain("a", 2)).await, refused("desired_state_not_saved"));
    let condition = rig.condition("desired_state_not_saved").unwrap();
    assert!(condition.message.contains("a.2") && condition.message.contains("No space left"), "{condition:?}");
    let begun = || rig.ledger.disk(|disk| disk.begun());
    let tries = begun();
    for _ in 0..5 {
        assert_eq!(rig.offer(&plain("a", 2)).await, refused("desired_state_not_saved"));
    }
    assert_eq!(begun(), tries, "a manager that repeats itself does not hurry it");
    for (wait, number) in [(1_000, 1), (2_000, 2), (4_000, 3)] {
        rig.clock.advance(wait - 1);
        rig.port.reload().await;
        assert_eq!(begun(), tries + number - 1, "not before {wait} ms");
        rig.clock.advance(1);
        while begun() < tries + number {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(rig.in_force().as_deref(), Some("a.1"));
    rig.ledger.disk(|disk| disk.refuses = None);
    rig.clock.advance(300_000);
    rig.until("a.2 in force", |state| state.manager.document().is_some_and(|it| it.id.to_string() == "a.2")).await;
    assert_eq!(rig.conditions(), [""; 0]);
    assert_eq!(rig.restart().await.in_force().as_deref(), Some("a.2"));
}

#[tokio::test]
async fn a_later_document_takes_the_place_of_one_that_waits_to_be_saved() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.ledger.disk(|disk| disk.refuses = Some("Read-only file system".to_owned()));
    rig.offer(&plain("a", 2)).await;
    rig.ledger.disk(|disk| disk.refuses = None);
    assert_eq!(rig.offer(&plain("a", 3)).await, NEWS);
    rig.clock.advance(600_000);
    rig.port.reload().await;
    assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("a.3"), vec![]));
}

#[tokio::test]
async fn a_hundred_revisions_leave_the_last_one_and_its_wishes() {
    let rig = Rig::on(SimLedger::default()).await;
    for revision in 1..=100 {
        assert_eq!(rig.offer(&plain("a", revision)).await, NEWS);
    }
    let rig = rig.restart().await;
    let zone = rig.state().manager.document().unwrap().wishes.agent.zone.clone();
    assert_eq!(zone, Desired::Value("a-100".to_owned()));
}
