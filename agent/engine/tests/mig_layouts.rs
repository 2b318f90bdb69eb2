//! MIG layouts and modes on a simulated host: made, refused, undone, recovered, and whose the instances are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Bench, Disk, at, root, start};
use engine::command::Command;
use engine::job::JobOutcome::{AlreadySo, Done, Planned};
use model::change::Change;
use model::driver::MigMode;
use model::holders::{Hold, Holder, MigPlace};
use model::mig::{MigLayoutRequest, MigModeRequest};
use model::policy::read;
use model::refusal::Refusal;
use sim::description::VirtualFunctions;
use sim::mig::SimMig;
use sim::step_faults::StepFault;
use sim::{SimHost, load};
use std::sync::Arc;

const GPU: &str = "0000:1b:00.0";

fn host() -> SimHost {
    let mut description = load("hgx-h100").unwrap();
    for gpu in &mut description.gpus {
        gpu.processes.clear();
        gpu.persistence = false;
    }
    SimHost::new(description).unwrap()
}

fn layout(text: &str) -> Change {
    Change::MigLayout(MigLayoutRequest {
        gpu: at(GPU),
        layout: text.to_owned(),
        replace_foreign: false,
        confirm_within_ms: None,
    })
}

fn replacing(text: &str) -> Change {
    Change::MigLayout(MigLayoutRequest {
        gpu: at(GPU),
        layout: text.to_owned(),
        replace_foreign: true,
        confirm_within_ms: None,
    })
}

fn mode(to: MigMode) -> Change {
    Change::MigMode(MigModeRequest { gpu: at(GPU), to, confirm_within_ms: None })
}

/// Instances as the simulated driver has them: `3g.40gb@4`, with the slices of what is in it.
fn instances(host: &SimHost) -> Vec<String> {
    let state = host.state();
    let each = state.mig[&at(GPU)].instances.iter();
    each.map(|one| {
        let slices: Vec<String> = one.compute.iter().map(|compute| compute.slices.to_string()).collect();
        format!("{}@{} {}", one.profile, one.placement.start, slices.join("+"))
    })
    .collect()
}

async fn with_mig(disk: Disk, boot: &str) -> Bench {
    let bench = start(host(), disk, boot).await;
    allow(&bench, "[host.mig]\nchanges_per_minute = 60");
    bench.host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled);
    });
    bench
}

fn allow(bench: &Bench, text: &str) {
    bench.set_policy.send_replace(Arc::new(read("p", text).unwrap()));
}

async fn code(bench: &Bench, change: Change) -> &'static str {
    bench.make(change).await.unwrap_err().code()
}

#[tokio::test]
async fn a_layout_is_made_changed_with_the_least_harm_and_unmade() {
    let bench = with_mig(Disk::default(), "boot").await;
    assert_eq!(bench.make(layout("3g.40gb,1g.10gb:2")).await, Ok(Done));
    let first = instances(&bench.host);
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(bench.make(layout("1g.10gb:2,3g.40gb")).await, Ok(AlreadySo));
    assert_eq!(bench.make(layout("3g.40gb,1g.10gb")).await, Ok(Done));
    let second = instances(&bench.host);
    assert!(second.len() == 2 && second.iter().all(|one| first.contains(one)), "what can stay does: {second:?}");
    assert_eq!(bench.make(layout("1c.3g.40gb:2,1g.10gb")).await, Ok(Done));
    assert!(instances(&bench.host).iter().any(|one| one.starts_with("3g.40gb") && one.ends_with(" 1+1")));
    assert_eq!(bench.make(layout("-")).await, Ok(Done));
    assert_eq!(instances(&bench.host), Vec::<String>::new());
    let kept: Vec<String> = bench.disk.0.lock().unwrap().keys().cloned().collect();
    assert!(kept.len() == 1 && kept[0].starts_with("mig-owned-GPU-"), "no entry is left: {kept:?}");
}

