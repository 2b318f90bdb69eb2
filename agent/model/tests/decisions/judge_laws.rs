//! Laws that hold for whatever a round of asking brings back: the judge is total, and its verdicts never contradict each other.

use crate::world::{
    at, docker, failed, function, judged, member, nvidia, only, raw, report, said, scan, seen, timeout,
};
use model::absence::{Absence, Reading};
use model::blocker::Blocker;
use model::docker::DockerFacts;
use model::driver::{DriverGpu, DriverReport, DriverSource, MigMode, ProbeError};
use model::judge::judge;
use model::metric::Metrics;
use model::observation::{ChainLink, GpuUse, RawObservation};
use model::os_cause::OsCause;
use model::pci::{GpuFunction, VENDOR_NVIDIA};
use model::verdict_reasons::Obstacle;
use proptest::prelude::*;

const ADDRESSES: [&str; 4] = ["0000:01:00.0", "0000:41:00.0", "10000:02:00.0", "0000:41:00.4"];

fn any_function(address: &'static str) -> impl Strategy<Value = GpuFunction> {
    let ids = prop::sample::select(vec!["10de:2330", "10de:20b0", "1002:74a1", "8086:56c0", "1a03:2000"]);
    let drivers = prop::sample::select(vec!["", "nvidia", "nouveau", "vfio-pci", "amdgpu", "xe", "?"]);
    (ids, drivers, 0u32..3, any::<bool>(), any::<bool>()).prop_map(move |(id, driver, group, render, boot)| {
        let mut gpu = function(address, id, if driver == "?" { "" } else { driver }, group);
        if driver == "?" {
            gpu.driver = Reading::Absent(Absence::Unreadable("EIO".to_owned()));
        }
        gpu.drm.render = render.then(|| "renderD128".to_owned());
        gpu.boot_vga = Reading::Known(boot);
        gpu
    })
}

fn any_said(address: &'static str) -> impl Strategy<Value = DriverGpu> {
    let temperatures = prop::sample::select(vec![
        Ok(40.0),
        Err(Absence::GpuLost),
        Err(Absence::NotSupported),
        Err(Absence::ResetRequired),
    ]);
    let modes = prop::sample::select(vec![None, Some(MigMode::Enabled), Some(MigMode::Disabled)]);
    (temperatures, modes).prop_map(move |(temperature, mode)| DriverGpu {
        metrics: Metrics {
            temperature_c: temperature.map_or_else(Reading::Absent, Reading::Known),
            ..said(address).metrics
        },
        mig_current: mode.into(),
        ..said(address)
    })
}

fn any_fault() -> impl Strategy<Value = ProbeError> {
    let absent = ProbeError::Absent { what: "x".to_owned(), said: "y".to_owned() };
    let hand = ProbeError::HandUnavailable { what: "x".to_owned(), cause: OsCause::found("y") };
    prop::sample::select(vec![timeout(), failed("Unknown Error"), absent, hand])
}

fn any_report() -> impl Strategy<Value = Result<DriverReport, ProbeError>> {
    let each = (any_said(ADDRESSES[0]), any_said(ADDRESSES[1]), any_said(ADDRESSES[2]), any_said(ADDRESSES[3]));
    let answered = (each, 0usize..5).prop_map(|((a, b, c, d), count)| {
        Ok(report(DriverSource::Nvml, vec![a, b, c, d].into_iter().take(count).collect()))
    });
    prop_oneof![2 => answered, 1 => any_fault().prop_map(Err)]
}

fn any_docker() -> impl Strategy<Value = Result<DockerFacts, ProbeError>> {
    let cdi = DockerFacts { cdi_devices: vec!["nvidia.com/gpu=all".to_owned()], ..DockerFacts::default() };
    prop_oneof![
        prop::sample::select(vec![docker(), DockerFacts::default(), cdi]).prop_map(Ok),
        any_fault().prop_map(Err)
    ]
}

