//! What a driver reports against its own GPU, whichever source it was heard by.

use super::against::Against;
use super::facts::HealthFacts;
use super::recovery::RecoveryAction;
use super::words::{DRAIN, IMEX, LOST, REBOOT, RESET, Words};
use super::{HealthState, Teller};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, SilentGpu};
use crate::judge::remedy_of_silence;
use crate::verdict_reasons::{Ailment, ailments};

/// State and codes as far as the driver alone can tell them, the gravest first.
#[must_use]
pub fn gist(driver: &DriverGpu) -> (HealthState, Vec<String>) {
    let mut against = against(driver);
    against.sort_by(|one, other| other.state.cmp(&one.state).then_with(|| one.code.cmp(&other.code)));
    let state = against.first().map_or(HealthState::Ok, |gravest| gravest.state);
    (state, against.into_iter().map(|it| it.code).collect())
}

const WHEN_FREE: &str = "when the GPU is not in use, reset it: `nvidia-smi -r -i ADDRESS`";
const REPLACE: &str = "run NVIDIA's field diagnostics and have the card replaced";

/// What it states against a GPU that the driver answers for others and not for this one. One that answers too late may only be
/// slow to open, and a device that we may not open reports nothing of its health.
pub(super) fn silence(gpu: &SilentGpu) -> Option<Against> {
    let (code, state) = match gpu.why {
        Absence::GpuLost => (LOST.0, HealthState::Failed),
        Absence::ResetRequired => (RESET.0, HealthState::Failed),
        Absence::ProbeTimeout => ("driver_silent", HealthState::Degraded),
        Absence::NotProbed | Absence::NoPermission => return None,
        Absence::None
        | Absence::NotSupported
        | Absence::NotReported
        | Absence::Deprecated
        | Absence::UnknownError
        | Absence::Garbled(_)
        | Absence::Unreadable(_)
        | Absence::DriverAbsent
        | Absence::ProbeFailed
        | Absence::GpuAsleep
        | Absence::NotRead => ("driver_silent", HealthState::Failed),
    };
    let remedy = remedy_of_silence(gpu);
    Some(Against {
        code: code.to_owned(),
        state,
        message: gpu.said.clone(),
        remedy,
        first: None,
        told_by: Teller::Driver,
    })
}

/// What the driver reports against its GPU.
pub(super) fn against(driver: &DriverGpu) -> Vec<Against> {
    let facts = &driver.health_facts;
    let mut found = Vec::new();
    let mut add = |state, (code, message, remedy): Words| {
        let remedy = remedy.replace("ADDRESS", &driver.address.to_string());
        found.push(Against {
            code: code.to_owned(),
            state,
            message: message.to_owned(),
            remedy,
            first: None,
            told_by: Teller::Driver,
        });
    };
    for ailment in ailments(driver) {
        let words = match ailment {
            Ailment::GpuLost => LOST,
            Ailment::ResetRequired => RESET,
        };
        add(HealthState::Failed, words);
    }
    match RecoveryAction::of_facts(facts) {
        RecoveryAction::Reboot => add(HealthState::Failed, REBOOT),
        RecoveryAction::DrainP2p | RecoveryAction::DrainAndReset => add(HealthState::Degraded, DRAIN),
        RecoveryAction::RecoverImexDomain => add(HealthState::Degraded, IMEX),
        RecoveryAction::None | RecoveryAction::Reset | RecoveryAction::Other => {}
    }
    memory(driver).into_iter().for_each(|(state, words)| add(state, words));
    throttling(driver).into_iter().for_each(|words| add(HealthState::Degraded, words));
    found.extend(unknown_wish(driver));
    found.extend(fabric(driver));
    found
}

