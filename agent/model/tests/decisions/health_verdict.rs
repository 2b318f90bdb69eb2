//! The verdict on a GPU's health: which words of the driver and of the kernel log weigh what, since when, and what follows.

use crate::world::{at, function, judged, nvidia, raw, report, said, seen};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverSource};
use model::health::HealthState;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::{KernelLog, KernelLogUnavailable};
use model::health::show::apply;
use model::judge::judge;
use model::metric::Metrics;
use model::observation::{HostObservation, RawObservation};
use model::time::UnixMillis;
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";

fn round(driver: DriverGpu) -> RawObservation {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![driver])), 3)];
    round
}

fn seen_with(
    raw: RawObservation,
    log: &KernelLog,
    sequence: u64,
    previous: Option<&HostObservation>,
) -> HostObservation {
    let mut observation = judge(raw, seen(sequence), previous);
    apply(&mut observation, log, AskedAt::default(), previous);
    observation
}

/// State and codes that a driver's words give.
fn by_driver(driver: DriverGpu) -> (HealthState, Vec<String>) {
    seen_with(round(driver), &KernelLog::default(), 1, None).gpus[0].health.gist()
}

fn log(text: &str) -> KernelLog {
    let mut log = KernelLog::default();
    log.hear();
    assert!(log.take(&format!("3,1,2000000,-;{text}\n")));
    log
}

fn one(code: &str) -> Vec<String> {
    vec![code.to_owned()]
}

#[test]
fn each_word_of_the_driver_weighs_what_it_should() {
    use HealthState::{Degraded, Failed, Ok};
    let known = |change: fn(&mut DriverGpu)| {
        let mut driver = said(A);
        change(&mut driver);
        by_driver(driver)
    };
    assert_eq!(known(|_| {}), (Ok, Vec::new()));
    assert_eq!(known(|d| d.metrics.ecc_uncorrected = Reading::Known(0)), (Ok, Vec::new()));
    assert_eq!(known(|d| d.metrics.ecc_uncorrected = Reading::Known(2)), (Degraded, one("ecc_uncorrected")));
    assert_eq!(
        known(|d| d.health_facts.row_remap_pending = Reading::Known(true)),
        (Degraded, one("row_remap_pending"))
    );
    assert_eq!(known(|d| d.health_facts.row_remap_failed = Reading::Known(true)), (Failed, one("row_remap_failed")));
    assert_eq!(known(|d| d.health_facts.row_remap_failed = Reading::Known(false)), (Ok, Vec::new()));
    assert_eq!(
        known(|d| d.health_facts.retirement_pending = Reading::Known(true)),
        (Degraded, one("retirement_pending"))
    );
    assert_eq!(known(|d| d.metrics.temperature_c = Reading::Absent(Absence::GpuLost)), (Failed, one("gpu_lost")));
    assert_eq!(known(|d| d.health_facts.recovery_action = Reading::Known("None".to_owned())), (Ok, Vec::new()));
    assert_eq!(
        known(|d| d.health_facts.recovery_action = Reading::Known("Reset".to_owned())),
        (Failed, one("reset_required"))
    );
    assert_eq!(
        known(|d| d.health_facts.recovery_action = Reading::Known("Reboot".to_owned())),
        (Failed, one("reboot_required"))
    );
    assert_eq!(
        known(|d| d.health_facts.recovery_action = Reading::Known("Drain P2P".to_owned())),
        (Degraded, one("drain_required"))
    );
}

#[test]
fn heat_is_a_reason_and_a_power_cap_or_idling_is_none() {
    let throttled = |reasons: &[&str]| {
        let throttle = Reading::Known(reasons.iter().map(|reason| (*reason).to_owned()).collect());
        by_driver(DriverGpu { metrics: Metrics { throttle, ..said(A).metrics }, ..said(A) })
    };
    assert_eq!(throttled(&["gpu_idle", "sw_power_cap", "applications_clocks_setting"]).0, HealthState::Ok);
    assert_eq!(throttled(&["hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown"]).1, ["thermal_slowdown"]);
    assert_eq!(throttled(&["hw_power_brake_slowdown"]), (HealthState::Degraded, one("power_brake")));
}