fn any_raw() -> impl Strategy<Value = RawObservation> {
    let gpus = (any_function(ADDRESSES[0]), any_function(ADDRESSES[1]), any_function(ADDRESSES[2]));
    let reports = prop::collection::vec(any_report(), 0..3);
    (gpus, 0usize..4, any::<bool>(), reports, any_docker()).prop_map(|((a, b, c), count, works, reports, docker)| {
        let mut round = raw(Vec::new(), &[]);
        let found: Vec<GpuFunction> = vec![c, a, b].into_iter().take(count).collect();
        round.scan = if works { Ok(scan(found)) } else { Err("EIO".to_owned()) };
        let sources = [DriverSource::Nvml, DriverSource::Smi];
        round.reports = sources.into_iter().zip(reports).map(|(source, said)| (source, said, 1)).collect();
        round.docker = docker;
        round
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_agree_with_each_other(round in any_raw()) {
        let expected: Vec<_> = round.scan.iter().flat_map(|scan| &scan.gpus).map(|gpu| gpu.address).collect();
        let observation = judged(round);
        prop_assert_eq!(observation.gpus.len(), expected.len());
        prop_assert!(observation.gpus.windows(2).all(|pair| pair[0].pci.address < pair[1].pci.address));
        for gpu in &observation.gpus {
            prop_assert_eq!(gpu.schedulable, gpu.unschedulable_reason.is_none());
            prop_assert_eq!(gpu.driver.is_none(), gpu.driver_absence.is_some());
            prop_assert!(!gpu.schedulable || gpu.visible_to_runtime, "a workspace could not get it: {:?}", gpu);
            prop_assert!(!gpu.visible_to_runtime || gpu.first_broken_link().is_none());
            prop_assert_eq!(gpu.passthrough.eligible, gpu.passthrough.reasons.is_empty());
            // One fact has one code, here and where the change itself is refused.
            let has_code = |reason: &Obstacle| Blocker::CODES.contains(&reason.code());
            prop_assert!(gpu.passthrough.reasons.iter().all(has_code), "{:?}", gpu.passthrough.reasons);
            if let Some(driver) = &gpu.driver {
                prop_assert_eq!(driver.address, gpu.pci.address);
            }
            for link in &gpu.cause_chain {
                prop_assert_eq!(link.ok == Some(false), link.remedy.is_some(), "a broken link has a remedy: {:?}", link);
            }
            if gpu.pci.id.vendor != VENDOR_NVIDIA {
                prop_assert!(gpu.cause_chain.iter().all(|link| link.link != ChainLink::Nvml || link.ok.is_none()));
            }
        }
        prop_assert!(observation.cuda_gpu_count() <= observation.gpus.len());
    }

    #[test]
    fn a_condition_keeps_its_beginning_for_as_long_as_it_holds(rounds in prop::collection::vec(any_raw(), 1..6)) {
        let mut previous = None;
        for (sequence, round) in (1u64..).zip(rounds) {
            let observation = judge(round, seen(sequence), previous.as_ref());
            for held in &observation.conditions {
                let before = previous.iter().flat_map(|seen: &model::observation::HostObservation| &seen.conditions);
                let since = before.filter(|old| old.kind == held.kind).map(|old| old.since).next();
                prop_assert_eq!(held.since, since.unwrap_or(observation.observed_at));
            }
            let mut kinds: Vec<_> = observation.conditions.iter().map(|held| &held.kind).collect();
            kinds.dedup();
            prop_assert_eq!(kinds.len(), observation.conditions.len(), "one condition of a type");
            previous = Some(observation);
        }
    }
}

#[test]
fn what_a_gpu_shares_its_group_with_counts_whatever_its_state() {
    let mut round = raw(vec![nvidia(ADDRESSES[1], "vfio-pci", 1)], &[]);
    round.scan.as_mut().unwrap().groups[0].members.push(member("0000:42:00.0", 0x02_0000));
    let gpu = only(round);
    assert_eq!(
        (gpu.usage, gpu.passthrough.reasons.as_slice()),
        (GpuUse::Passthrough, &[Obstacle::GroupNotIsolated][..])
    );
    assert_eq!(gpu.pci.address, at(ADDRESSES[1]));
}
