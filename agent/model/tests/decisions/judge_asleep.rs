//! A GPU that sleeps is left alone: what was known of it stays, what is measured says why it is not. And the sensors of
//! other vendors' drivers, which follow the same rule.

use crate::world::{at, function, nvidia, raw, report, said, seen};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverReport, DriverSource, MemoryMib};
use model::judge::{has_sensors, judge, may_ask, may_fall_asleep, needs_smi};
use model::metric::{Metric, MetricSlot, Metrics, of_driver};
use model::observation::{HostObservation, RawObservation};
use model::pci::{GpuFunction, RuntimeStatus};
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";

fn asleep(mut gpu: GpuFunction) -> GpuFunction {
    gpu.state.runtime = Reading::Known(RuntimeStatus::Suspended);
    gpu
}

fn known(address: &str) -> DriverGpu {
    let memory = MemoryMib { total: Reading::Known(24_576), used: Reading::Known(300), ..MemoryMib::default() };
    DriverGpu {
        metrics: Metrics {
            sm_clock_mhz: Reading::Known(1410),
            memory_clock_mhz: Reading::Known(8001),
            ..said(address).metrics
        },
        memory,
        name: Reading::Known("NVIDIA RTX A5000".to_owned()),
        ..said(address)
    }
}

fn awake_before() -> HostObservation {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![known(A)])), 1)];
    judge(round, seen(1), None)
}

fn nobody_asked(gpus: Vec<GpuFunction>) -> RawObservation {
    RawObservation { reports: Vec::new(), ..raw(gpus, &[]) }
}

#[test]
fn it_keeps_what_was_known_and_says_why_nothing_is_measured() {
    let before = awake_before();
    let after = judge(nobody_asked(vec![asleep(nvidia(A, "nvidia", 1))]), seen(2), Some(&before));
    let gpu = &after.gpus[0];
    let driver = gpu.driver.as_ref().unwrap();
    assert_eq!(driver.uuid, before.gpus[0].driver.as_ref().unwrap().uuid);
    assert_eq!((gpu.name(), driver.memory.total.get()), (Some("NVIDIA RTX A5000"), Some(24_576)));
    for reading in [
        &driver.metrics.temperature_c,
        &driver.metrics.utilization_pct,
        &driver.metrics.power_w,
        &driver.metrics.encoder_pct,
    ] {
        assert_eq!(reading.absence(), Some(&Absence::GpuAsleep));
    }
    for clock in [&driver.metrics.sm_clock_mhz, &driver.metrics.memory_clock_mhz] {
        assert_eq!(clock.absence(), Some(&Absence::GpuAsleep), "a clock that was measured before is none of now");
    }
    assert_eq!(driver.memory.used.absence(), Some(&Absence::GpuAsleep));
    assert_eq!(driver.processes.absence(), Some(&Absence::GpuAsleep));
    assert!(gpu.schedulable && gpu.visible_to_runtime, "a workspace wakes it: {:?}", gpu.cause_chain);
    assert_eq!(gpu.driver_version.as_deref(), Some("580.105.08"));
    let third = judge(nobody_asked(vec![asleep(nvidia(A, "nvidia", 1))]), seen(3), Some(&after));
    assert_eq!(third.gpus, after.gpus, "for as long as it sleeps");
}

#[test]
fn another_card_or_another_driver_at_its_place_is_not_known() {
    let before = awake_before();
    for other in [function(A, "10de:26b5", "nvidia", 1), nvidia(B, "nvidia", 1)] {
        let gpu = judge(nobody_asked(vec![asleep(other)]), seen(2), Some(&before)).gpus.remove(0);
        assert_eq!((gpu.driver, gpu.driver_absence), (None, Some(Absence::GpuAsleep)));
        assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("gpu_asleep"));
        assert!(Unschedulable::GpuAsleep.explanation().unwrap().1.contains("nvidia-smi -L"));
    }
    let unbound = judge(nobody_asked(vec![asleep(nvidia(A, "", 1))]), seen(2), Some(&before)).gpus.remove(0);
    assert_eq!(unbound.driver_absence, Some(Absence::DriverAbsent));
}

#[test]
fn sleep_raises_no_condition() {
    let sleeping = judge(nobody_asked(vec![asleep(nvidia(A, "nvidia", 1))]), seen(1), None);
    assert!(sleeping.conditions.iter().all(|held| held.kind != "driver_unavailable"), "{:?}", sleeping.conditions);
}

#[test]
fn the_driver_is_asked_where_that_wakes_nobody_that_is_known() {
    let scan = |gpus: Vec<GpuFunction>| crate::world::scan(gpus);
    let (before, nothing) = (awake_before(), judge(nobody_asked(Vec::new()), seen(0), None));
    let sleeping = || asleep(nvidia(A, "nvidia", 1));
    assert!(!may_ask(&scan(vec![sleeping()]), &before), "all sleep");
    assert!(may_ask(&scan(vec![sleeping()]), &nothing), "once, for its UUID");
    assert!(may_ask(&scan(vec![sleeping(), nvidia(B, "nvidia", 2)]), &before), "one is awake");
    assert!(!may_ask(&scan(vec![nvidia(B, "nouveau", 2)]), &nothing), "there is nobody to ask");
    assert!(!may_ask(&scan(vec![sleeping(), nvidia(B, "vfio-pci", 2)]), &before));
    let mut lazy = nvidia(A, "nvidia", 1);
    assert!(!may_fall_asleep(&scan(vec![lazy.clone()])));
    lazy.state.may_sleep = Reading::Known(true);
    assert!(may_fall_asleep(&scan(vec![lazy])));
}