#[tokio::test]
async fn a_plan_only_touches_nothing_and_an_impossible_layout_is_refused_with_what_fits() {
    let bench = with_mig(Disk::default(), "boot").await;
    let job = bench.job(Command::Plan(layout("7g.80gb"))).await;
    assert_eq!(job.result, Some(Ok(Planned)));
    assert!(job.plan[0].contains("create GPU instance 7g.80gb@0"), "{:?}", job.plan);
    let refusal = bench.make(layout("3g.40gb:2,2g.20gb")).await.unwrap_err();
    let Refusal::Mig(blocked) = &refusal else { panic!("{refusal:?}") };
    assert_eq!(blocked.largest, "3g.40gb,3g.40gb");
    assert_eq!(code(&bench, layout("9g.9gb")).await, "unknown_profile");
    assert_eq!(code(&bench, layout("1g.10gb:010")).await, "invalid_argument");
    assert_eq!(instances(&bench.host), Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_uses_stays_and_who_it_is_is_named() {
    let bench = with_mig(Disk::default(), "boot").await;
    bench.make(layout("3g.40gb@4,1g.10gb")).await.unwrap();
    let id = bench.host.state().mig[&at(GPU)].instances.last().unwrap().id;
    let holder = Holder {
        pid: Some(4711),
        command: Some("python3".to_owned()),
        unit: None,
        container: None,
        address: Some(at(GPU)),
        instance: Some(MigPlace { gpu_instance: id, compute_instance: Some(0) }),
        hold: Hold::OpenDevice { path: "/dev/nvidia-caps/nvidia-cap30".to_owned() },
    };
    bench.host.change(|state| state.open.insert(at(GPU), vec![holder]));
    let refusal = bench.make(layout("7g.80gb")).await.unwrap_err();
    assert!(["in_use_blocks", "in_use_not_wanted"].contains(&refusal.code()), "{refusal}");
    assert!(refusal.to_string().contains("python3 (pid 4711)"), "{refusal}");
    assert_eq!(bench.make(layout("3g.40gb,2g.20gb")).await, Ok(Done));
    assert!(instances(&bench.host).contains(&"3g.40gb@4 3".to_owned()));
    assert_eq!(code(&bench, mode(MigMode::Disabled)).await, "in_use");
}

#[tokio::test]
async fn what_gpuhostd_did_not_create_is_destroyed_on_request_only() {
    let bench = with_mig(Disk::default(), "boot").await;
    bench.host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        let id = mig.create_gpu("2g.20gb", 0).unwrap();
        mig.create_compute(id, 2).unwrap();
    });
    assert_eq!(bench.make(layout("2g.20gb,1g.10gb")).await, Ok(Done), "it is a part of the layout and stays");
    let refusal = bench.make(layout("1g.10gb")).await.unwrap_err();
    assert!(refusal.code() == "mig_foreign" && refusal.to_string().contains("2g.20gb@0"), "{refusal}");
    assert_eq!(bench.make(layout("2g.20gb")).await, Ok(Done), "what is ours may go");
    assert_eq!(instances(&bench.host), ["2g.20gb@0 2"]);
    assert_eq!(bench.make(replacing("1g.10gb")).await, Ok(Done));
    assert_eq!(instances(&bench.host).len(), 1);
}

#[tokio::test]
async fn what_another_tool_creates_where_ours_were_is_not_ours() {
    let bench = with_mig(Disk::default(), "boot").await;
    bench.make(layout("2g.20gb@0,1g.10gb@6")).await.unwrap();
    bench.host.change(|state| state.mig.get_mut(&at(GPU)).unwrap().instances.retain(|one| one.placement.start != 0));
    assert_eq!(bench.make(layout("1g.10gb@6,1g.10gb@5")).await, Ok(Done));
    bench.host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        let id = mig.create_gpu("2g.20gb", 0).unwrap();
        mig.create_compute(id, 2).unwrap();
    });
    assert_eq!(code(&bench, layout("1g.10gb@6")).await, "mig_foreign");
}

#[tokio::test]
async fn whose_the_instances_are_survives_a_restart_and_a_damaged_record_makes_them_somebody_elses() {
    let disk = Disk::default();
    let bench = with_mig(disk.clone(), "boot").await;
    bench.make(layout("1g.10gb:2")).await.unwrap();
    let (host, _) = bench.stop().await;
    let bench = start(host, disk.clone(), "boot").await;
    allow(&bench, "[host.mig]\nchanges_per_minute = 60");
    assert_eq!(bench.make(layout("1g.10gb")).await, Ok(Done), "they are still ours");
    let (host, _) = bench.stop().await;
    for document in disk.0.lock().unwrap().values_mut() {
        *document = b"{".to_vec();
    }
    let bench = start(host, disk.clone(), "boot").await;
    allow(&bench, "[host.mig]\nchanges_per_minute = 60");
    assert_eq!(code(&bench, layout("-")).await, "mig_foreign");
    let kept: Vec<Vec<u8>> = disk.0.lock().unwrap().values().cloned().collect();
    assert_eq!(kept, [b"{".to_vec()], "it is kept as it is");
    let shown = bench.handle.observation.borrow().clone();
    assert!(shown.conditions.iter().any(|one| one.kind == "change_journal_unreadable"));
}