#[test]
fn an_xid_of_the_kernel_log_fails_its_gpu_and_withdraws_it() {
    let log = log("NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.");
    let mut gpus = vec![nvidia(A, "nvidia", 1), nvidia("0000:42:00.0", "nvidia", 2)];
    gpus[1].address = at("0000:42:00.0");
    let host = seen_with(raw(gpus, &[A, "0000:42:00.0"]), &log, 1, None);
    let gpu = &host.gpus[0];
    assert_eq!(gpu.health.gist(), (HealthState::Failed, one("xid_79")));
    assert_eq!((gpu.health.xid_last, gpu.schedulable), (Some(79), false));
    assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("health_failed"));
    // Heard of at 2 s, seen at 5.001 s: since three seconds and a millisecond.
    assert_eq!(gpu.health.reasons[0].since, UnixMillis(host.observed_at.0 - 3001));
    assert_eq!(host.gpus[1].health.gist(), (HealthState::Ok, Vec::new()), "its neighbour is well");
    assert!(host.gpus[1].schedulable);
    let condition = host.conditions.iter().find(|held| held.kind == "gpu_health_failed").unwrap();
    assert_eq!(condition.reason, "xid_79");
    assert!(condition.message.contains("0000:41:00.0: NVIDIA's driver reported Xid 79"), "{}", condition.message);
    assert!(Unschedulable::HealthFailed.explanation().is_some());
}

#[test]
fn the_gravest_comes_first_each_code_once_and_keeps_its_since() {
    let log = log("NVRM: Xid (PCI:0000:41:00): 94, Contained");
    let driver = || {
        let mut driver =
            DriverGpu { metrics: Metrics { ecc_uncorrected: Reading::Known(1), ..said(A).metrics }, ..said(A) };
        driver.health_facts.row_remap_failed = Reading::Known(true);
        driver
    };
    let first = seen_with(round(driver()), &log, 1, None);
    assert_eq!(first.gpus[0].health.codes(), ["row_remap_failed", "ecc_uncorrected", "xid_94"]);
    let second = seen_with(round(driver()), &log, 2, Some(&first));
    assert_eq!(second.gpus[0].health, first.gpus[0].health, "an hour on nothing has changed, since included");
    let kinds = |host: &HostObservation| -> Vec<(String, UnixMillis)> {
        host.conditions.iter().filter(|c| c.kind.starts_with("gpu_")).map(|c| (c.kind.clone(), c.since)).collect()
    };
    assert_eq!(kinds(&second), kinds(&first));
    assert_eq!(kinds(&second)[0].0, "gpu_health_failed");
    let third = seen_with(round(said(A)), &KernelLog::default(), 3, Some(&second));
    assert_eq!((third.gpus[0].health.state, kinds(&third).len()), (HealthState::Ok, 0));
}

#[test]
fn where_nobody_could_speak_health_is_unknown() {
    let unheard = KernelLog::default();
    let state = |raw: RawObservation, log: &KernelLog| seen_with(raw, log, 1, None).gpus[0].health.state;
    assert_eq!(state(raw(vec![nvidia(A, "nvidia", 1)], &[]), &unheard), HealthState::Unknown);
    assert_eq!(state(raw(vec![nvidia(A, "vfio-pci", 1)], &[]), &unheard), HealthState::Unknown);
    let amd = || raw(vec![function(A, "1002:74a1", "amdgpu", 1)], &[]);
    assert_eq!(state(amd(), &unheard), HealthState::Unknown);
    let mut heard = KernelLog::default();
    heard.hear();
    assert_eq!(state(amd(), &heard), HealthState::Ok);
    assert_eq!(state(amd(), &log("amdgpu 0000:41:00.0: amdgpu: GPU reset begin!")), HealthState::Degraded);
    assert_eq!(judged(amd()).gpus[0].health.state, HealthState::Unknown, "before it was judged");
}

#[test]
fn a_log_that_cannot_be_read_and_a_faulty_nvswitch_are_conditions() {
    let mut lost = KernelLog::default();
    lost.lose(KernelLogUnavailable { said: "standard input is no kernel log".to_owned() });
    let host = seen_with(round(said(A)), &lost, 1, None);
    let condition = host.conditions.iter().find(|held| held.kind == "kernel_log_unavailable").unwrap();
    assert!(condition.message.contains("StandardInput="), "{}", condition.message);
    assert_eq!(host.gpus[0].health.state, HealthState::Ok, "the driver was heard all the same");
    let log = log("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44");
    let mut round = round(said(A));
    assert!(!seen_with(round.clone(), &log, 1, None).conditions.iter().any(|held| held.kind == "nvswitch_fault"));
    round.scan.as_mut().unwrap().nvswitches.push(at("0000:c1:00.0"));
    let host = seen_with(round, &log, 1, None);
    assert!(host.conditions.iter().any(|held| held.kind == "nvswitch_fault" && held.message.contains("0000:c1:00.0")));
}
