//! Entries of the journal that cannot be read: nothing takes their place, and what they may be about is left as it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Bench, Disk, GPU, OTHER, bind, bind_on_trial, dgx, release, start};
use engine::job::JobOutcome::Done;
use model::change::{Phase, decode, encode};
use model::observation::{ChainLink, GpuUse};
use model::refusal::Refusal;
use model::verdict_reasons::Unschedulable;
use sim::SimHost;
use std::collections::BTreeMap;

/// A host that gave the GPU away, and the journal with the record of it; the daemon has ended.
async fn given() -> (SimHost, Disk, String) {
    let bench = start(dgx(), Disk::default(), "boot").await;
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    let name = bench.disk.0.lock().unwrap().keys().next().unwrap().clone();
    let (host, disk) = bench.stop().await;
    (host, disk, name)
}

fn documents(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
    disk.0.lock().unwrap().clone()
}

fn condition(bench: &Bench) -> Option<String> {
    let shown = bench.handle.observation.borrow();
    shown.conditions.iter().find(|one| one.kind == "change_journal_unreadable").map(|one| one.message.clone())
}

/// Every way to ask for a change of the GPU is answered with the file, and host and journal stay as they were.
async fn is_left_alone(bench: &Bench, file: &str, what: &str) {
    let (host, journal) = (bench.host.state().bus, documents(&bench.disk));
    let names_it = |refusal: &Refusal| {
        assert_eq!((refusal.code(), refusal.exit_status()), ("change_journal_unreadable", 11), "{what}: {refusal}");
        assert!(refusal.to_string().contains(file), "{what}: {refusal}");
    };
    names_it(&bench.plan(bind(GPU)).await.unwrap_err());
    for change in [release(GPU), bind(GPU), bind_on_trial(GPU, 1)] {
        names_it(&bench.make(change).await.unwrap_err());
    }
    names_it(&bench.confirm(GPU).await.unwrap_err());
    assert_eq!((bench.host.state().bus, documents(&bench.disk)), (host, journal), "{what}");
    let shown = bench.shown(GPU);
    assert_eq!((shown.usage, shown.schedulable), (GpuUse::Quarantined, false), "{what}");
    assert_eq!(shown.unschedulable_reason.map(Unschedulable::code), Some("quarantined"), "{what}");
    let link = shown.first_broken_link().expect("a broken link").clone();
    assert!(link.reason.is_some_and(|why| why.contains(file)), "{what}: {:?}", link.link);
    assert!(link.remedy.is_some_and(|to_do| to_do.contains("systemctl restart gpuhostd")), "{what}");
    let told = condition(bench).expect("the condition");
    assert!(told.contains(file) && told.contains("To do:"), "{what}: {told}");
}

type Damage = fn(&[u8]) -> Vec<u8>;

