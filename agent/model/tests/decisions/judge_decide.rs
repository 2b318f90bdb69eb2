//! Why no workspace may be given a GPU: one function, one order of reasons.

use crate::world::{judged, nvidia, raw, said};
use model::absence::{Absence, Reading};
use model::driver::DriverGpu;
use model::features::{FeatureName, Lack, SwitchedOffBy};
use model::health::{HealthReason, HealthState, Teller};
use model::judge::{Grounds, decide, unschedulable};
use model::observation::{CauseLink, ChainLink, Gpu, GpuUse, HostObservation, StandingChange};
use model::time::UnixMillis;
use model::verdict_reasons::{Obstacle, Unschedulable};
use std::collections::{BTreeMap, BTreeSet};

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
        is_off: false,
        driver: Some(&lost),
        chain: &broken,
        visible: false,
        asleep: false,
        health: HealthState::Failed,
    };
    let rows = [
        (Grounds { usage: GpuUse::Quarantined, ..bad }, "quarantined"),
        (Grounds { usage: GpuUse::Transitioning, ..bad }, "transitioning"),
        (Grounds { usage: GpuUse::Passthrough, ..bad }, "passthrough"),
        (Grounds { usage: GpuUse::Mig, ..bad }, "mig_enabled"),
        (Grounds { is_off: true, ..bad }, "switched_off"),
        (bad, "gpu_lost"),
        (Grounds { driver: Some(&reset), ..bad }, "reset_required"),
        (Grounds { driver: Some(&old), ..bad }, "driver_not_answering"),
        (Grounds { driver: Some(&old), chain: &open, ..bad }, "kernel_driver_unknown"),
        (Grounds { driver: Some(&old), chain: &open[1..], ..bad }, "not_probed"),
        (Grounds { driver: Some(&old), chain: &open[1..], asleep: true, ..bad }, "gpu_asleep"),
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

/// Everything of the verdict, in one line.
fn verdict(host: &HostObservation) -> (GpuUse, Option<&'static str>, Vec<&'static str>, Vec<FeatureName>) {
    let gpu = &host.gpus[0];
    assert_eq!(
        (gpu.schedulable, gpu.passthrough.eligible),
        (gpu.unschedulable_reason.is_none(), gpu.passthrough.reasons.is_empty())
    );
    let on = gpu.features.iter().filter(|(_, feature)| feature.enabled).map(|(name, _)| *name);
    let obstacles = gpu.passthrough.reasons.iter().map(|reason| reason.code()).collect();
    (gpu.usage, gpu.unschedulable_reason.map(Unschedulable::code), obstacles, on.collect())
}

fn learn(host: &mut HostObservation, fact: impl FnOnce(&mut Gpu)) {
    fact(&mut host.gpus[0]);
    decide(host);
}

/// In any order, and each can be taken back: the verdict depends on the facts and on nothing that was decided before.
#[test]
fn what_is_learned_later_is_decided_by_the_same_function_and_can_be_taken_back() {
    let mut host = judged(raw(vec![nvidia(A, "nvidia", 1)], &[A]));
    let before = host.clone();
    let (usage, _, obstacles, on) = verdict(&before);
    assert_eq!((usage, obstacles.len()), (GpuUse::Host, 0));
    learn(&mut host, |gpu| gpu.health.reasons = ill());
    learn(&mut host, |gpu| gpu.health.state = HealthState::Failed);
    assert_eq!(verdict(&host), (GpuUse::Host, Some("health_failed"), vec!["gpu_unhealthy"], on.clone()));
    learn(&mut host, |gpu| gpu.change = StandingChange::UnderWay);
    let both = vec!["gpu_unhealthy", "transitioning"];
    assert_eq!(verdict(&host), (GpuUse::Transitioning, Some("transitioning"), both, on.clone()), "a change says more");
    learn(&mut host, |gpu| gpu.change = StandingChange::Quarantined);
    assert_eq!(verdict(&host).2, ["gpu_unhealthy", "quarantined"], "decided again, nothing of before is left");
    learn(&mut host, |gpu| gpu.features_off = BTreeMap::from([(FeatureName::Cuda, SwitchedOffBy::Config)]));
    assert_eq!(host.gpus[0].features[&FeatureName::Cuda].reason, Some(Lack::SwitchedOff(SwitchedOffBy::Config)));
    learn(&mut host, |gpu| {
        (gpu.health, gpu.change, gpu.features_off) =
            (before.gpus[0].health.clone(), StandingChange::None, BTreeMap::new());
    });
    assert_eq!(host, before, "decided again it is what the judge decided");
}

#[test]
fn a_gpu_that_was_given_away_a_moment_ago_does_not_pass_for_free() {
    for (driver, usage) in [("nvidia", GpuUse::Transitioning), ("vfio-pci", GpuUse::Passthrough)] {
        let mut host = judged(raw(vec![nvidia(A, driver, 1)], &[A]));
        learn(&mut host, |gpu| gpu.change = StandingChange::Given);
        assert_eq!(verdict(&host).0, usage, "{driver}");
    }
}

fn ill() -> Vec<HealthReason> {
    vec![HealthReason {
        code: "xid_79".to_owned(),
        state: HealthState::Failed,
        message: "it fell off the bus".to_owned(),
        remedy: "reboot".to_owned(),
        since: UnixMillis(0),
        told_by: Teller::KernelLog,
    }]
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