fn memory(driver: &DriverGpu) -> Vec<(HealthState, Words)> {
    use HealthState::{Degraded, Failed};
    let facts = &driver.health_facts;
    let holds = |reading: &Reading<bool>| reading.get() == Some(true);
    let checks: [(bool, HealthState, Words); 8] = [
        (
            driver.metrics.ecc_uncorrected.get().is_some_and(|count| count > 0),
            Degraded,
            ("ecc_uncorrected", "uncorrected ECC errors since the driver was loaded", WHEN_FREE),
        ),
        (
            holds(&facts.row_remap_pending),
            Degraded,
            ("row_remap_pending", "a memory row waits to be remapped at the next reset", WHEN_FREE),
        ),
        (
            holds(&facts.row_remap_failed),
            Failed,
            ("row_remap_failed", "a memory row could not be remapped: no spare row is left", REPLACE),
        ),
        (
            holds(&facts.retirement_pending),
            Degraded,
            ("retirement_pending", "a memory page waits to be retired at the next reset", WHEN_FREE),
        ),
        (
            holds(&facts.channel_repair_pending),
            Degraded,
            ("channel_repair_pending", "a memory channel waits to be repaired at the next reset", WHEN_FREE),
        ),
        (
            holds(&facts.tpc_repair_pending),
            Degraded,
            ("tpc_repair_pending", "a processing cluster waits to be repaired at the next reset", WHEN_FREE),
        ),
        (
            holds(&facts.sram_threshold_exceeded),
            Failed,
            ("sram_threshold_exceeded", "more SRAM errors than NVIDIA's limit for a card", REPLACE),
        ),
        (
            holds(&facts.unrepairable_memory),
            Failed,
            ("unrepairable_memory", "there is memory that cannot be repaired", REPLACE),
        ),
    ];
    checks.into_iter().filter(|(holds, _, _)| *holds).map(|(_, state, words)| (state, words)).collect()
}

/// Clocks held down by heat or by the power supply. A power cap, an idle GPU and clocks set by hand are no fault.
fn throttling(driver: &DriverGpu) -> Vec<Words> {
    let active = driver.metrics.throttle.known().map(Vec::as_slice).unwrap_or_default();
    let is = |name: &str| active.iter().any(|reason| reason == name);
    let mut found = Vec::new();
    if is("hw_thermal_slowdown") || is("sw_thermal_slowdown") {
        found.push((
            "thermal_slowdown",
            "the GPU is too hot, and its clocks are reduced",
            "check fans, air flow and the temperature of the room; `nvidia-smi -q -d TEMPERATURE -i ADDRESS`",
        ));
    }
    if is("hw_power_brake_slowdown") {
        found.push((
            "power_brake",
            "the power supply limits the GPU, and its clocks are reduced",
            "check the machine's power supplies and its power cap (BMC)",
        ));
    }
    found
}

/// The driver asks for something by words that are not known here yet.
fn unknown_wish(driver: &DriverGpu) -> Option<Against> {
    let facts = &driver.health_facts;
    let words = facts.recovery_action.known()?;
    let address = driver.address;
    (RecoveryAction::of_facts(facts) == RecoveryAction::Other).then(|| Against {
        code: "recovery_action".to_owned(),
        state: HealthState::Degraded,
        message: format!("the driver requests an action that this version does not know: {words}"),
        remedy: format!("look it up in the driver's documentation, `nvidia-smi -q -i {address} | grep -i recovery`"),
        first: None,
        told_by: Teller::Driver,
    })
}

/// A GPU that has not joined the fabric yet is no fault: the fabric manager may be about to start.
fn fabric(driver: &DriverGpu) -> Option<Against> {
    let HealthFacts { fabric_state, fabric_status, fabric_health, fabric_faults, .. } = &driver.health_facts;
    let is_in = fabric_state.known().is_some_and(|state| state == "Completed");
    let refused = fabric_status.known().filter(|status| is_in && *status != "Success");
    let ill = fabric_health.known().filter(|health| *health != "Healthy");
    let faults = fabric_faults.known().filter(|faults| !faults.is_empty()).map(|faults| faults.join(", "));
    let words: Vec<&str> = [refused, ill, faults.as_ref()].into_iter().flatten().map(String::as_str).collect();
    (!words.is_empty()).then(|| Against {
        code: "fabric_unhealthy".to_owned(),
        state: HealthState::Degraded,
        message: format!("the NVLink fabric of the GPU is not healthy: {}", words.join("; ")),
        remedy: "`journalctl -u nvidia-fabricmanager` and `nvidia-smi -q -d FABRIC`, on every machine of the fabric"
            .to_owned(),
        first: None,
        told_by: Teller::Driver,
    })
}