#[test]
fn nvidia_smi_is_not_asked_for_one_that_sleeps() {
    let scan = crate::world::scan(vec![asleep(nvidia(A, "nvidia", 1)), nvidia(B, "nvidia", 2)]);
    assert!(!needs_smi(Some(&scan), &Ok(report(DriverSource::Nvml, vec![said(B)]))));
    assert!(needs_smi(Some(&scan), &Ok(report(DriverSource::Nvml, vec![said(A)]))));
}

fn sensed(address: &str) -> DriverGpu {
    DriverGpu {
        metrics: Metrics {
            temperature_c: Reading::Known(61.0),
            utilization_pct: Reading::Known(97.0),
            ..Metrics::default()
        },
        ..DriverGpu::unknown(at(address))
    }
}

fn with_sensors(gpus: Vec<GpuFunction>, report: DriverReport) -> HostObservation {
    let mut round = nobody_asked(gpus);
    round.reports = vec![(DriverSource::Sysfs, Ok(report), 1)];
    judge(round, seen(1), None)
}

#[test]
fn sensors_fill_the_metrics_of_other_vendors() {
    let amd = function(A, "1002:74a1", "amdgpu", 1);
    let observation = with_sensors(vec![amd.clone()], report(DriverSource::Sysfs, vec![sensed(A)]));
    let gpu = &observation.gpus[0];
    let driver = gpu.driver.as_ref().unwrap();
    assert_eq!((driver.metrics.temperature_c.get(), driver.metrics.utilization_pct.get()), (Some(61.0), Some(97.0)));
    assert_eq!(driver.uuid.absence(), Some(&Absence::NotSupported), "the reason stays that of the vendor");
    assert_eq!((gpu.driver_absence.clone(), gpu.schedulable), (Some(Absence::NotSupported), true));
    assert_eq!(observation.cuda_gpu_count(), 0);
    assert!(
        has_sensors(&crate::world::scan(vec![amd])) && !has_sensors(&crate::world::scan(vec![nvidia(A, "nvidia", 1)]))
    );
}

#[test]
fn sensors_of_nouveau_do_not_pass_for_nvidias_driver() {
    let observation = with_sensors(vec![nvidia(A, "nouveau", 1)], report(DriverSource::Sysfs, vec![sensed(A)]));
    let gpu = &observation.gpus[0];
    assert_eq!(gpu.driver.as_ref().unwrap().metrics.temperature_c.get(), Some(61.0));
    assert_eq!(gpu.driver.as_ref().unwrap().uuid.absence(), Some(&Absence::DriverAbsent));
    assert!(!gpu.schedulable && !gpu.visible_to_runtime);
    let held = observation.conditions.iter().find(|held| held.kind == "driver_unavailable").unwrap();
    assert_eq!(held.reason, "driver_absent");
}

#[test]
fn sensors_that_fail_are_no_fault_of_nvidias_driver() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1), function(B, "1002:74a1", "amdgpu", 2)], &[A]);
    round.reports.push((DriverSource::Sysfs, Err(crate::world::timeout()), 5000));
    let observation = judge(round, seen(1), None);
    assert!(observation.gpus.iter().all(|gpu| gpu.schedulable));
    assert_eq!(observation.probes.len(), 2);
}

/// A GPU of which every metric that a source measures is known.
fn measured(address: &str) -> DriverGpu {
    let mut gpu = known(address);
    gpu.metrics.each(|_, slot| match slot {
        MetricSlot::Text(word) => *word = Reading::Known("P0".to_owned()),
        MetricSlot::List(words) => *words = Reading::Known(Vec::new()),
        slot @ (MetricSlot::Real(_) | MetricSlot::Small(_) | MetricSlot::Whole(_)) => slot.number(Reading::Known(7)),
    });
    let all = || Reading::Known(7);
    gpu.memory = MemoryMib { total: all(), reserved: all(), used: all(), free: all() };
    gpu
}

#[test]
fn each_metric_outlasts_sleep_or_is_forgotten_as_its_row_says() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![measured(A)])), 1)];
    let before = judge(round, seen(1), None);
    let after = judge(nobody_asked(vec![asleep(nvidia(A, "nvidia", 1))]), seen(2), Some(&before));
    let value = |seen: &HostObservation, metric: &Metric| of_driver(*metric, seen.gpus[0].driver.as_ref().unwrap());
    for metric in Metric::ALL {
        let (awake, asleep) = (value(&before, metric), value(&after, metric));
        if awake.known().is_some() && !metric.row().outlasts_sleep {
            assert_eq!(asleep.absence(), Some(&Absence::GpuAsleep), "{metric:?} was measured before it slept");
        } else {
            assert_eq!(asleep, awake, "{metric:?} stays what it was");
        }
    }
}

#[test]
fn each_metric_is_filled_in_from_a_second_source() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = [(DriverSource::Nvml, DriverGpu::unknown(at(A))), (DriverSource::Smi, measured(A))]
        .map(|(source, gpu)| (source, Ok(report(source, vec![gpu])), 1))
        .into();
    let filled = judge(round, seen(1), None).gpus.remove(0).driver.unwrap();
    assert_eq!((filled.metrics, filled.memory), (measured(A).metrics, measured(A).memory));
}
