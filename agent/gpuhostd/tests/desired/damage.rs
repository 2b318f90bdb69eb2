//! A ledger that is lost, damaged or somebody else's is never an empty wish.

use crate::rig::{HOST, NEWS, OTHER, Rig, plain};
use host::front::FileLedger;
use model::desired::InForceDocument;
use sim::{LedgerCrash, SimLedger};
use std::fs;
use std::path::Path;

/// A disk with the document `a.1` of [`HOST`] in force.
async fn kept() -> (SimLedger, Vec<u8>) {
    let rig = Rig::on(SimLedger::default()).await;
    assert_eq!(rig.offer(&plain("a", 1)).await, NEWS);
    let bytes = rig.ledger.disk(|disk| disk.content.clone()).unwrap().unwrap();
    (rig.ledger.clone(), bytes)
}

#[tokio::test]
async fn t36_whatever_the_ledger_has_become_nothing_is_undone_and_it_is_kept_beside() {
    let (_, whole) = kept().await;
    let cut = whole[..whole.len() / 2].to_vec();
    let later = String::from_utf8(whole.clone()).unwrap().replace("\"schema\":1", "\"schema\":2").into_bytes();
    let wrong = String::from_utf8(whole.clone()).unwrap().replace("\"zone\":", "\"zone\":1,\"zone\":").into_bytes();
    for (content, words) in [
        (Ok(Vec::new()), "it is empty"),
        (Ok(vec![0; 4096]), "it holds zeros only"),
        (Ok(cut), "it is damaged"),
        (Ok(later), "it has schema 2, and this version knows 1"),
        (Ok(wrong), "its document cannot be read: /agent/zone: is there twice"),
        (Err("it is a directory".to_owned()), "it is a directory"),
    ] {
        let ledger = SimLedger::default();
        ledger.disk(|disk| disk.content = Some(content.clone()));
        let rig = Rig::on(ledger).await;
        let state = rig.state();
        let InForceDocument::Unreadable { why } = &state.manager else { panic!("{words}: {:?}", state.manager) };
        assert!(why.contains(words) && why.contains("nothing is undone"), "{why}");
        let condition = rig.condition("desired_state_unreadable").unwrap();
        assert!(condition.message.contains(words), "{condition:?}");
        assert_eq!(rig.ledger.disk(|disk| disk.content.clone()), Some(content.clone()), "it is left as it is");
        // A lower revision than the one that was lost is right, and so is any epoch.
        assert_eq!(rig.offer(&plain("z", 1)).await, NEWS);
        assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("z.1"), vec![]));
        assert_eq!(rig.ledger.disk(|disk| disk.aside.clone()), [content]);
        assert_eq!(rig.restart().await.in_force().as_deref(), Some("z.1"));
    }
}

#[tokio::test]
async fn no_ledger_is_no_wish_and_no_fault() {
    let rig = Rig::on(SimLedger::default()).await;
    assert_eq!((rig.state().manager.clone(), rig.conditions()), (InForceDocument::None, vec![]));
}

#[tokio::test]
async fn another_identity_inherits_nothing_and_the_first_gets_its_own_back() {
    let (ledger, whole) = kept().await;
    let rig = Rig::on(ledger).await;
    rig.is_now(None).await;
    assert_eq!((rig.state().manager.clone(), rig.conditions()), (InForceDocument::None, vec![]), "it has left");
    assert_eq!(rig.ledger.disk(|disk| disk.content.clone()), Some(Ok(whole.clone())));
    rig.is_now(Some(OTHER)).await;
    let said = rig.condition("desired_state_unreadable").unwrap().message;
    assert!(said.contains(HOST) && said.contains(OTHER), "{said}");
    assert!(matches!(rig.state().manager, InForceDocument::Unreadable { .. }));
    rig.is_now(Some(HOST)).await;
    assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("a.1"), vec![]));
    rig.is_now(Some(OTHER)).await;
    assert_eq!(rig.offer(&plain("a", 1)).await, NEWS, "the revisions of another identity do not count");
    assert_eq!(rig.ledger.disk(|disk| disk.aside.clone()), [Ok(whole)]);
}

#[tokio::test]
async fn a_document_for_an_identity_that_is_gone_is_not_read() {
    let rig = Rig::on(SimLedger::default()).await;
    rig.is_now(None).await;
    let offer = gpuhostd::desired::Offer { body: plain("a", 1), server_id: HOST.to_owned(), manager_now: None };
    assert!(!rig.port.offer(offer).await.is_news);
    assert_eq!((rig.in_force(), rig.ledger.disk(|disk| disk.writes)), (None, 0));
}

#[tokio::test]
async fn a_kill_while_the_damaged_file_is_kept_beside_loses_nothing() {
    for crash in [LedgerCrash::Before(1), LedgerCrash::Behind(1), LedgerCrash::Before(2), LedgerCrash::Behind(2)] {
        let ledger = SimLedger::default();
        ledger.disk(|disk| (disk.content, disk.crash) = (Some(Ok(b"damaged".to_vec())), Some(crash)));
        let rig = Rig::on(ledger).await;
        let port = rig.port.clone();
        let offer = gpuhostd::desired::Offer { body: plain("a", 1), server_id: HOST.to_owned(), manager_now: None };
        let asked = tokio::spawn(async move { port.offer(offer).await });
        let at = match crash {
            LedgerCrash::Before(at) | LedgerCrash::Behind(at) => at,
        };
        while rig.ledger.disk(|disk| disk.begun()) < at {
            tokio::task::yield_now().await;
        }
        rig.ledger.disk(|disk| disk.crash = None);
        let rig = rig.restart().await;
        asked.await.unwrap();
        let saved = crash == LedgerCrash::Behind(2);
        assert_eq!(rig.in_force().is_some(), saved, "{crash:?}");
        assert_eq!(rig.condition("desired_state_unreadable").is_none(), saved, "{crash:?}: damaged, never missing");
        rig.offer(&plain("a", 1)).await;
        assert_eq!(rig.in_force().as_deref(), Some("a.1"), "{crash:?}");
        assert!(rig.ledger.disk(|disk| disk.aside.contains(&Ok(b"damaged".to_vec()))), "{crash:?}");
    }
}

#[tokio::test]
async fn the_file_is_private_and_a_folder_in_its_place_is_moved_aside_when_a_document_comes() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("desired.json");
    fs::create_dir(&file).unwrap();
    let rig = Rig::on(FileLedger::below(state.path())).await;
    let said = rig.condition("desired_state_unreadable").unwrap().message;
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    assert_eq!(rig.offer(&plain("a", 1)).await, NEWS);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(state.path().join("desired.json.damaged-1").is_dir());
    assert_eq!(rig.restart().await.in_force().as_deref(), Some("a.1"));
}

#[tokio::test]
async fn a_file_that_was_mended_is_read_at_the_next_reload() {
    let (_, whole) = kept().await;
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("desired.json");
    fs::write(&file, &whole[..40]).unwrap();
    let rig = Rig::on(FileLedger::below(state.path())).await;
    assert!(rig.condition("desired_state_unreadable").is_some());
    fs::write(&file, &whole).unwrap();
    rig.port.reload().await;
    assert_eq!((rig.in_force().as_deref(), rig.conditions()), (Some("a.1"), vec![]));
    assert_eq!(Path::new(&file).metadata().unwrap().len(), u64::try_from(whole.len()).unwrap());
}
