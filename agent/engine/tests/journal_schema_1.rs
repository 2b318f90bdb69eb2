//! Journal entries as version 0.1 wrote them: a newer daemon goes on with each of them, and leaves no file of theirs behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Bench, Disk, GPU, OTHER, at, bind, bind_on_trial, dgx, release, start};
use engine::change::RETRY_UNDO_MS;
use engine::job::JobOutcome::{AlreadySo, Done};
use model::change::{ChangeId, decode};
use serde_json::{Value, json};
use sim::SimHost;

/// The document of an entry as version 0.1 wrote it, with its name.
fn as_0_1_wrote(name: &str, bytes: &[u8], phase: &Value) -> (String, Vec<u8>) {
    let entry = decode(name, bytes).unwrap();
    let lanes: Vec<String> = entry.plan.bounds.lanes.iter().map(ToString::to_string).collect();
    let new: Value = serde_json::from_slice(bytes).unwrap();
    let (new, plan) = (&new["entry"], &new["entry"]["plan"]);
    let steps: Vec<&Value> = plan["steps"].as_array().unwrap().iter().map(|step| &step["functions"]).collect();
    let mut entry = json!({
        "plan": {
            "scope": plan["bounds"]["target"]["functions"],
            "steps": steps,
            "postcondition": plan["postcondition"]["functions"],
            "disruption": plan["disruption"],
        },
        "before": new["before"]["functions"],
        "home": new["home"]["functions"],
        "phase": phase,
    });
    for same in ["operation", "job", "actor_uid", "began_at", "boot_id", "confirm_within_ms"] {
        entry[same] = new[same].clone();
    }
    (format!("{}.json", lanes[0]), json!({ "schema": 1, "entry": entry }).to_string().into_bytes())
}

/// A host that gave the GPU away under version 0.1, whose record was in this phase when it ended.
async fn given(phase: &Value) -> (SimHost, Disk) {
    let bench = start(dgx(), Disk::default(), "boot").await;
    assert_eq!(bench.make(bind_on_trial(GPU, 60_000)).await, Ok(Done));
    let (host, disk) = bench.stop().await;
    {
        let mut documents = disk.0.lock().unwrap();
        let (name, bytes) = documents.pop_first().unwrap();
        let (name, bytes) = as_0_1_wrote(&name, &bytes, phase);
        documents.insert(name, bytes);
    }
    (host, disk)
}

fn names(bench: &Bench) -> Vec<String> {
    bench.disk.0.lock().unwrap().keys().cloned().collect()
}

/// The phases in the journal, as JSON shows them.
fn phases(bench: &Bench) -> Vec<Value> {
    bench.disk.phases().iter().map(|phase| serde_json::to_value(phase).unwrap()).collect()
}

fn is_old(name: &str) -> bool {
    name.starts_with("group-")
}

#[tokio::test]
async fn a_standing_entry_stays_under_its_name_and_goes_with_the_release() {
    let (host, disk) = given(&json!("standing")).await;
    let bench = start(host, disk, "boot").await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"));
    assert_eq!(bench.make(bind(GPU)).await, Ok(AlreadySo), "what is done is done");
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done));
    let [new, old] = &names(&bench)[..] else { panic!("{:?}", names(&bench)) };
    assert!(new.starts_with("change-1.group-") && is_old(old), "{new} {old}");
    let old = old.clone();
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
    assert!(!names(&bench).contains(&old), "the old file is gone");
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    assert!(names(&bench).iter().all(|name| !is_old(name)), "{:?}", names(&bench));
}

#[tokio::test]
async fn an_unconfirmed_entry_is_confirmed_under_its_name_and_can_be_released() {
    let (host, disk) = given(&json!({ "unconfirmed": { "until": 1_060_000 } })).await;
    let bench = start(host, disk, "boot").await;
    let before = names(&bench);
    assert_eq!(bench.confirm(GPU).await, Ok(Done));
    assert_eq!((names(&bench), phases(&bench)), (before, vec![json!("standing")]));
    let (host, disk) = bench.stop().await;
    let bench = start(host, disk, "boot").await;
    let id = bench.records.borrow().given(at(GPU)).unwrap().id;
    assert!(matches!(id, ChangeId::Lane(_)), "written by schema 2, it is the change that it was");
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!((names(&bench).len(), bench.driver(GPU).as_deref()), (0, Some("nvidia")));
}

