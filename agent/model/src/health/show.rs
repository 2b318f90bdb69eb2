//! Puts the health of each GPU into an observation, with the conditions that follow.

use super::HealthState;
use super::gpu_health::{AskedAt, health};
use super::kernel_log::KernelLog;
use crate::condition::{Condition, ConditionStatus};
use crate::judge::{ObservationMeta, decide};
use crate::observation::{Gpu, HostObservation};

/// The conditions that are made here.
const KINDS: [&str; 4] = ["gpu_health_failed", "gpu_health_degraded", "nvswitch_fault", "kernel_log_unavailable"];

/// Judges the health of every GPU of the observation. `previous` gives each reason that still holds the time since when it does.
pub fn apply(observation: &mut HostObservation, log: &KernelLog, asked: AskedAt, previous: Option<&HostObservation>) {
    let seen = ObservationMeta {
        sequence: observation.sequence,
        observed_at: observation.observed_at,
        observed_boot: observation.observed_boot,
    };
    for gpu in &mut observation.gpus {
        let before = previous.and_then(|seen| seen.gpu(gpu.pci.address)).map(|gpu| &gpu.health);
        gpu.health = health(gpu, log, seen, asked, before);
    }
    decide(observation);
    let found = [
        of_gpus(observation, HealthState::Failed, "gpu_health_failed"),
        of_gpus(observation, HealthState::Degraded, "gpu_health_degraded"),
        of_switches(observation, log),
        of_log(observation, log),
    ];
    observation.conditions.retain(|held| !KINDS.contains(&held.kind.as_str()));
    for mut condition in found.into_iter().flatten() {
        let before = previous.into_iter().flat_map(|seen| &seen.conditions).find(|held| held.kind == condition.kind);
        condition.since = before.map_or(condition.since, |held| held.since);
        observation.conditions.push(condition);
    }
}

fn holds(seen: &HostObservation, kind: &str, reason: String, message: String) -> Condition {
    let (kind, status) = (kind.to_owned(), ConditionStatus::True);
    Condition { kind, status, reason, message, since: seen.observed_at }
}

/// The GPUs of one state in one condition: its reason is the first code, its message names each GPU with all it has.
fn of_gpus(seen: &HostObservation, state: HealthState, kind: &str) -> Option<Condition> {
    let ill: Vec<&Gpu> = seen.gpus.iter().filter(|gpu| gpu.health.state == state).collect();
    let first = ill.first()?.health.reasons.first()?;
    let told = |gpu: &&Gpu| {
        let reasons: Vec<&str> = gpu.health.reasons.iter().map(|reason| reason.message.as_str()).collect();
        format!("{}: {}", gpu.pci.address, reasons.join("; "))
    };
    let message = format!("{}; {}", ill.iter().map(told).collect::<Vec<_>>().join(". "), first.remedy);
    Some(holds(seen, kind, first.code.clone(), message))
}

fn of_switches(seen: &HostObservation, log: &KernelLog) -> Option<Condition> {
    let now = seen.observed_boot;
    let ill = seen.nvswitches.iter().filter(|at| log.against(**at, now).next().is_some());
    let list = ill.map(ToString::to_string).collect::<Vec<_>>();
    let first = list.first()?;
    let message = format!(
        "the kernel log has errors of the NVSwitches {}: `dmesg | grep -E 'SXid|{first}'` shows them, and NVIDIA's Fabric \
         Manager guide explains each",
        list.join(", ")
    );
    Some(holds(seen, "nvswitch_fault", "sxid".to_owned(), message))
}

fn of_log(seen: &HostObservation, log: &KernelLog) -> Option<Condition> {
    let why = log.unheard()?;
    let message = format!(
        "{why}; GPU health uses only the driver's reports until StandardInput= of gpuhostd.service gives it /dev/kmsg again"
    );
    Some(holds(seen, "kernel_log_unavailable", "unreadable".to_owned(), message))
}
