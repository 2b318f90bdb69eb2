//! The health of one GPU, out of what the driver reports about it and what the kernel log has against it.

use super::against::Against;
use super::device_fault::{Fault, GpuFaultKind};
use super::kernel_log::{Finding, KernelLog};
use super::over::Evidence;
use super::words::LOST;
use super::{Answered, GpuHealth, HealthReason, HealthState, Teller, driver_report, link, xid};
use crate::PciAddress;
use crate::judge::ObservationMeta;
use crate::observation::{ChainLink, Gpu, GpuUse};
use crate::pci::VENDOR_NVIDIA;
use crate::time::{BootMillis, UnixMillis};
use crate::verdict_reasons::ailments;

/// When the host was asked for what an observation shows. Nothing of it is an answer to a fault that came later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedAt {
    /// The scan of the bus began.
    pub bus: BootMillis,
    /// The drivers were asked.
    pub driver: BootMillis,
}

/// The health of a GPU. `previous` gives a reason that still holds the time since when it does, and what the driver reported
/// before it fell silent.
#[must_use]
pub fn health(
    gpu: &Gpu,
    log: &KernelLog,
    seen: ObservationMeta,
    asked: AskedAt,
    previous: Option<&GpuHealth>,
) -> GpuHealth {
    let address = gpu.pci.address;
    let answered = answered(gpu, asked, previous.map(|health| health.answered).unwrap_or_default());
    let stands = |it: &&Finding| !is_over(it, answered);
    let findings = log.against(address, seen.observed_boot).filter(stands);
    let mut against: Vec<Against> = findings.map(|it| heard(it, address)).collect();
    against.extend(gpu.driver.iter().flat_map(driver_report::against));
    against.extend(gpu.silence.iter().filter_map(driver_report::silence));
    against.extend(link::against(gpu));
    against.extend(remembered(gpu, log, answered, previous));
    // One fact has one code: where the driver has reported that it is lost, the bus reports nothing new.
    if !against.iter().any(|it| it.code == LOST.0) {
        against.extend(by_bus(gpu));
    }
    against.sort_by(|one, other| other.state.cmp(&one.state).then_with(|| one.code.cmp(&other.code)));
    let mut reasons: Vec<HealthReason> = Vec::with_capacity(against.len());
    for it in against {
        if !reasons.iter().any(|known| known.code == it.code) {
            reasons.push(timed(it, seen, previous));
        }
    }
    let state = reasons.first().map_or_else(|| without_reason(gpu, log), |gravest| gravest.state);
    GpuHealth { state, reasons, xid_last: log.last_xid(address), answered }
}

/// Nothing speaks against it: was there anybody who could have?
fn without_reason(gpu: &Gpu, log: &KernelLog) -> HealthState {
    let has_driver = gpu.pci.driver.known().is_some() && gpu.usage != GpuUse::Passthrough;
    let heard = match gpu.pci.id.vendor {
        VENDOR_NVIDIA => gpu.driver.is_some(),
        _ => has_driver && log.is_heard(),
    };
    if heard { HealthState::Ok } else { HealthState::Unknown }
}

/// When the GPU last answered, this round counted. What is only remembered of a GPU that sleeps is no answer.
fn answered(gpu: &Gpu, asked: AskedAt, before: Answered) -> Answered {
    let awake = gpu.driver.as_ref().filter(|_| !gpu.pci.is_asleep());
    let lost = awake.is_some_and(|driver| !ailments(driver).is_empty());
    let measured = awake.is_some_and(|driver| {
        driver.metrics.temperature_c.known().is_some()
            || driver.metrics.power_w.known().is_some()
            || driver.memory.used.known().is_some()
    });
    let responds = gpu.pci.state.responds.get() == Some(true);
    Answered {
        driver: awake.map_or(before.driver, |_| Some(asked.driver)),
        at_work: if measured && !lost { Some(asked.driver) } else { before.at_work },
        bus: if responds { Some(asked.bus) } else { before.bus },
    }
}

/// The GPU has answered since the finding was last heard of, and such an answer ends it.
fn is_over(finding: &Finding, answered: Answered) -> bool {
    let kind = finding.fault.kind();
    let later =
        |at: Option<BootMillis>, evidence: Evidence| at.is_some_and(|at| at > finding.read) && evidence.ends(kind);
    later(answered.at_work, Evidence::DriverAnswers) || later(answered.bus, Evidence::BusAnswers)
}

fn timed(it: Against, seen: ObservationMeta, previous: Option<&GpuHealth>) -> HealthReason {
    let stood = previous.into_iter().flat_map(|health| &health.reasons).find(|reason| reason.code == it.code);
    let ago = it.first.map_or(0, |first| seen.observed_boot.since(first));
    let began = UnixMillis(seen.observed_at.0.saturating_sub(i64::try_from(ago).unwrap_or(0)));
    HealthReason {
        since: stood.map_or(began, |reason| reason.since),
        code: it.code,
        state: it.state,
        message: it.message,
        remedy: it.remedy,
        told_by: it.told_by,
    }
}