#[tokio::test]
async fn an_unconfirmed_entry_is_undone_when_nobody_confirms_it() {
    let (host, disk) = given(&json!({ "unconfirmed": { "until": 1_060_000 } })).await;
    let bench = start(host, disk, "boot").await;
    assert_eq!((bench.driver(GPU).as_deref(), names(&bench).len()), (Some("vfio-pci"), 1), "there is time left");
    bench.clock.advance(60_000 + RETRY_UNDO_MS);
    bench.until_driver(GPU, Some("nvidia")).await;
    bench.handle.jobs.clone().wait_for(|jobs| jobs.iter().all(|job| job.result.is_some())).await.unwrap();
    assert_eq!(names(&bench).len(), 0);
}

#[tokio::test]
async fn what_was_open_or_quarantined_is_undone_at_the_start() {
    for phase in [json!("open"), json!({ "quarantined": { "why": "it would not let go" } })] {
        let (host, disk) = given(&phase).await;
        let bench = start(host, disk, "boot").await;
        assert_eq!((bench.driver(GPU).as_deref(), names(&bench).len()), (Some("nvidia"), 0), "{phase}");
        assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "{phase}");
    }
}

#[tokio::test]
async fn an_entry_of_an_earlier_boot_is_forgotten_in_each_phase() {
    for phase in [json!("open"), json!("standing"), json!({ "unconfirmed": { "until": 1_060_000 } })] {
        let (host, disk) = given(&phase).await;
        host.change(sim::state::HostState::reboot).unwrap();
        let bench = start(host, disk, "another boot").await;
        assert_eq!(names(&bench).len(), 0, "{phase}");
        assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "{phase}");
    }
}

#[tokio::test]
async fn an_open_release_is_undone_and_the_record_stands_again_under_its_name() {
    let (host, disk) = given(&json!("open")).await;
    {
        let mut documents = disk.0.lock().unwrap();
        let (name, bytes) = documents.pop_first().unwrap();
        let mut document: Value = serde_json::from_slice(&bytes).unwrap();
        let entry = &mut document["entry"];
        entry["operation"] = json!("passthrough-release");
        // What a release sees before its first step is the GPU as it was given away; home is where the binding began.
        entry["before"] = entry["plan"]["postcondition"]["members"].clone();
        entry["plan"]["postcondition"] = json!({ "members": entry["home"], "guest_ready": null });
        documents.insert(name, document.to_string().into_bytes());
    }
    let bench = start(host, disk, "boot").await;
    assert_eq!((bench.driver(GPU).as_deref(), phases(&bench)), (Some("vfio-pci"), vec![json!("standing")]));
    assert!(is_old(&names(&bench)[0]));
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!((bench.driver(GPU).as_deref(), names(&bench).len()), (Some("nvidia"), 0));
}

#[tokio::test]
async fn an_old_file_beside_a_new_record_of_the_same_group_holds_it_until_a_person_decides() {
    let (host, disk) = given(&json!("standing")).await;
    let old = disk.0.lock().unwrap().first_key_value().map(|(name, bytes)| (name.clone(), bytes.clone())).unwrap();
    let bench = start(host, disk, "boot").await;
    assert_eq!((bench.make(release(GPU)).await, bench.make(bind(GPU)).await), (Ok(Done), Ok(Done)));
    let (host, disk) = bench.stop().await;
    disk.0.lock().unwrap().insert(old.0.clone(), old.1.clone());
    let bench = start(host, disk, "boot").await;
    let refusal = bench.make(release(GPU)).await.unwrap_err();
    assert_eq!(refusal.code(), "change_journal_unreadable");
    assert!(names(&bench).iter().all(|name| refusal.to_string().contains(name)), "{refusal}");
    assert_eq!((names(&bench).len(), bench.driver(GPU).as_deref()), (2, Some("vfio-pci")));
    let (host, disk) = bench.stop().await;
    disk.0.lock().unwrap().remove(&old.0);
    let bench = start(host, disk, "boot").await;
    assert_eq!((bench.make(release(GPU)).await, names(&bench).len()), (Ok(Done), 0));
}
