//! Changes on a simulated host: made, refused, undone, quarantined, recovered, confirmed. What the host shows decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Acting, Disk, GPU, OTHER, at, bind, bind_on_trial, dgx, release, root, start, start_on};
use common::ManualClock;
use engine::change::{RECOVER_WITHIN_MS, RETRY_UNDO_MS};
use engine::command::{Command, Origin};
use engine::job::Job;
use engine::job::JobOutcome::{AlreadySo, Done, Planned};
use model::change::{Bind, Change, Phase, UNKNOWN_BOOT, decode};
use model::holders::{Hold, Holder};
use model::observation::GpuUse;
use model::verdict_reasons::Unschedulable;
use sim::step_faults::StepFault;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn a_gpu_goes_to_a_guest_and_comes_back() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let untouched = bench.host.state().bus.functions[&at(GPU)].clone();
    let job = bench.job(Command::Change(bind(GPU))).await;
    assert_eq!(job.result, Some(Ok(Done)));
    assert!(job.plan.iter().any(|step| step.contains("unbind from nvidia")), "{:?}", job.plan);
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"));
    assert_eq!(bench.disk.phases(), [Phase::Standing]);
    bench.until_driver(GPU, Some("vfio-pci")).await;
    assert_eq!(bench.make(bind(GPU)).await, Ok(AlreadySo), "what is done is done");
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!(bench.host.state().bus.functions[&at(GPU)], untouched);
    assert_eq!(bench.disk.phases(), []);
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_touches_nothing() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let job = bench.job(Command::Plan(bind(GPU))).await;
    assert_eq!(job.result, Some(Ok(Planned)));
    assert!(job.plan.len() > 3, "{:?}", job.plan);
    assert_eq!((bench.driver(GPU).as_deref(), bench.disk.phases()), (Some("nvidia"), vec![]));
}

#[tokio::test]
async fn a_step_that_does_nothing_is_seen_and_undone() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let untouched = bench.host.state().bus.functions[&at(GPU)].clone();
    bench.fault(2, StepFault::NoEffect);
    let refusal = bench.make(bind(GPU)).await.unwrap_err();
    assert_eq!(refusal.code(), "host_fault");
    assert!(refusal.to_string().contains("all steps succeeded") && refusal.to_string().contains("as it was before"));
    assert_eq!(bench.host.state().bus.functions[&at(GPU)], untouched);
    assert_eq!(bench.disk.phases(), []);
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "its lane is free again");
}

#[tokio::test]
async fn a_gpu_in_use_is_refused_with_who_uses_it() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let hold = Hold::OpenDevice { path: "/dev/nvidia0".into() };
    let unit = Some("training.service".into());
    let holder = Holder {
        pid: Some(17),
        command: Some("python".into()),
        unit,
        container: None,
        address: None,
        instance: None,
        hold,
    };
    bench.host.change(|state| state.open.insert(at(GPU), vec![holder]));
    let refusal = bench.make(bind(GPU)).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.exit_status()), ("in_use", 11));
    let told = refusal.to_string();
    assert!(told.contains("python (pid 17)") && told.contains("systemctl stop training.service"), "{told}");
    assert_eq!((bench.driver(GPU).as_deref(), bench.disk.phases()), (Some("nvidia"), vec![]));
}

#[tokio::test]
async fn a_step_that_hangs_quarantines_its_gpu_and_no_other() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    bench.fault(1, StepFault::Hang);
    assert_eq!(bench.make(bind(GPU)).await.unwrap_err().code(), "quarantined");
    assert!(matches!(bench.disk.phases()[..], [Phase::Quarantined { .. }]));
    let shown = bench.shown(GPU);
    assert_eq!(
        (shown.usage, shown.unschedulable_reason.map(Unschedulable::code)),
        (GpuUse::Quarantined, Some("quarantined"))
    );
    assert_eq!(bench.conditions(), ["gpu_quarantined"]);
    assert_eq!(bench.shown(OTHER).usage, GpuUse::Host);
    let again = bench.make(bind(GPU)).await.unwrap_err();
    assert!(again.code() == "busy" && again.to_string().contains("reboot"), "{again}");
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done));
    let (host, disk) = bench.stop().await;
    let bench = start(host, disk, "boot").await;
    assert_eq!(bench.make(bind(GPU)).await.unwrap_err().code(), "busy", "a new daemon knows it too");
    let (host, disk) = bench.stop().await;
    host.change(sim::state::HostState::reboot).unwrap();
    let bench = start(host, disk, "another boot").await;
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "a reboot frees it");
}

