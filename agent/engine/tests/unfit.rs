//! GPUs that nobody has open and that are not given away all the same, and how one that failed comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Disk, GPU, OTHER, at, bind, dgx, release, start};
use engine::command::Command;
use engine::job::JobOutcome::{Done, Planned};
use model::change::Phase;
use model::observation::GpuUse;
use model::verdict_reasons::Obstacle;
use sim::description::SimHealth;
use sim::host::SimHost;
use sim::load;
use sim::step_faults::StepFault;

#[tokio::test]
async fn a_gpu_in_persistence_mode_is_left_to_its_driver_until_the_mode_is_off() {
    let host = dgx();
    host.change(|state| state.set_persistence(at(GPU), true)).unwrap();
    let bench = start(host, Disk::default(), "boot").await;
    for refusal in [bench.plan(bind(GPU)).await.unwrap_err(), bench.make(bind(GPU)).await.unwrap_err()] {
        assert_eq!((refusal.code(), refusal.exit_status()), ("persistence_mode", 11));
        assert!(refusal.to_string().contains(&format!("nvidia-smi -i {GPU} -pm 0")), "{refusal}");
    }
    assert_eq!((bench.driver(GPU).as_deref(), bench.disk.phases()), (Some("nvidia"), vec![]));
    bench.host.change(|state| state.set_persistence(at(GPU), false)).unwrap();
    assert_eq!((bench.make(bind(GPU)).await, bench.make(release(GPU)).await), (Ok(Done), Ok(Done)));
}

#[tokio::test]
async fn a_gpu_that_fell_off_the_bus_is_not_given_away() {
    let bench = start(dgx(), Disk::default(), "boot").await;
    bench.host.change(|state| state.set_health(at(GPU), SimHealth::Lost)).unwrap();
    for refusal in [bench.plan(bind(GPU)).await.unwrap_err(), bench.make(bind(GPU)).await.unwrap_err()] {
        assert_eq!((refusal.code(), refusal.exit_status()), ("gpu_unhealthy", 11), "{refusal}");
        assert!(refusal.to_string().contains("gpu_lost") && refusal.to_string().contains("dmesg"), "{refusal}");
    }
    assert_eq!((bench.driver(GPU).as_deref(), bench.disk.phases()), (Some("nvidia"), vec![]));
    let shown = bench.shown(GPU);
    assert!(!shown.passthrough.eligible && shown.passthrough.reasons.contains(&Obstacle::GpuUnhealthy));
    assert!(bench.conditions().contains(&"gpu_health_failed".to_owned()));
    assert_eq!(bench.make(bind(OTHER)).await, Ok(Done));
}

const CARD: &str = "0000:01:00.0";

/// A card of four functions, without anybody who uses it.
fn card_of_four() -> SimHost {
    let mut description = load("workstation-rtx").unwrap();
    for gpu in &mut description.gpus {
        gpu.processes.clear();
        gpu.boot_vga = false;
    }
    SimHost::new(description).unwrap()
}

#[tokio::test]
async fn a_function_that_went_while_its_gpu_was_given_holds_up_neither_the_release_nor_the_next_daemon() {
    for hangs in [false, true] {
        let bench = start(card_of_four(), Disk::default(), "boot").await;
        assert_eq!(bench.make(bind(CARD)).await, Ok(Done));
        bench.host.change(|state| state.bus.functions.remove(&at("0000:01:00.1"))).unwrap();
        assert_eq!(bench.job(Command::Rescan).await.result, Some(Ok(Done)), "the daemon has seen it go");
        if hangs {
            bench.fault(1, StepFault::Hang);
            assert_eq!(bench.make(release(CARD)).await.unwrap_err().code(), "quarantined");
            let (host, disk) = bench.stop().await;
            assert!(matches!(disk.phases()[..], [Phase::Quarantined { .. }]), "the entry of the release can be read");
            let next = start(host, disk, "boot").await;
            assert!(!next.conditions().contains(&"change_journal_unreadable".to_owned()), "{:?}", next.conditions());
        } else {
            assert_eq!(bench.make(release(CARD)).await, Ok(Done));
            let drivers = ["0000:01:00.0", "0000:01:00.2", "0000:01:00.3"].map(|function| bench.driver(function));
            assert_eq!(drivers.map(Option::unwrap), ["nvidia", "xhci_hcd", "nvidia-gpu"]);
            assert_eq!(bench.disk.phases(), []);
        }
    }
}

#[tokio::test]
async fn a_given_gpu_that_failed_comes_back_with_a_word_of_care_and_a_hang_quarantines_it() {
    for hangs in [false, true] {
        let bench = start(dgx(), Disk::default(), "boot").await;
        assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
        bench.host.change(|state| state.set_health(at(GPU), SimHealth::Lost)).unwrap();
        let checked = bench.job(Command::Plan(release(GPU))).await;
        assert_eq!(checked.result, Some(Ok(Planned)));
        assert!(checked.cautions.iter().any(|told| told.contains("all ones")), "{:?}", checked.cautions);
        if hangs {
            bench.fault(1, StepFault::Hang);
        }
        let ended = bench.job(Command::Change(release(GPU))).await;
        assert_eq!(ended.cautions, checked.cautions);
        if hangs {
            assert_eq!(ended.result.unwrap().unwrap_err().code(), "quarantined");
            assert_eq!(bench.shown(GPU).usage, GpuUse::Quarantined);
        } else {
            assert_eq!((ended.result, bench.driver(GPU).as_deref()), (Some(Ok(Done)), Some("nvidia")));
        }
    }
}
