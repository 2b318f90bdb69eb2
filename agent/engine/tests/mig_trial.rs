//! Changes of MIG that have to be confirmed: kept, undone, undone late because something uses them, and found by the next daemon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Bench, Disk, at, bind, root, start, start_on};
use engine::change::RETRY_UNDO_MS;
use engine::command::Command;
use engine::job::JobOutcome::{self, Done};
use model::change::{Change, Phase, decode, encode};
use model::driver::MigMode;
use model::holders::{Hold, Holder, MigPlace};
use model::mig::{MigLayoutRequest, MigModeRequest, MigOwned};
use model::policy::read;
use model::refusal::Refusal;
use sim::step_faults::StepFault;
use sim::{SimHost, load};
use std::sync::Arc;

const GPU: &str = "0000:1b:00.0";
const TIME: u64 = 60_000;
const BEFORE: &str = "3g.40gb@4,1g.10gb@0";
const TRIED: &str = "2g.20gb@4,1g.10gb@0";

fn host() -> SimHost {
    let mut description = load("hgx-h100").unwrap();
    for gpu in &mut description.gpus {
        gpu.processes.clear();
        gpu.persistence = false;
    }
    SimHost::new(description).unwrap()
}

fn layout(text: &str, confirm_within_ms: Option<u64>) -> Change {
    let layout = text.to_owned();
    Change::MigLayout(MigLayoutRequest { gpu: at(GPU), layout, replace_foreign: true, confirm_within_ms })
}

fn mode(to: MigMode, confirm_within_ms: Option<u64>) -> Change {
    Change::MigMode(MigModeRequest { gpu: at(GPU), to, confirm_within_ms })
}

fn instances(host: &SimHost) -> Vec<String> {
    let state = host.state();
    let each = state.mig[&at(GPU)].instances.iter();
    let mut each: Vec<String> = each.map(|one| format!("{}@{}", one.profile, one.placement.start)).collect();
    each.sort();
    each
}

fn listed(text: &str) -> Vec<String> {
    let mut each: Vec<String> = text.split(',').filter(|one| *one != "-").map(str::to_owned).collect();
    each.sort();
    each
}

fn allow(bench: &Bench) {
    bench.set_policy.send_replace(Arc::new(read("p", "[host.mig]\nchanges_per_minute = 60").unwrap()));
}

fn set_mode(bench: &Bench, to: MigMode) {
    bench.host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        (mig.current, mig.pending) = (to, to);
    });
}

/// A host with MIG on and that layout, which gpuhostd has made.
async fn with(text: &str) -> Bench {
    let bench = start(host(), Disk::default(), "boot").await;
    allow(&bench);
    set_mode(&bench, MigMode::Enabled);
    bench.make(layout(text, None)).await.unwrap();
    bench
}

async fn confirm(bench: &Bench) -> Result<JobOutcome, Refusal> {
    bench.run(root(Command::ConfirmMig(at(GPU)))).await
}

