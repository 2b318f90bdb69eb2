//! Where MIG instances are and whose they are, as everybody is to see it; and what becomes of ours when another program destroys them or
//! the driver is loaded again.

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
use engine::job::JobOutcome::Done;
use model::change::Change;
use model::driver::MigMode;
use model::mig::{MigLayoutRequest, MigMaster, MigOwned};
use model::observation::Gpu;
use model::policy::read;
use sim::mig::SimMig;
use sim::{SimHost, load};
use std::sync::Arc;

const GPU: &str = "0000:1b:00.0";

async fn with_mig(name: &str, disk: Disk, boot: &str) -> Bench {
    let mut description = load(name).unwrap();
    for gpu in &mut description.gpus {
        gpu.processes.clear();
        gpu.persistence = false;
    }
    let host = SimHost::new(description).unwrap();
    host.change(|state| {
        state.change_mig(gpu_of(name), |mig| (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled))
    });
    started(host, disk, boot).await
}

async fn started(host: SimHost, disk: Disk, boot: &str) -> Bench {
    let bench = start(host, disk, boot).await;
    bench.set_policy.send_replace(Arc::new(read("p", "[host.mig]\nchanges_per_minute = 60").unwrap()));
    bench
}

fn gpu_of(name: &str) -> model::PciAddress {
    at(if name == "dgx-a100" { change_bench::GPU } else { GPU })
}

fn layout(gpu: model::PciAddress, text: &str) -> Change {
    Change::MigLayout(MigLayoutRequest {
        gpu,
        layout: text.to_owned(),
        replace_foreign: false,
        confirm_within_ms: None,
    })
}

/// `3g.40gb@4+4 ours` of each instance as everybody sees it; `None` where the places are not known.
fn places(gpu: &Gpu) -> Option<Vec<String>> {
    let each = gpu
        .mig_places
        .as_ref()?
        .iter()
        .map(|one| format!("{}+{} {}", one.instance, one.size, if one.is_ours { "ours" } else { "foreign" }));
    Some(each.collect())
}

async fn until_shown(bench: &Bench, gpu: model::PciAddress, what: &str, is_so: impl Fn(&Gpu) -> bool) {
    let mut shown = bench.handle.observation.clone();
    let waited = tokio::time::timeout(common::PATIENCE, shown.wait_for(|seen| seen.gpu(gpu).is_some_and(&is_so)));
    assert!(waited.await.is_ok(), "{what}: {:?}", bench.handle.observation.borrow().gpu(gpu).unwrap().mig_places);
}

async fn until_places(bench: &Bench, gpu: model::PciAddress, wanted: &[&str]) {
    let wanted: Vec<String> = wanted.iter().map(|one| (*one).to_owned()).collect();
    until_shown(bench, gpu, &format!("{wanted:?}"), |gpu| places(gpu).as_ref() == Some(&wanted)).await;
}

fn create(mig: &mut SimMig, profile: &str, start: u32, slices: u32) {
    let id = mig.create_gpu(profile, start).unwrap();
    mig.create_compute(id, slices).unwrap();
}

/// What is recorded as ours.
fn recorded(disk: &Disk) -> Vec<String> {
    let all = disk.0.lock().unwrap();
    let records = all.iter().filter(|(name, _)| MigOwned::is_name(name));
    let places = records.flat_map(|(name, bytes)| MigOwned::decode(name, bytes).unwrap().places());
    places.map(|one| one.to_string()).collect()
}

async fn until_recorded(bench: &Bench, wanted: &[&str]) {
    let mut jobs = bench.handle.jobs.clone();
    let waited = tokio::time::timeout(common::PATIENCE, async {
        while recorded(&bench.disk) != wanted || bench.handle.jobs.borrow().iter().any(|job| job.result.is_none()) {
            jobs.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{:?} {:?}", recorded(&bench.disk), bench.handle.jobs.borrow());
}

#[tokio::test]
async fn places_and_owners_are_shown_and_follow_what_another_program_does() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "boot").await;
    bench.make(layout(gpu, "3g.40gb@4,1g.10gb@2")).await.unwrap();
    until_places(&bench, gpu, &["1g.10gb@2+1 ours", "3g.40gb@4+4 ours"]).await;
    bench.host.change(|state| state.change_mig(gpu, |mig| create(mig, "2g.20gb", 0, 2)));
    bench.run(root(Command::Rescan)).await.unwrap();
    until_places(&bench, gpu, &["2g.20gb@0+2 foreign", "1g.10gb@2+1 ours", "3g.40gb@4+4 ours"]).await;
    let listed = bench.shown(GPU).driver.unwrap().mig_devices.len();
    assert_eq!(listed, 3, "each has a place");
}

#[tokio::test]
async fn a_place_of_before_is_never_shown_for_another_list() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "boot").await;
    bench.make(layout(gpu, "3g.40gb@4")).await.unwrap();
    until_places(&bench, gpu, &["3g.40gb@4+4 ours"]).await;
    // Nothing can be looked at any more, and the driver lists another device.
    bench.host.change(|state| {
        state.change_mig(gpu, |mig| create(mig, "1g.10gb", 0, 1));
        state.mig.remove(&gpu);
    });
    bench.run(root(Command::Rescan)).await.unwrap();
    assert_eq!(places(&bench.shown(GPU)), None);
}