/// A finding of the kernel log as a reason.
fn heard(finding: &Finding, address: PciAddress) -> Against {
    let (message, remedy) = match finding.fault {
        Fault::Xid(number) => of_xid(number, "", address),
        Fault::XidFatal(number) => of_xid(number, ", fatal", address),
        Fault::XidNonFatal(number) => of_xid(number, ", not fatal", address),
        Fault::SxidFatal(number) | Fault::SxidNonFatal(number) => (
            format!("the NVSwitch reported SXid {number}"),
            "see the SXid in NVIDIA's Fabric Manager guide; where it is fatal, stop all work on the fabric and reboot"
                .to_owned(),
        ),
        Fault::Recovery(_)
        | Fault::FallenOffTheBus
        | Fault::FallenOffAtProbe
        | Fault::InitFailed
        | Fault::StartFailed
        | Fault::RemovedInUse
        | Fault::PcieFatal
        | Fault::PcieNonFatal
        | Fault::SlotLinkDown
        | Fault::SlotEmpty
        | Fault::SlotPower
        | Fault::Contained
        | Fault::Inaccessible
        | Fault::NotReady
        | Fault::IommuFault
        | Fault::IommuTimeout
        | Fault::Hang
        | Fault::ResetFailed
        | Fault::RasUncorrectable
        | Fault::RasDeferred
        | Fault::BadPages => {
            let (_, message, remedy) = finding.fault.words();
            (message.to_owned(), remedy.replace("ADDRESS", &address.to_string()))
        }
    };
    let of_itself = finding.address.same_card(address);
    let message = if of_itself { message } else { format!("port {}: {message}", finding.address) };
    let (code, state) = (finding.fault.code(), finding.fault.weight());
    Against { code, state, message, remedy, first: Some(finding.first), told_by: Teller::KernelLog }
}

fn of_xid(number: u32, how: &str, address: PciAddress) -> (String, String) {
    let known = xid::look_up(number);
    let message = format!("NVIDIA's driver reported Xid {number}: {}{how}", known.meaning);
    (message, xid::remedy(known, address))
}

/// The bus itself reports that the GPU is gone: the chain's first link is broken, and health reports the same.
fn by_bus(gpu: &Gpu) -> Option<Against> {
    let broken = gpu.cause_chain.iter().find(|link| link.link == ChainLink::Pci && link.ok == Some(false))?;
    let code = if gpu.pci.state.responds.get() == Some(false) {
        "fallen_off_bus"
    } else if gpu.pci.power_state.known().is_some_and(|state| state == "D3cold") {
        "no_power"
    } else {
        // The driver's own words say it better.
        return None;
    };
    Some(Against {
        code: code.to_owned(),
        state: HealthState::Failed,
        message: broken.reason.clone().unwrap_or_default(),
        remedy: broken.remedy.clone().unwrap_or_default(),
        first: None,
        told_by: Teller::Bus,
    })
}

/// What the driver reported before it fell silent: a change that takes the GPU from it forgets nothing. Only the driver's next word
/// takes it back, or what the table states.
fn remembered(gpu: &Gpu, log: &KernelLog, answered: Answered, previous: Option<&GpuHealth>) -> Vec<Against> {
    if gpu.driver.is_some() {
        return Vec::new();
    }
    let since = answered.driver.unwrap_or_default();
    // A load of NVIDIA's driver speaks only for the GPUs that it has.
    let with_loads = gpu.pci.is_bound_to("nvidia");
    let said = previous.into_iter().flat_map(|health| &health.reasons).filter(|it| it.told_by == Teller::Driver);
    let stands = said
        .filter(|it| lasting(&it.code).is_some_and(|kind| !log.ended_since(gpu.pci.address, kind, since, with_loads)));
    let again = |it: &HealthReason| Against {
        code: it.code.clone(),
        state: it.state,
        message: it.message.clone(),
        remedy: it.remedy.clone(),
        first: None,
        told_by: Teller::Driver,
    };
    stands.map(again).collect()
}

/// How a reason of the driver ends; `None` for what was measured, and may be otherwise by now.
fn lasting(code: &str) -> Option<GpuFaultKind> {
    match code {
        "thermal_slowdown" | "power_brake" | "pcie_width" | "pcie_speed" | "driver_silent" | "fabric_unhealthy" => None,
        "gpu_lost" => Some(GpuFaultKind::FallenOff),
        "reset_required" | "drain_required" | "imex_recovery_required" | "recovery_action" => {
            Some(GpuFaultKind::Recovery)
        }
        "reboot_required" => Some(GpuFaultKind::Reboot),
        "row_remap_failed" | "sram_threshold_exceeded" | "unrepairable_memory" => {
            Some(GpuFaultKind::DriverMemoryLasting)
        }
        _ => Some(GpuFaultKind::DriverMemory),
    }
}
