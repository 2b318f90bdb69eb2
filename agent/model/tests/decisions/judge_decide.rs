//! Why no workspace may be given a GPU: one function, one order of reasons.

use crate::world::{nvidia, only, raw, said};
use model::absence::{Absence, Reading};
use model::driver::DriverGpu;
use model::health::HealthState;
use model::judge::{Grounds, Obstacle, Unschedulable, decide, unschedulable};
use model::observation::{CauseLink, ChainLink, GpuUse};
use std::collections::BTreeSet;

const A: &str = "0000:41:00.0";

fn link(link: ChainLink, ok: Option<bool>, reason: Option<&str>) -> CauseLink {
    CauseLink { link, ok, reason: reason.map(str::to_owned), remedy: None }
}

/// Each row has everything of the rows below it against the GPU as well: the reason is that of the row.
#[test]
fn the_first_reason_counts_in_this_order() {
    let mut lost = said(A);
    lost.metrics.temperature_c = Reading::Absent(Absence::GpuLost);
    let mut reset = said(A);
    reset.metrics.temperature_c = Reading::Absent(Absence::ResetRequired);
    let old = DriverGpu { compute_capability: Reading::Known((2, 1)), ..said(A) };
    for driver in [&mut lost, &mut reset] {
        driver.compute_capability = Reading::Known((2, 1));
    }
    let broken = [
        link(ChainLink::KernelDriver, None, None),
        link(ChainLink::Nvml, Some(false), Some("it hangs")),
        link(ChainLink::Cdi, Some(false), None),
    ];
    let open = [link(ChainLink::KernelDriver, None, None), link(ChainLink::Nvml, None, Some("not asked yet"))];
    let well = said(A);
    let bad = Grounds {
        usage: GpuUse::Host,
        driver: Some(&lost),
        chain: &broken,
        visible: false,
        health: HealthState::Failed,
    };
    let rows = [
        (Grounds { usage: GpuUse::Quarantined, ..bad }, "quarantined"),
        (Grounds { usage: GpuUse::Transitioning, ..bad }, "transitioning"),
        (Grounds { usage: GpuUse::Passthrough, ..bad }, "passthrough"),
        (Grounds { usage: GpuUse::Mig, ..bad }, "mig_enabled"),
        (bad, "gpu_lost"),
        (Grounds { driver: Some(&reset), ..bad }, "reset_required"),
        (Grounds { driver: Some(&old), ..bad }, "driver_not_answering"),
        (Grounds { driver: Some(&old), chain: &open, ..bad }, "kernel_driver_unknown"),
        (Grounds { driver: Some(&old), chain: &open[1..], ..bad }, "not_probed"),
        (Grounds { driver: Some(&old), chain: &[], ..bad }, "compute_capability_too_low"),
        (Grounds { driver: Some(&well), chain: &[], ..bad }, "not_visible_to_runtime"),
        (Grounds { driver: Some(&well), chain: &[], visible: true, ..bad }, "health_failed"),
    ];
    for (grounds, code) in rows {
        assert_eq!(unschedulable(&grounds).map(Unschedulable::code), Some(code));
    }
    for health in [HealthState::Ok, HealthState::Degraded, HealthState::Unknown] {
        let grounds = Grounds { driver: Some(&well), chain: &[], visible: true, health, ..bad };
        assert_eq!(unschedulable(&grounds), None, "{health:?}");
    }
}

#[test]
fn what_is_learned_later_is_decided_by_the_same_function_and_can_be_taken_back() {
    let mut gpu = only(raw(vec![nvidia(A, "nvidia", 1)], &[A]));
    let before = gpu.clone();
    let said = |gpu: &model::observation::Gpu| (gpu.schedulable, gpu.unschedulable_reason.clone());
    gpu.health.state = HealthState::Failed;
    decide(&mut gpu);
    assert_eq!(said(&gpu), (false, Some("health_failed".to_owned())));
    gpu.usage = GpuUse::Transitioning;
    decide(&mut gpu);
    assert_eq!(said(&gpu), (false, Some("transitioning".to_owned())), "a change says more than the health");
    (gpu.usage, gpu.health) = (before.usage, before.health.clone());
    decide(&mut gpu);
    assert_eq!(gpu, before, "decided again it is what the judge said");
    assert!(gpu.schedulable);
}

#[test]
fn each_code_stands_for_one_reason() {
    let codes: BTreeSet<&str> = Unschedulable::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Unschedulable::ALL.len());
    let codes: BTreeSet<&str> = Obstacle::ALL.iter().map(|obstacle| obstacle.code()).collect();
    assert_eq!(codes.len(), Obstacle::ALL.len());
    for usage in [GpuUse::Transitioning, GpuUse::Quarantined, GpuUse::Passthrough] {
        let reasons = Unschedulable::ALL.iter().filter(|reason| reason.code() == usage.code());
        assert_eq!(reasons.count(), 1, "the use {} is a reason of the same name", usage.code());
    }
}
