//! What is the daemon's own: the age of the observation, GPUs by use, sources, conditions, heartbeats.

use super::gpu_metrics::bus_id;
use super::text::{Family, Labels, Value};
use super::{Source, seconds};
use model::condition::ConditionStatus;
use model::driver::ProbeError;
use model::observation::{GpuUse, HostObservation};
use std::collections::BTreeMap;

/// Every use, so that one that no GPU has shows 0.
const USES: [GpuUse; 6] =
    [GpuUse::Host, GpuUse::Shared, GpuUse::Mig, GpuUse::Passthrough, GpuUse::Transitioning, GpuUse::Quarantined];

/// All families.
pub(super) fn families(source: &Source<'_>) -> Vec<Family> {
    let build = Family::gauge("gpuhostd_build_info", "Version of the daemon.");
    let mut families = vec![build.with(vec![("version", Some(source.version.to_owned()))], Some(Value::Whole(1)))];
    families.extend(observation(source));
    families.extend(gpus(source.seen));
    families.extend(sources(source.seen));
    families.push(conditions(source));
    families.extend(checkin(source));
    families
}

fn observation(source: &Source<'_>) -> [Family; 1] {
    // Before the first observation there is no age.
    let age = (source.seen.sequence > 0).then(|| source.boot_now.since(source.seen.observed_boot));
    [Family::gauge("gpuhostd_observation_age_seconds", "Time since the host was last observed.")
        .in_unit("seconds")
        .with(vec![], age.map(Value::Millis))]
}

fn gpus(seen: &HostObservation) -> [Family; 4] {
    let mut by_use = Family::gauge("gpuhostd_gpus", "GPUs on the PCI bus, by what they are used for.");
    let mut usable = Family::gauge("gpuhostd_gpu_usable", "A workspace may use this GPU.");
    let mut reason = Family::gauge("gpuhostd_gpu_unusable_reason", "Why no workspace may use this GPU.");
    let mut migs = Family::gauge("gpuhostd_mig_devices", "MIG devices of this GPU.");
    if seen.sequence > 0 {
        for usage in USES {
            let count = seen.gpus.iter().filter(|gpu| gpu.usage == usage).count();
            by_use.push(vec![("use", Some(usage.code().to_owned()))], u64::try_from(count).ok().map(Value::Whole));
        }
    }
    for gpu in &seen.gpus {
        let labels = || -> Labels { vec![("pci_bus_id", Some(bus_id(gpu)))] };
        usable.push(labels(), Some(Value::flag(gpu.schedulable)));
        if let Some(code) = gpu.unschedulable_reason.filter(|_| !gpu.schedulable) {
            let mut labels = labels();
            labels.push(("reason", Some(code.code().to_owned())));
            reason.push(labels, Some(Value::Whole(1)));
        }
        // Only a driver that told its MIG mode told its devices.
        let told = gpu.driver.as_ref().filter(|driver| driver.mig_current.known().is_some());
        let count = told.and_then(|driver| u64::try_from(driver.mig_devices.len()).ok());
        migs.push(labels(), count.map(Value::Whole));
    }
    [by_use, usable, reason, migs]
}

fn sources(seen: &HostObservation) -> [Family; 3] {
    let mut up = Family::gauge("gpuhostd_probe_up", "This source of driver facts answered.");
    let mut took =
        Family::gauge("gpuhostd_probe_duration_seconds", "How long its last answer took.").in_unit("seconds");
    for probe in &seen.probes {
        let labels = || -> Labels { vec![("source", Some(probe.source.code().to_owned()))] };
        up.push(labels(), Some(Value::flag(probe.fault.is_none())));
        took.push(labels(), Some(Value::Millis(probe.took_ms)));
    }
    let asked = !matches!(seen.docker, Err(ProbeError::NotAsked { .. }));
    let docker = Family::gauge("gpuhostd_docker_up", "Docker answers.");
    [up, took, docker.with(vec![], asked.then(|| Value::flag(seen.docker.is_ok())))]
}

/// Two conditions of one type and reason are one series; it holds where one of them holds.
fn conditions(source: &Source<'_>) -> Family {
    let mut states: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for condition in source.seen.conditions.iter().chain(&source.checkin.conditions) {
        let holds = match condition.status {
            ConditionStatus::True => true,
            ConditionStatus::False => false,
            ConditionStatus::Unknown => continue,
        };
        *states.entry((&condition.kind, &condition.reason)).or_default() |= holds;
    }
    let mut family =
        Family::gauge("gpuhostd_condition", "A condition holds; most conditions mean that something is wrong.");
    for ((kind, reason), holds) in states {
        let labels = vec![("type", Some(kind.to_owned())), ("reason", Some(reason.to_owned()))];
        family.push(labels, Some(Value::flag(holds)));
    }
    family
}

fn checkin(source: &Source<'_>) -> [Family; 5] {
    let status = source.checkin;
    let interval = Some(status.interval_s).filter(|seconds| *seconds > 0).map(Value::Whole);
    [
        Family::gauge("gpuhostd_manager_state", "State of the check-in with the manager.")
            .with(vec![("state", Some(status.state.code().to_owned()))], Some(Value::Whole(1))),
        Family::counter("gpuhostd_heartbeats_accepted", "Heartbeats that the manager accepted.")
            .with(vec![], Some(Value::Whole(status.accepted))),
        Family::counter("gpuhostd_heartbeats_failed", "Heartbeats that failed.")
            .with(vec![], Some(Value::Whole(status.failed))),
        Family::gauge("gpuhostd_last_heartbeat_timestamp_seconds", "When the manager last accepted a heartbeat.")
            .in_unit("seconds")
            .with(vec![], status.last_accepted.and_then(seconds)),
        Family::gauge("gpuhostd_heartbeat_interval_seconds", "Time between two heartbeats.")
            .in_unit("seconds")
            .with(vec![], interval),
    ]
}
