//! Records of NVIDIA's drivers: Xid, SXid, GPUs that are lost or cannot be initialised, and the driver's own coming and going.

use super::leading_number;
use crate::PciAddress;
use crate::health::address::{card, full};
use crate::health::device_fault::{Fault, Recovery};
use crate::health::log_event::LogEvent;
use crate::health::over::Evidence;

/// The Xids of NVLink 5, whose records say themselves whether they are fatal.
const SEVERITY_TOLD: std::ops::RangeInclusive<u32> = 144..=150;

/// What the driver reports behind `NVRM: `.
pub(crate) fn driver(text: &str) -> Option<LogEvent> {
    if let Some(rest) = text.strip_prefix("Xid (") {
        return xid(rest);
    }
    if text.starts_with("loading NVIDIA") {
        return Some(LogEvent::NvidiaLoaded);
    }
    // osapi.c, rm_is_supported_device: three lines, which are one record, or three.
    if let Some(rest) = text.strip_prefix("The NVIDIA GPU ") {
        let address = full(rest.split_whitespace().next()?)?;
        let fallen = rest.contains("fallen off the bus");
        return Some(if fallen { LogEvent::Fault(address, Fault::FallenOffAtProbe) } else { LogEvent::About(address) });
    }
    if text.starts_with("fallen off the bus") {
        return Some(LogEvent::ItHasFallenOff);
    }
    if let Some(rest) = text.strip_prefix("GPU ") {
        return of_gpu(rest);
    }
    let fault = |place: &str, fault| Some(LogEvent::Fault(full(place.split_whitespace().next()?)?, fault));
    if let Some(rest) = text.strip_prefix("Device start failed for ") {
        return fault(rest, Fault::InitFailed);
    }
    if let Some(rest) = text.strip_prefix("Attempting to remove device ") {
        return fault(rest, Fault::RemovedInUse).filter(|_| rest.contains("usage count"));
    }
    let rest = text.strip_prefix("Continuing with GPU removal for device ")?;
    Some(LogEvent::Over(full(rest.trim())?, Evidence::RemovalWentOn))
}

/// The GPU that the driver speaks of as its own.
pub(crate) fn of_its_gpu(text: &str) -> Option<PciAddress> {
    match text.strip_prefix("GPU ") {
        Some(rest) => full(rest.split_once(": ")?.0),
        None => text.strip_prefix("Xid (").and_then(placed).map(|(address, _)| address),
    }
}

/// `0000:41:00.0: what happened`, behind `NVRM: GPU `.
fn of_gpu(text: &str) -> Option<LogEvent> {
    let (place, rest) = text.split_once(": ")?;
    let address = full(place)?;
    if rest.starts_with("GPU has fallen off the bus") {
        return Some(LogEvent::Fault(address, Fault::FallenOffTheBus));
    }
    let failed = rest.starts_with("RmInitAdapter failed") || rest.starts_with("rm_init_adapter failed");
    failed.then_some(LogEvent::Fault(address, Fault::InitFailed))
}

/// `PCI:0000:41:00): 79, pid=1, name=x, GPU has …`; before driver 319 without `PCI:`, under MIG with ` GPU-I:05` behind.
fn xid(rest: &str) -> Option<LogEvent> {
    let (address, rest) = placed(rest)?;
    let number: u32 = leading_number(rest.trim_start())?;
    if number == 154 {
        return Some(recovery(address, rest));
    }
    if let Some(cause) = cause(rest) {
        return Some(LogEvent::Fault(address, Fault::Xid(cause)));
    }
    let fault = match severity(rest).filter(|_| SEVERITY_TOLD.contains(&number)) {
        Some(true) => Fault::XidFatal(number),
        Some(false) => Fault::XidNonFatal(number),
        None => Fault::Xid(number),
    };
    Some(LogEvent::Fault(address, fault))
}

/// The GPU of an Xid, and what is reported about it.
fn placed(rest: &str) -> Option<(PciAddress, &str)> {
    let (place, rest) = rest.split_once("):")?;
    let place = place.split_whitespace().next()?;
    Some((card(place.strip_prefix("PCI:").unwrap_or(place))?, rest))
}

/// `45, pid=7, name=python3, Ch 00000001 caused by previous Xid 149`: the clean-up after an Xid; that one is the news. The
/// words are the end of the record (kernel_rc.c, krcReportXid), where no program's name can stand.
fn cause(rest: &str) -> Option<u32> {
    let (_, number) = rest.trim_end().rsplit_once(" caused by previous Xid ")?;
    number.parse().ok()
}

/// `…, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x… 0x…)`: behind the last comma, where no program's name can stand.
fn severity(rest: &str) -> Option<bool> {
    let message = rest.rsplit(", ").next()?;
    message.split_whitespace().find_map(|word| match word {
        "Fatal" => Some(true),
        "Nonfatal" | "Non-fatal" => Some(false),
        _ => None,
    })
}

/// `GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)`.
fn recovery(address: PciAddress, rest: &str) -> LogEvent {
    let wanted = rest.rsplit_once('(').map(|(_, last)| last.to_ascii_lowercase()).unwrap_or_default();
    if wanted.starts_with("none") {
        return LogEvent::Over(address, Evidence::NothingToRecover);
    }
    let names = |word: &str| wanted.contains(word);
    let wants = if names("reboot") {
        Recovery::Reboot
    } else if names("imex") {
        Recovery::Imex
    } else if names("drain") && !names("reset") {
        Recovery::Drain
    } else {
        Recovery::Reset
    };
    LogEvent::Wants(address, wants)
}

/// `3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44 …`, behind `nvidia-nvswitch`; the words are `Fatal` and `Non-fatal`. One SXid
/// is up to three records, and the others (`Severity …`, `Data {…}`) do not say how grave it is.
pub(crate) fn nvswitch(text: &str) -> Option<LogEvent> {
    if let Some(rest) = text.strip_prefix(": Probing device ") {
        return Some(LogEvent::Over(full(rest.split(',').next()?)?, Evidence::SwitchProbed));
    }
    let text = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let (place, rest) = text.strip_prefix(": SXid (")?.split_once("):")?;
    let address = card(place.strip_prefix("PCI:").unwrap_or(place))?;
    let rest = rest.trim_start();
    let number = leading_number(rest)?;
    let word = rest.split(',').nth(1)?.trim();
    if word.eq_ignore_ascii_case("fatal") {
        return Some(LogEvent::Fault(address, Fault::SxidFatal(number)));
    }
    let more = word.starts_with("Severity ") || word.starts_with("Data {");
    (!more).then_some(LogEvent::Fault(address, Fault::SxidNonFatal(number)))
}

/// `Nvlink Core is being initialized, …`, `Unregistered Nvlink Core, …`: the first and the last record of one load of the module
/// (nvlink_linux.c; nvidia.ko holds it).
pub(crate) fn nvlink(text: &str) -> Option<LogEvent> {
    let turns = text.starts_with("Nvlink Core is being initialized") || text.starts_with("Unregistered ");
    turns.then_some(LogEvent::NvidiaBegins)
}