#[tokio::test]
async fn every_fault_at_every_call_ends_before_or_after() {
    for fault in [StepFault::Error, StepFault::NoEffect, StepFault::EffectAndError] {
        for step in 0..6 {
            let bench = with_mig(Disk::default(), "boot").await;
            bench.make(layout("2g.20gb@0,1g.10gb@6")).await.unwrap();
            let before = instances(&bench.host);
            bench.fault(step, fault);
            let end = bench.make(layout("3g.40gb@0,1g.10gb@6")).await;
            let after = instances(&bench.host);
            let is_done = after.contains(&"3g.40gb@0 3".to_owned()) && after.len() == 2;
            assert!(if end.is_ok() { is_done } else { after == before }, "{fault:?} at {step}: {end:?} {after:?}");
        }
    }
}

#[tokio::test]
async fn the_mode_is_switched_on_an_idle_gpu_and_its_instances_go_with_it() {
    let bench = start(host(), Disk::default(), "boot").await;
    assert_eq!(code(&bench, layout("1g.10gb")).await, "mig_off");
    assert_eq!(bench.make(mode(MigMode::Enabled)).await, Ok(Done));
    assert_eq!(bench.make(mode(MigMode::Enabled)).await, Ok(AlreadySo));
    assert_eq!(bench.make(layout("1g.10gb")).await, Ok(Done), "the mode is no change of the layout");
    assert_eq!(code(&bench, layout("-")).await, "rate_limited", "one layout in a minute");
    assert_eq!(bench.make(layout("1g.10gb")).await, Ok(AlreadySo), "what is so already is no change");
    bench.clock.advance(61_000);
    assert_eq!(bench.make(mode(MigMode::Disabled)).await, Ok(Done));
    assert_eq!(bench.host.state().mig[&at(GPU)].current, MigMode::Disabled);
    allow(&bench, "[host.mig]\nnever = ['0000:1b:00.0']");
    assert_eq!(code(&bench, mode(MigMode::Enabled)).await, "denied_by_policy");
}

#[tokio::test]
async fn a_gpu_that_is_given_away_is_left_alone() {
    let bench = with_mig(Disk::default(), "boot").await;
    bench.host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        (mig.current, mig.pending) = (MigMode::Disabled, MigMode::Disabled);
    });
    bench.run(root(Command::Rescan)).await.unwrap();
    assert_eq!(bench.make(change_bench::bind(GPU)).await, Ok(Done));
    let refusal = bench.make(layout("1g.10gb")).await.unwrap_err();
    assert!(["given_away", "mig_unknown"].contains(&refusal.code()), "{refusal}");
    assert_eq!(bench.make(change_bench::release(GPU)).await, Ok(Done), "and its record is as it was");
}

#[tokio::test]
async fn a_guest_with_a_part_of_the_gpu_and_a_host_of_such_guests_have_codes_of_their_own() {
    let with = |edit: fn(&mut sim::description::GpuDescription)| {
        let mut description = load("hgx-h100").unwrap();
        description.gpus.iter_mut().for_each(|gpu| {
            gpu.processes.clear();
            gpu.persistence = false;
        });
        edit(&mut description.gpus[0]);
        SimHost::new(description).unwrap()
    };
    let guest = start(with(|gpu| gpu.virtualization = "VGPU".to_owned()), Disk::default(), "boot").await;
    assert_eq!(code(&guest, mode(MigMode::Enabled)).await, "vgpu_guest");
    let functions = |gpu: &mut sim::description::GpuDescription| {
        let driver = None;
        let functions = VirtualFunctions { count: 2, offset: 4, stride: 1, first_group: None, driver };
        gpu.virtual_functions = Some(functions);
    };
    let host = start(with(functions), Disk::default(), "boot").await;
    assert_eq!(code(&host, mode(MigMode::Enabled)).await, "sriov_vfs_active");
    assert_eq!(code(&host, layout("1g.10gb")).await, "sriov_vfs_active", "a layout takes their parts away as well");
}

