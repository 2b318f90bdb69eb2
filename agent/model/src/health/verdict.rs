//! The health of one GPU, out of what the driver says of it and what the kernel log has against it.

use super::kernel_log::{Finding, KernelLog, weight};
use super::line::{Fault, Recovery};
use super::{GpuHealth, HealthReason, HealthState, link, told, xid};
use crate::PciAddress;
use crate::judge::Seen;
use crate::observation::{Gpu, GpuUse};
use crate::pci::VENDOR_NVIDIA;
use crate::time::{BootMillis, UnixMillis};

/// A reason before it gets its time.
pub(super) struct Against {
    pub(super) code: String,
    pub(super) state: HealthState,
    pub(super) message: String,
    pub(super) remedy: String,
    pub(super) first: Option<BootMillis>,
}

/// The health of a GPU. `previous` gives a reason that still stands the time since when it does.
#[must_use]
pub fn health(gpu: &Gpu, log: &KernelLog, seen: Seen, previous: Option<&GpuHealth>) -> GpuHealth {
    let address = gpu.pci.address;
    let mut against: Vec<Against> = log.against(address, seen.observed_boot).map(|it| heard(it, address)).collect();
    against.extend(gpu.driver.iter().flat_map(told::against));
    against.extend(gpu.silence.iter().filter_map(told::silence));
    against.extend(link::against(gpu));
    against.sort_by(|one, other| other.state.cmp(&one.state).then_with(|| one.code.cmp(&other.code)));
    against.dedup_by(|one, other| one.code == other.code);
    let reasons: Vec<HealthReason> = against.into_iter().map(|it| timed(it, seen, previous)).collect();
    let state = reasons.first().map_or_else(|| without_reason(gpu, log), |gravest| gravest.state);
    GpuHealth { state, reasons, xid_last: log.last_xid(address) }
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

fn timed(it: Against, seen: Seen, previous: Option<&GpuHealth>) -> HealthReason {
    let stood = previous.into_iter().flat_map(|health| &health.reasons).find(|reason| reason.code == it.code);
    let ago = it.first.map_or(0, |first| seen.observed_boot.since(first));
    let began = UnixMillis(seen.observed_at.0.saturating_sub(i64::try_from(ago).unwrap_or(0)));
    HealthReason {
        since: stood.map_or(began, |reason| reason.since),
        code: it.code,
        state: it.state,
        message: it.message,
        remedy: it.remedy,
    }
}

/// A finding of the kernel log as a reason.
fn heard(finding: &Finding, address: PciAddress) -> Against {
    let (code, message, remedy) = match finding.fault {
        Fault::Xid(number) => {
            let known = xid::look_up(number);
            let message = format!("NVIDIA's driver reported Xid {number}: {}", known.meaning);
            (format!("xid_{number}"), message, xid::remedy(known, address))
        }
        Fault::SxidFatal(number) | Fault::SxidNonFatal(number) => (
            format!("sxid_{number}"),
            format!("the NVSwitch reported SXid {number}"),
            "see the SXid in NVIDIA's Fabric Manager guide; where it is fatal, stop all work on the fabric and reboot"
                .to_owned(),
        ),
        Fault::Recovery(_)
        | Fault::FallenOffTheBus
        | Fault::PcieFatal
        | Fault::PcieNonFatal
        | Fault::Hang
        | Fault::ResetFailed
        | Fault::RasUncorrectable => {
            let (code, message, remedy) = words(finding.fault);
            (code.to_owned(), message.to_owned(), remedy.replace("ADDRESS", &address.to_string()))
        }
    };
    Against { code, state: weight(finding.fault), message, remedy, first: Some(finding.first) }
}

/// Code, sentence and remedy of the faults that have no number; ADDRESS stands for the GPU's.
const fn words(fault: Fault) -> (&'static str, &'static str, &'static str) {
    match fault {
        Fault::Recovery(Recovery::Reset) => RESET,
        Fault::Recovery(Recovery::Reboot) => REBOOT,
        Fault::Recovery(Recovery::Drain) => DRAIN,
        Fault::FallenOffTheBus => (
            "fallen_off_bus",
            "the kernel log says that the GPU has fallen off the bus",
            "look above it in `dmesg` for PCIe and power errors; power the machine off and on",
        ),
        Fault::PcieFatal => (
            "pcie_fatal",
            "PCIe reported an uncorrected fatal error of the GPU",
            "reset the GPU (`nvidia-smi -r -i ADDRESS`) or reboot; if it comes back, reseat the card and look at slot and riser",
        ),
        Fault::PcieNonFatal => (
            "pcie_uncorrected",
            "PCIe reported an uncorrected error of the GPU in the last hour",
            "if it comes back, reseat the card and look at slot, riser and power (`dmesg | grep AER`)",
        ),
        Fault::Hang => (
            "gpu_hang",
            "the driver found the GPU hanging in the last hour and reset it",
            "`dmesg | grep ADDRESS` names the process; if many do it, update driver and firmware",
        ),
        Fault::ResetFailed => (
            "reset_failed",
            "the driver could not reset the GPU and has given it up",
            "reboot; if it comes back, power the machine off and on, then have the card looked at",
        ),
        Fault::RasUncorrectable => (
            "ras_uncorrectable",
            "the driver reported uncorrectable memory errors",
            "stop what uses the GPU and reset it (`amd-smi reset --gpureset`) or reboot; if it comes back, replace the card",
        ),
        Fault::Xid(_) | Fault::SxidFatal(_) | Fault::SxidNonFatal(_) => ("", "", ""),
    }
}

/// Code, sentence and remedy; ADDRESS stands for the GPU's.
pub(super) type Words = (&'static str, &'static str, &'static str);

pub(super) const RESET: Words = (
    "reset_required",
    "the driver wants the GPU reset",
    "stop what uses the GPU, then `nvidia-smi -r -i ADDRESS`; where that is refused, reboot",
);
pub(super) const REBOOT: Words =
    ("reboot_required", "the driver wants the machine rebooted", "reboot the machine when it is free");
pub(super) const DRAIN: Words = (
    "drain_required",
    "the driver wants no further work on the GPU, and then a reset",
    "let what runs end and give it nothing new, then `nvidia-smi -r -i ADDRESS`",
);