#[tokio::test]
async fn a_gpu_that_is_being_changed_is_shown_as_such_until_the_host_shows_the_end() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    *bench.acting.holds_back.lock().unwrap() = true;
    bench.handle.submit(root(Command::Change(bind(GPU)))).await.unwrap();
    let mut records = bench.records.clone();
    records.wait_for(|records| records.is_under_way(at(GPU))).await.unwrap();
    let shown = bench.shown(GPU);
    assert_eq!((shown.usage, shown.schedulable), (GpuUse::Transitioning, false));
    assert!(!shown.passthrough.eligible && bench.shown(OTHER).schedulable);
    let bench = start(dgx(), Disk::default(), "boot").await;
    let mut shown = bench.handle.observation.clone();
    let watched = tokio::spawn(async move {
        let mut uses = Vec::new();
        loop {
            shown.changed().await.unwrap();
            let usage = shown.borrow().gpu(at(GPU)).unwrap().usage;
            if uses.last() != Some(&usage) {
                uses.push(usage);
            }
            if usage == GpuUse::Passthrough {
                return uses;
            }
        }
    });
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    let uses = watched.await.unwrap();
    assert_eq!(uses.iter().skip_while(|usage| **usage != GpuUse::Transitioning).count(), 2, "never free: {uses:?}");
}

#[tokio::test]
async fn a_gpu_that_somebody_else_took_back_is_forgotten_when_it_is_released() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let home = bench.host.state().bus.functions[&at(GPU)].clone();
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    bench.host.change(|state| state.bus.functions.insert(at(GPU), home));
    assert_eq!(bench.make(release(GPU)).await, Ok(Done));
    assert_eq!((bench.disk.phases().len(), bench.records.borrow().is_empty()), (0, true));
}

#[tokio::test]
async fn without_a_journal_nothing_is_changed_and_the_rest_goes_on() {
    let (disk, host) = (Disk::default(), dgx());
    *disk.1.lock().unwrap() = true;
    let bench = start(host, disk, "boot").await;
    assert_eq!(bench.conditions(), ["journal_unreadable"]);
    assert_eq!(bench.make(bind(GPU)).await.unwrap_err().code(), "unavailable");
    assert_eq!(bench.job(Command::Rescan).await.result, Some(Ok(Done)));
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
}

/// ENOSPC, EROFS, EACCES of the state folder: none touches the GPU, and each ends in what helps against it and nothing else.
#[tokio::test]
async fn a_full_a_read_only_and_a_forbidden_state_folder_have_three_remedies() {
    let cures = [(28, "free some space"), (30, "make that file system writable"), (13, "check owner and mode")];
    for (number, cure) in cures {
        let (disk, host) = (Disk::default(), dgx());
        *disk.3.lock().unwrap() = Some(number);
        let bench = start(host, disk, "boot").await;
        let refusal = bench.make(bind(GPU)).await.unwrap_err();
        let text = refusal.to_string();
        assert_eq!(refusal.code(), "host_fault", "{text}");
        assert!(text.contains("/var/lib/gpuhostd/journal/") && text.contains("Nothing was changed"), "{text}");
        let found: Vec<i32> = cures.iter().filter(|(_, cure)| text.contains(cure)).map(|(number, _)| *number).collect();
        assert_eq!(found, [number], "{cure}: {text}");
        assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
    }
}

#[tokio::test]
async fn what_a_crash_left_open_is_undone_before_anybody_can_ask() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let untouched = bench.host.state().bus.functions[&at(GPU)].clone();
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    let name = bench.disk.0.lock().unwrap().keys().next().unwrap().clone();
    let entry = decode(&name, &bench.disk.0.lock().unwrap()[&name]).unwrap();
    let (host, disk) = bench.stop().await;
    disk.0.lock().unwrap().insert(name, model::change::encode(&entry.in_phase(Phase::Open)).unwrap());
    let bench = start(host, disk, "boot").await;
    assert_eq!(bench.host.state().bus.functions[&at(GPU)], untouched);
    assert_eq!(bench.disk.phases(), []);
}

#[tokio::test]
async fn what_is_open_is_not_forgotten_where_the_name_of_a_boot_could_not_be_read() {
    for (before, after) in [("boot", UNKNOWN_BOOT), (UNKNOWN_BOOT, "boot")] {
        let bench = start(dgx(), Disk::default(), before).await;
        let untouched = bench.host.state().bus.functions[&at(GPU)].clone();
        assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
        let name = bench.disk.0.lock().unwrap().keys().next().unwrap().clone();
        let entry = decode(&name, &bench.disk.0.lock().unwrap()[&name]).unwrap();
        let (host, disk) = bench.stop().await;
        disk.0.lock().unwrap().insert(name, model::change::encode(&entry.in_phase(Phase::Open)).unwrap());
        let bench = start(host, disk, after).await;
        assert_eq!(bench.host.state().bus.functions[&at(GPU)], untouched, "{before}, then {after}");
        assert_eq!(bench.disk.phases(), []);
    }
}