#[tokio::test]
async fn an_entry_that_cannot_be_read_keeps_its_gpu_and_itself() {
    let damages: [(&str, Damage); 6] = [
        ("cut", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("empty", |_| Vec::new()),
        ("zeroed", |bytes| vec![0; bytes.len()]),
        ("another document", |_| b"{\"hello\": 1}".to_vec()),
        ("one field more", |bytes| {
            String::from_utf8_lossy(bytes).replacen("\"job\"", "\"more\": 1, \"job\"", 1).into()
        }),
        ("of a newer version", |bytes| {
            String::from_utf8_lossy(bytes).replacen("\"schema\": 2", "\"schema\": 3", 1).into()
        }),
    ];
    for (what, damage) in damages {
        let (host, disk, name) = given().await;
        let bytes = damage(&documents(&disk)[&name]);
        disk.0.lock().unwrap().insert(name.clone(), bytes);
        let bench = start(host, disk, "boot").await;
        is_left_alone(&bench, &format!("/journal/{name}"), what).await;
        assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"), "{what}");
        assert_eq!(bench.make(bind(OTHER)).await, Ok(Done), "{what}: it costs no other GPU");
        let (host, disk) = bench.stop().await;
        let bench = start(host, disk, "boot").await;
        is_left_alone(&bench, &format!("/journal/{name}"), &format!("{what}, started again")).await;
    }
}

#[tokio::test]
async fn a_file_that_the_host_does_not_give_out_is_an_entry_that_cannot_be_read() {
    let (host, disk, name) = given().await;
    disk.2.lock().unwrap().insert(name.clone());
    let bench = start(host, disk, "boot").await;
    is_left_alone(&bench, &format!("/journal/{name}: Input/output error"), "EIO").await;
}

#[tokio::test]
async fn once_the_file_is_in_order_the_gpu_can_be_taken_back() {
    let (host, disk, name) = given().await;
    let good = documents(&disk)[&name].clone();
    disk.0.lock().unwrap().insert(name.clone(), b"rubbish".to_vec());
    let (host, disk) = {
        let bench = start(host, disk, "boot").await;
        assert!(bench.make(release(GPU)).await.is_err());
        bench.stop().await
    };
    disk.0.lock().unwrap().insert(name, good);
    let bench = start(host, disk, "boot").await;
    assert_eq!((bench.make(release(GPU)).await, condition(&bench)), (Ok(Done), None));
    assert_eq!((bench.driver(GPU).as_deref(), documents(&bench.disk).len()), (Some("nvidia"), 0));
}

#[tokio::test]
async fn a_name_that_is_no_lane_is_reported_and_holds_nothing() {
    let disk = Disk::default();
    for name in ["notes.json", "group-+3.json", "gpu-0000_07_00_0_1.json", "\u{fffd}.json", "docker.json"] {
        disk.0.lock().unwrap().insert(name.to_owned(), b"rubbish".to_vec());
    }
    let before = documents(&disk);
    let bench = start(dgx(), disk, "boot").await;
    let told = condition(&bench).expect("the condition");
    assert!(told.contains("/journal/notes.json") && told.contains("and 1 more"), "{told}");
    assert_eq!((bench.make(bind(GPU)).await, bench.make(release(GPU)).await), (Ok(Done), Ok(Done)));
    assert_eq!(documents(&bench.disk), before);
}

#[tokio::test]
async fn a_record_under_another_name_holds_its_gpu_until_it_has_its_own_again() {
    let (host, disk, name) = given().await;
    let record = disk.0.lock().unwrap().remove(&name).unwrap();
    disk.0.lock().unwrap().insert("saved.json".to_owned(), record.clone());
    let bench = start(host, disk, "boot").await;
    is_left_alone(&bench, "/journal/saved.json", "renamed").await;
    let (host, disk) = bench.stop().await;
    // A copy beside the record itself keeps nobody from anything.
    disk.0.lock().unwrap().insert(name, record);
    let bench = start(host, disk, "boot").await;
    assert!(condition(&bench).is_some_and(|told| told.contains("/journal/saved.json")));
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!(documents(&bench.disk).keys().collect::<Vec<_>>(), ["saved.json"]);
}

#[tokio::test]
async fn a_record_named_by_its_gpu_holds_it_though_it_is_in_a_group_now() {
    let disk = Disk::default();
    disk.0.lock().unwrap().insert("gpu-0000_07_00_0.json".to_owned(), b"rubbish".to_vec());
    let bench = start(dgx(), disk, "boot").await;
    is_left_alone(&bench, "/journal/gpu-0000_07_00_0.json", "before the IOMMU was switched on").await;
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done));
}

#[tokio::test]
async fn a_damaged_entry_keeps_no_open_one_from_being_undone() {
    let (host, disk, name) = given().await;
    let entry = decode(&name, &documents(&disk)[&name]).unwrap();
    disk.0.lock().unwrap().insert(name, encode(&entry.in_phase(Phase::Open)).unwrap());
    disk.0.lock().unwrap().insert("group-0.json".to_owned(), b"rubbish".to_vec());
    let bench = start(host, disk, "boot").await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
    assert_eq!(documents(&bench.disk).keys().collect::<Vec<_>>(), ["group-0.json"]);
    assert_eq!(bench.shown(GPU).usage, GpuUse::Host);
    assert!(bench.shown(GPU).cause_chain.iter().all(|link| link.link != ChainLink::Policy || link.ok == Some(true)));
}