#[tokio::test]
async fn what_another_program_destroys_while_the_driver_runs_is_ours_no_longer_and_does_not_return() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "first").await;
    bench.make(layout(gpu, "3g.40gb@4,1g.10gb@2")).await.unwrap();
    bench.host.change(|state| state.change_mig(gpu, |mig| mig.instances.retain(|one| one.placement.start == 4)));
    bench.run(root(Command::Rescan)).await.unwrap();
    until_recorded(&bench, &["3g.40gb@4"]).await;
    // It is no change of the layout that a rate would count.
    bench.set_policy.send_replace(Arc::new(read("p", "[host.mig]\nchanges_per_minute = 2").unwrap()));
    assert_eq!(bench.make(layout(gpu, "3g.40gb@4,1g.10gb@1")).await, Ok(Done));
    bench.host.change(|state| state.change_mig(gpu, |mig| mig.instances.clear()));
    bench.run(root(Command::Rescan)).await.unwrap();
    until_recorded(&bench, &[]).await;
    let (host, disk) = bench.stop().await;
    let bench = started(host, disk, "second").await;
    bench.run(root(Command::Rescan)).await.unwrap();
    assert!(bench.host.state().mig[&gpu].instances.is_empty() && bench.handle.jobs.borrow().len() == 1);
}

#[tokio::test]
async fn a_layout_of_ours_returns_after_the_driver_was_loaded_again_in_the_same_boot() {
    for (name, mode_stays) in [("hgx-h100", false), ("dgx-a100", true)] {
        let gpu = gpu_of(name);
        let bench = with_mig(name, Disk::default(), "boot").await;
        let text = if mode_stays { "3g.20gb@4,1g.5gb@2" } else { "3g.40gb@4,1g.10gb@2" };
        let text =
            if bench.host.state().mig[&gpu].catalog.find("1g.5gb").is_some() { text } else { "3g.40gb@4,1g.10gb@2" };
        bench.make(layout(gpu, text)).await.unwrap();
        let places = |bench: &Bench| {
            let state = bench.host.state();
            state.mig[&gpu].instances.iter().map(|one| (one.profile.clone(), one.placement.start)).collect::<Vec<_>>()
        };
        let before = places(&bench);
        for _ in 0..2 {
            bench.host.change(sim::state::HostState::reload_driver);
            assert_eq!(
                (places(&bench), bench.host.state().mig[&gpu].current == MigMode::Enabled),
                (vec![], mode_stays)
            );
            bench.run(root(Command::Rescan)).await.unwrap();
            let mut jobs = bench.handle.jobs.clone();
            let waited = tokio::time::timeout(common::PATIENCE, async {
                while places(&bench) != before {
                    jobs.changed().await.unwrap();
                }
            });
            assert!(waited.await.is_ok(), "{name}: {:?} {:?}", places(&bench), bench.handle.jobs.borrow());
            until_recorded(&bench, &text.split(',').rev().collect::<Vec<_>>()).await;
        }
    }
}

#[tokio::test]
async fn what_a_reloaded_driver_brought_back_itself_is_recorded_and_a_later_destroy_is_respected() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "boot").await;
    bench.make(layout(gpu, "3g.40gb@4")).await.unwrap();
    until_places(&bench, gpu, &["3g.40gb@4+4 ours"]).await;
    let load = |bench: &Bench| {
        bench
            .records
            .borrow()
            .owned(&bench.shown(GPU).driver.unwrap().uuid.known().unwrap().clone())
            .unwrap()
            .driver_load
    };
    let before = load(&bench);
    bench.host.change(|state| {
        state.reload_driver();
        state.change_mig(gpu, |mig| {
            (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled);
            create(mig, "3g.40gb", 4, 3);
        });
    });
    bench.run(root(Command::Rescan)).await.unwrap();
    let mut records = bench.records.clone();
    let renewed = records.wait_for(|records| {
        records.owned(&bench.shown(GPU).driver.unwrap().uuid.known().unwrap().clone()).unwrap().driver_load != before
    });
    assert!(tokio::time::timeout(common::PATIENCE, renewed).await.is_ok());
    assert!(
        bench.handle.jobs.borrow().iter().all(|job| job.operation == "rescan" || job.plan.is_empty() || job.id.0 == 1)
    );
    bench.host.change(|state| state.change_mig(gpu, |mig| mig.instances.clear()));
    bench.run(root(Command::Rescan)).await.unwrap();
    until_recorded(&bench, &[]).await;
    assert!(bench.host.state().mig[&gpu].instances.is_empty());
}

#[tokio::test]
async fn nothing_returns_beside_another_program_that_sets_mig() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "boot").await;
    bench.make(layout(gpu, "3g.40gb@4")).await.unwrap();
    bench.host.change(|state| {
        state.reload_driver();
        state.mig_masters.extend(MigMaster::of_link("multi-user.target.wants", "nvidia-mig-manager.service"));
    });
    bench.run(root(Command::Rescan)).await.unwrap();
    let mut jobs = bench.handle.jobs.clone();
    let refused = jobs.wait_for(|jobs| {
        jobs.iter().any(|job| matches!(&job.result, Some(Err(why)) if why.code() == "mig_second_master"))
    });
    assert!(tokio::time::timeout(common::PATIENCE, refused).await.is_ok());
    assert!(bench.host.state().mig[&gpu].instances.is_empty());
    assert_eq!(recorded(&bench.disk), ["3g.40gb@4"], "it is not forgotten either");
}

#[tokio::test]
async fn a_driver_that_was_loaded_again_while_the_daemon_was_down_is_noticed() {
    let gpu = at(GPU);
    let bench = with_mig("hgx-h100", Disk::default(), "boot").await;
    bench.make(layout(gpu, "3g.40gb@4")).await.unwrap();
    let (host, disk) = bench.stop().await;
    host.change(sim::state::HostState::reload_driver);
    let bench = started(host, disk, "boot").await;
    until_places(&bench, gpu, &["3g.40gb@4+4 ours"]).await;
}