async fn until(bench: &Bench, what: &str, is_so: impl Fn() -> bool) {
    let mut jobs = bench.handle.jobs.clone();
    let waited = tokio::time::timeout(common::PATIENCE, async {
        while !is_so() {
            jobs.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{what}: {:?}, {:?}", instances(&bench.host), bench.handle.jobs.borrow());
}

/// Waits until the layout is this and nothing of it is under way or left in the journal.
async fn until_at_rest(bench: &Bench, wanted: &str) {
    let at_rest = || instances(&bench.host) == listed(wanted) && bench.records.borrow().is_empty();
    until(bench, wanted, at_rest).await;
    assert!(bench.disk.phases().is_empty(), "{:?}", bench.disk.phases());
}

/// What the record on disk names as ours.
fn recorded(disk: &Disk) -> Vec<String> {
    let all = disk.0.lock().unwrap();
    let (name, bytes) = all.iter().find(|(name, _)| MigOwned::is_name(name)).expect("a record");
    let mut named: Vec<String> =
        MigOwned::decode(name, bytes).unwrap().places().iter().map(ToString::to_string).collect();
    named.sort();
    named
}

fn user(bench: &Bench, start: u32) -> Holder {
    let state = bench.host.state();
    let gpu_instance = state.mig[&at(GPU)].instances.iter().find(|one| one.placement.start == start).unwrap().id;
    Holder {
        pid: Some(4711),
        command: Some("python3".to_owned()),
        unit: None,
        container: None,
        address: Some(at(GPU)),
        instance: Some(MigPlace { gpu_instance, compute_instance: Some(0) }),
        hold: Hold::OpenDevice { path: "/dev/nvidia-caps/nvidia-cap30".to_owned() },
    }
}

#[tokio::test]
async fn a_layout_that_is_not_confirmed_is_undone_at_its_places_also_by_the_next_daemon() {
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    assert_eq!(instances(&bench.host), listed(TRIED));
    assert_eq!(recorded(&bench.disk), listed(BEFORE), "until it is confirmed the record is the former one");
    assert!(bench.shown(GPU).confirm_before.is_some());
    assert!(bench.conditions().contains(&"mig_unconfirmed".to_owned()), "{:?}", bench.conditions());
    let (clock, acting) = (Arc::clone(&bench.clock), Arc::clone(&bench.acting));
    let (_, disk) = bench.stop().await;
    let bench = start_on(acting, disk, "boot", Arc::clone(&clock)).await;
    allow(&bench);
    assert_eq!(instances(&bench.host), listed(TRIED), "there is time left");
    clock.advance(TIME);
    until_at_rest(&bench, BEFORE).await;
    assert_eq!((recorded(&bench.disk), bench.shown(GPU).confirm_before), (listed(BEFORE), None));
    assert!(!bench.conditions().contains(&"mig_unconfirmed".to_owned()));
    assert_eq!(confirm(&bench).await.unwrap_err().code(), "conflict");
    // They are ours as before.
    let careful =
        MigLayoutRequest { gpu: at(GPU), layout: "-".to_owned(), replace_foreign: false, confirm_within_ms: None };
    assert_eq!(bench.make(Change::MigLayout(careful)).await, Ok(Done));
}

#[tokio::test]
async fn what_is_confirmed_is_ours_stays_and_returns_after_a_boot() {
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    assert_eq!(confirm(&bench).await, Ok(Done));
    assert_eq!(recorded(&bench.disk), listed(TRIED));
    assert!(bench.disk.phases().is_empty() && bench.shown(GPU).confirm_before.is_none());
    bench.clock.advance(2 * TIME);
    bench.run(root(Command::Rescan)).await.unwrap();
    assert_eq!(instances(&bench.host), listed(TRIED));
    let bench = rebooted(bench).await;
    until_at_rest(&bench, TRIED).await;
}

/// The same machine after a reboot.
async fn rebooted(bench: Bench) -> Bench {
    let (host, disk) = bench.stop().await;
    host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        (mig.current, mig.pending) = (MigMode::Disabled, MigMode::Disabled);
        mig.instances.clear();
    });
    start(host, disk, "next boot").await
}

#[tokio::test]
async fn a_boot_undoes_what_was_not_confirmed() {
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    let bench = rebooted(bench).await;
    until_at_rest(&bench, BEFORE).await;
}

#[tokio::test]
async fn what_uses_an_instance_keeps_it_and_the_condition_names_it() {
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    let user = user(&bench, 4);
    bench.host.change(|state| state.open.insert(at(GPU), vec![user]));
    bench.clock.advance(TIME);
    let said = || {
        let shown = bench.handle.observation.borrow().clone();
        let found = shown.conditions.iter().find(|one| one.kind == "mig_unconfirmed");
        found.map(|one| one.message.clone()).unwrap_or_default()
    };
    until(&bench, "the holder is named", || said().contains("python3 (pid 4711)")).await;
    assert!(said().contains("could not be undone yet"), "{}", said());
    assert_eq!(instances(&bench.host), listed(TRIED), "what is in use stays");
    bench.host.change(|state| state.open.clear());
    bench.clock.advance(RETRY_UNDO_MS);
    until_at_rest(&bench, BEFORE).await;
}

#[tokio::test]
async fn what_others_created_before_is_theirs_again_and_what_they_create_meanwhile_is_in_the_way() {
    let bench = with("1g.10gb@0").await;
    let create = |start| {
        bench.host.change(|state| {
            let mig = state.mig.get_mut(&at(GPU)).unwrap();
            let id = mig.create_gpu("2g.20gb", start).unwrap();
            mig.create_compute(id, 2).unwrap();
        });
    };
    create(4);
    assert_eq!(bench.make(layout("1g.10gb@0", Some(TIME))).await, Ok(Done), "it may replace foreign ones");
    create(4);
    bench.clock.advance(TIME);
    until_at_rest(&bench, "1g.10gb@0,2g.20gb@4").await;
    let careful =
        MigLayoutRequest { gpu: at(GPU), layout: "-".to_owned(), replace_foreign: false, confirm_within_ms: None };
    assert_eq!(bench.make(Change::MigLayout(careful)).await.unwrap_err().code(), "mig_foreign");
}

#[tokio::test]
async fn while_a_change_is_on_trial_no_other_change_of_the_gpu_is_made() {
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    for other in [
        layout("-", None),
        layout("-", Some(TIME)),
        mode(MigMode::Disabled, None),
        mode(MigMode::Disabled, Some(TIME)),
        bind(GPU),
    ] {
        let refusal = bench.make(other.clone()).await.unwrap_err();
        assert!(refusal.code() == "busy" && refusal.to_string().contains("mig confirm"), "{other:?}: {refusal}");
    }
    assert_eq!(instances(&bench.host), listed(TRIED));
    assert_eq!(confirm(&bench).await, Ok(Done));
    assert_eq!(bench.make(layout("-", None)).await, Ok(Done));
    let too_long = bench.make(layout("1g.10gb", Some(86_400_001))).await.unwrap_err();
    assert_eq!(too_long.code(), "invalid_argument");
}

#[tokio::test]
async fn a_mode_that_is_not_confirmed_goes_back_with_the_instances_it_took_and_not_over_what_others_made() {
    let bench = start(host(), Disk::default(), "boot").await;
    allow(&bench);
    assert_eq!(bench.make(mode(MigMode::Enabled, Some(TIME))).await, Ok(Done));
    bench.host.change(|state| {
        state.mig.get_mut(&at(GPU)).unwrap().create_gpu("1g.10gb", 0).unwrap();
    });
    bench.clock.advance(TIME);
    let refused = || bench.handle.jobs.borrow().iter().any(|job| matches!(&job.result, Some(Err(_))));
    until(&bench, "it is refused", refused).await;
    assert_eq!(instances(&bench.host), ["1g.10gb@0"], "another program's instance stays, and the mode with it");
    bench.host.change(|state| state.mig.get_mut(&at(GPU)).unwrap().instances.clear());
    bench.clock.advance(RETRY_UNDO_MS);
    until_at_rest(&bench, "-").await;
    assert_eq!(bench.host.state().mig[&at(GPU)].current, MigMode::Disabled);

    let bench = with(BEFORE).await;
    assert_eq!(bench.make(mode(MigMode::Disabled, Some(TIME))).await, Ok(Done));
    assert_eq!(instances(&bench.host), listed("-"));
    bench.clock.advance(TIME);
    until_at_rest(&bench, BEFORE).await;
    assert_eq!(bench.host.state().mig[&at(GPU)].current, MigMode::Enabled);
}

#[tokio::test]
async fn every_fault_while_it_is_undone_leaves_it_before_or_after_and_it_is_tried_again() {
    for fault in [StepFault::Error, StepFault::NoEffect, StepFault::EffectAndError] {
        for step in 0..4 {
            let bench = with(BEFORE).await;
            assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
            bench.fault(step, fault);
            bench.clock.advance(TIME);
            let ended = || {
                let jobs = bench.handle.jobs.borrow();
                jobs.iter().any(|job| job.started_by.origin == engine::command::Origin::Daemon && job.result.is_some())
            };
            until(&bench, "the first attempt ends", ended).await;
            let now = instances(&bench.host);
            assert!(now == listed(BEFORE) || now == listed(TRIED), "{fault:?} at {step}: {now:?}");
            bench.clock.advance(RETRY_UNDO_MS);
            until_at_rest(&bench, BEFORE).await;
        }
    }
}

#[tokio::test]
async fn a_crash_while_it_is_undone_or_confirmed_is_finished_by_the_next_daemon() {
    // Undone: the step is asked for and the daemon dies.
    let bench = with(BEFORE).await;
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    *bench.acting.holds_back.lock().unwrap() = true;
    bench.clock.advance(TIME);
    let mut records = bench.records.clone();
    records.wait_for(|records| records.is_under_way(at(GPU))).await.unwrap();
    while bench.disk.phases() != [Phase::Open] {
        tokio::task::yield_now().await;
    }
    let (clock, acting) = (Arc::clone(&bench.clock), Arc::clone(&bench.acting));
    let (_, disk) = bench.stop().await;
    *acting.holds_back.lock().unwrap() = false;
    let bench = start_on(acting, disk, "boot", clock).await;
    allow(&bench);
    bench.clock.advance(RETRY_UNDO_MS);
    until_at_rest(&bench, BEFORE).await;
    assert_eq!(recorded(&bench.disk), listed(BEFORE));

    // Confirmed: the entry is a confirmed one, and the record is not yet written.
    assert_eq!(bench.make(layout(TRIED, Some(TIME))).await, Ok(Done));
    let (host, disk) = bench.stop().await;
    let (name, entry) = {
        let all = disk.0.lock().unwrap();
        let (name, bytes) = all.iter().find(|(name, _)| !MigOwned::is_name(name)).unwrap();
        (name.clone(), decode(name, bytes).unwrap())
    };
    disk.0.lock().unwrap().insert(name, encode(&entry.in_phase(Phase::Standing)).unwrap());
    let bench = start(host, disk, "boot").await;
    allow(&bench);
    assert_eq!(recorded(&bench.disk), listed(TRIED));
    assert!(bench.disk.phases().is_empty());
    assert_eq!(confirm(&bench).await.unwrap_err().code(), "conflict");
}

#[tokio::test]
async fn a_crash_before_it_is_on_trial_undoes_it() {
    let bench = with(BEFORE).await;
    *bench.acting.holds_back.lock().unwrap() = true;
    bench.handle.submit(root(Command::Change(layout(TRIED, Some(TIME))))).await.unwrap();
    while bench.disk.phases() != [Phase::Open] {
        tokio::task::yield_now().await;
    }
    let (clock, acting) = (Arc::clone(&bench.clock), Arc::clone(&bench.acting));
    let (_, disk) = bench.stop().await;
    *acting.holds_back.lock().unwrap() = false;
    let bench = start_on(acting, disk, "boot", clock).await;
    until_at_rest(&bench, BEFORE).await;
    assert_eq!(recorded(&bench.disk), listed(BEFORE));
}