#[tokio::test]
async fn a_recovery_that_hangs_is_given_up_and_the_start_goes_on() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
    let name = bench.disk.0.lock().unwrap().keys().next().unwrap().clone();
    let entry = decode(&name, &bench.disk.0.lock().unwrap()[&name]).unwrap();
    let (host, disk) = bench.stop().await;
    disk.0.lock().unwrap().insert(name, model::change::encode(&entry.in_phase(Phase::Open)).unwrap());
    let acting = Arc::new(Acting { host, holds_back: Mutex::new(true), pulls: Mutex::new(None) });
    let clock = ManualClock::new();
    let mut starting = std::pin::pin!(start_on(Arc::clone(&acting), disk, "boot", Arc::clone(&clock)));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut starting).await;
    assert!(early.is_err(), "it waits for the restoring");
    clock.advance(RECOVER_WITHIN_MS);
    let bench = starting.await;
    *acting.holds_back.lock().unwrap() = false;
    assert_eq!(bench.make(release(GPU)).await.unwrap_err().code(), "busy", "its lane stays taken");
    assert!(bench.records.borrow().of(at(GPU)).is_some_and(|entry| matches!(entry.phase, Phase::Quarantined { .. })));
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done));
}

#[tokio::test]
async fn what_nobody_confirms_is_undone_also_by_the_next_daemon() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    assert_eq!(bench.make(bind_on_trial(GPU, 60_000)).await, Ok(Done));
    assert_eq!(bench.make(bind_on_trial(OTHER, 60_000)).await, Ok(Done));
    assert!(bench.shown(GPU).confirm_before.is_some() && bench.shown(OTHER).confirm_before.is_some());
    assert_eq!(bench.confirm(OTHER).await, Ok(Done));
    assert_eq!(
        (bench.shown(OTHER).confirm_before, bench.conditions()),
        (None, vec!["passthrough_unconfirmed".to_owned()])
    );
    let clock = Arc::clone(&bench.clock);
    let acting = Arc::clone(&bench.acting);
    let (_, disk) = bench.stop().await;
    let bench = start_on(acting, disk, "boot", Arc::clone(&clock)).await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"), "there is time left");
    clock.advance(60_000 + RETRY_UNDO_MS);
    bench.until_driver(GPU, Some("nvidia")).await;
    assert_eq!(bench.driver(OTHER).as_deref(), Some("vfio-pci"));
    let of_itself = |jobs: &Vec<Job>| jobs.iter().find(|job| job.started_by.origin == Origin::Daemon).cloned();
    let undo = of_itself(&bench.handle.jobs.borrow()).expect("what the daemon does of itself is a job too");
    assert_eq!((undo.gpu, undo.title()), (Some(at(GPU)), format!("passthrough-release of {GPU}")));
    let undone = bench.handle.end_of(undo.id).await.unwrap();
    assert_eq!((undone.result, bench.shown(GPU).confirm_before), (Some(Ok(Done)), None));
    assert_eq!(bench.confirm(GPU).await.unwrap_err().code(), "conflict", "there is nothing to confirm");
}

#[tokio::test]
async fn a_confirmation_waits_for_no_change_and_says_where_there_is_nothing_to_do() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    assert_eq!(bench.make(bind_on_trial(GPU, 60_000)).await, Ok(Done));
    assert_eq!((bench.confirm(GPU).await, bench.confirm(GPU).await), (Ok(Done), Ok(AlreadySo)));
    assert_eq!(bench.disk.phases(), [Phase::Standing]);
    *bench.acting.holds_back.lock().unwrap() = true;
    bench.handle.submit(root(Command::Change(release(GPU)))).await.unwrap();
    let mut records = bench.records.clone();
    records.wait_for(|records| records.is_under_way(at(GPU))).await.unwrap();
    assert_eq!(bench.confirm(GPU).await.unwrap_err().code(), "busy", "the entry of a release is not written over");
}

#[tokio::test]
async fn a_job_says_its_gpu_and_whether_it_only_plans() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let plan = bench.job(Command::Plan(bind(GPU))).await;
    assert_eq!(
        (plan.gpu, plan.dry_run, plan.title()),
        (Some(at(GPU)), true, format!("passthrough-bind of {GPU} (dry run)"))
    );
    assert!(plan.remark.contains("nothing was changed"), "{}", plan.remark);
    let made = bench.job(Command::Change(bind(GPU))).await;
    assert_eq!((made.gpu, made.dry_run, made.remark.as_str()), (Some(at(GPU)), false, ""));
    assert_eq!(bench.job(Command::Rescan).await.title(), "rescan");
}

#[tokio::test]
async fn more_changes_than_the_policy_allows_are_refused_until_the_minute_is_over() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    for _ in 0..10 {
        let too_big =
            Change::PassthroughBind(Bind { gpu: at(GPU), confirm_within_ms: None, guest_memory_mib: Some(u64::MAX) });
        assert_eq!(bench.make(too_big).await.unwrap_err().code(), "guest_memory", "what is refused does not count");
    }
    for turn in 0..3 {
        assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "{turn}");
        assert_eq!(bench.make(release(GPU)).await, Ok(Done), "{turn}");
    }
    assert_eq!(bench.make(bind(GPU)).await.unwrap_err().code(), "rate_limited");
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done), "it counts for each GPU");
    bench.clock.advance(60_000);
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
}

#[tokio::test]
async fn what_is_no_gpu_is_not_found() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    for address in ["0000:00:00.0", "0001:07:00.0", "0000:07:00.1"] {
        assert_eq!(bench.make(bind(address)).await.unwrap_err().code(), "not_found", "{address}");
    }
    assert_eq!(bench.disk.phases(), []);
}