#[tokio::test]
async fn a_card_that_is_pulled_out_during_a_change_ends_it_and_is_not_quarantined() {
    for step in 0..3 {
        let bench = with_mig(Disk::default(), "boot").await;
        bench.make(layout("2g.20gb@0")).await.unwrap();
        *bench.acting.pulls.lock().unwrap() = Some((at(GPU), step));
        let refusal = bench.make(layout("3g.40gb@0")).await.unwrap_err();
        assert!(refusal.to_string().contains("is gone"), "{step}: {refusal}");
        assert!(bench.disk.phases().is_empty() && bench.records.borrow().is_empty(), "nothing is left to undo");
        assert!(!bench.conditions().contains(&"gpu_quarantined".to_owned()), "{:?}", bench.conditions());
        // Another card at its place is free to be changed.
        bench.host.change(|state| state.plug(at(GPU))).unwrap();
        bench.run(root(Command::Rescan)).await.unwrap();
        assert_eq!(bench.make(layout("2g.20gb@0,1g.10gb@6")).await, Ok(Done));
    }
}

/// The same machine after a reboot: the mode of an H100 is gone with the driver, and so are its instances.
async fn rebooted(bench: Bench, boot: &str, edit: impl FnOnce(&mut SimMig)) -> Bench {
    let (host, disk) = bench.stop().await;
    host.change(|state| {
        let mig = state.mig.get_mut(&at(GPU)).unwrap();
        (mig.current, mig.pending) = (MigMode::Disabled, MigMode::Disabled);
        mig.instances.clear();
        edit(mig);
    });
    start(host, disk, boot).await
}

async fn until_instances(bench: &Bench, wanted: &[String]) {
    let mut jobs = bench.handle.jobs.clone();
    let is_so = || instances(&bench.host) == wanted;
    let waited = tokio::time::timeout(common::PATIENCE, async {
        while !is_so() {
            jobs.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{:?}, {:?}", instances(&bench.host), bench.handle.jobs.borrow());
}

#[tokio::test]
async fn a_layout_of_ours_returns_after_a_boot_at_its_places_and_once() {
    let bench = with_mig(Disk::default(), "first").await;
    bench.make(layout("3g.40gb@4,1g.10gb@2")).await.unwrap();
    let before = instances(&bench.host);
    let bench = rebooted(bench, "second", |_| {}).await;
    until_instances(&bench, &before).await;
    assert_eq!(bench.host.state().mig[&at(GPU)].current, MigMode::Enabled);
    // An administrator destroys them in the same boot, and the daemon starts again: they stay away.
    let (host, disk) = bench.stop().await;
    host.change(|state| state.mig.get_mut(&at(GPU)).unwrap().instances.clear());
    let bench = start(host, disk, "second").await;
    bench.run(root(Command::Rescan)).await.unwrap();
    let jobs = bench.handle.jobs.borrow().clone();
    let is_idle = jobs.iter().all(|job| job.operation == "rescan" || job.plan.is_empty());
    assert!(instances(&bench.host).is_empty() && is_idle, "at most the record of them is written: {jobs:?}");
}

#[tokio::test]
async fn after_a_boot_nothing_is_destroyed_for_what_returns_and_what_the_driver_brought_back_is_enough() {
    let bench = with_mig(Disk::default(), "first").await;
    bench.make(layout("3g.40gb@4,1g.10gb@2")).await.unwrap();
    let bench = rebooted(bench, "second", |mig| {
        (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled);
        let id = mig.create_gpu("4g.40gb", 0).unwrap();
        mig.create_compute(id, 4).unwrap();
    })
    .await;
    until_instances(&bench, &["4g.40gb@0 4".to_owned(), "3g.40gb@4 3".to_owned()]).await;
    let bench = rebooted(bench, "third", |mig| {
        (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled);
        let id = mig.create_gpu("3g.40gb", 4).unwrap();
        mig.create_compute(id, 3).unwrap();
        let id = mig.create_gpu("1g.10gb", 2).unwrap();
        mig.create_compute(id, 1).unwrap();
    })
    .await;
    let mut jobs = bench.handle.jobs.clone();
    let ended = jobs.wait_for(|jobs| jobs.iter().any(|job| job.result == Some(Ok(Done)) && job.plan.is_empty()));
    assert!(tokio::time::timeout(common::PATIENCE, ended).await.is_ok());
}
