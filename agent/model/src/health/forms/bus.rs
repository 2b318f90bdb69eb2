//! Records of the kernel's PCI code: errors (AER, DPC), slots, power, resets, and what is found on the bus. They come under the
//! name of whatever driver the device has.

use super::hex;
use crate::PciAddress;
use crate::health::address::{full, requester};
use crate::health::device_fault::Fault;
use crate::health::log_event::{LogEvent, Reset};
use crate::health::over::Evidence;

/// What `driver 0000:41:00.0: …` reports about the device itself.
pub(crate) fn event(driver: Option<&str>, address: PciAddress, text: &str) -> Option<LogEvent> {
    let is_port = matches!(driver, None | Some("pcieport" | "pciehp" | "pci"));
    errors(address, text)
        .or_else(|| is_port.then(|| port(address, text)).flatten())
        .or_else(|| power(address, text))
        .or_else(|| reset(driver, address, text))
        .or_else(|| found(driver, address, text))
}

/// Of PCIe errors of the device itself; `AER: ` is before them in some versions.
fn errors(address: PciAddress, text: &str) -> Option<LogEvent> {
    if let Some((_, severity)) = text.split_once("PCIe Bus Error: ") {
        let severity = severity.strip_prefix("severity=").unwrap_or(severity);
        return graveness(severity).map(|fault| LogEvent::Fault(address, fault));
    }
    let text = text.strip_prefix("AER: ").unwrap_or(text);
    if text.starts_with("aer_status: ") {
        return Some(LogEvent::AerStatus(address, hex(text, "aer_status")?, hex(text, "aer_mask").unwrap_or(0)));
    }
    if text.starts_with("aer_uncor_severity: ") {
        return Some(LogEvent::AerSeverity(address, hex(text, "aer_uncor_severity")?));
    }
    text.contains("no error_detected callback").then_some(LogEvent::CannotRecover(address))
}

fn graveness(severity: &str) -> Option<Fault> {
    let word = severity.split(',').next().unwrap_or_default();
    match (word.starts_with("Uncorrect"), word.contains("Non-Fatal")) {
        (true, true) => Some(Fault::PcieNonFatal),
        (true, false) => Some(Fault::PcieFatal),
        (false, _) => None,
    }
}

/// What a port reports about itself, of its slot, and of the devices below it.
fn port(address: PciAddress, text: &str) -> Option<LogEvent> {
    if let Some(rest) = text.strip_prefix("PCI bridge to [bus ") {
        return bridge(address, rest);
    }
    if let Some(rest) = text.strip_prefix("DPC: containment event") {
        return Some(contained(address, rest));
    }
    let of_slot = text.strip_prefix("pciehp: ").unwrap_or(text);
    let is_of_slot = |start: &str| of_slot.starts_with(start);
    if ["Slot(", "slot(", "Card ", "Power fault on ", "Cannot train link", "No device found"]
        .into_iter()
        .any(is_of_slot)
    {
        return slot(address, of_slot);
    }
    let told = text.strip_prefix("AER: ").unwrap_or(text);
    if told.eq_ignore_ascii_case("device recovery successful") || told.eq_ignore_ascii_case("device recovery failed") {
        return Some(LogEvent::Recovered(address, !told.ends_with("failed")));
    }
    text.strip_prefix("AER: ").and_then(|told| reported_by_port(address, told))
}

/// `Uncorrected (Fatal) error received: 0000:41:00.0`, since 6.8 `… error message received from 0000:41:00.0`, before 4.20
/// `… error received: id=4100`.
fn reported_by_port(port: PciAddress, told: &str) -> Option<LogEvent> {
    let told = told.strip_prefix("Multiple ").unwrap_or(told);
    let last = told.split_whitespace().next_back()?;
    let by_id = last.strip_prefix("id=").and_then(|id| requester(id, port.domain));
    let address = by_id.or_else(|| full(last))?;
    graveness(told).map(|fault| LogEvent::Fault(address, fault))
}

/// `01-05] …` or `01]`.
fn bridge(port: PciAddress, rest: &str) -> Option<LogEvent> {
    let (buses, _) = rest.split_once(']')?;
    let (first, last) = buses.split_once('-').unwrap_or((buses, buses));
    let bus = |digits: &str| u8::from_str_radix(digits, 16).ok();
    let (first, last) = (bus(first)?, bus(last)?);
    (0 < first && first <= last).then_some(LogEvent::Bridge(port, first, last))
}

/// `, status:0x1f05 source:0x0200`, since 6.17 `, status:0x000d, ERR_FATAL received from 0000:02:00.0`. Bits 2 and 1 of the status
/// say what triggered it; the source counts only where a device below sent a message.
fn contained(port: PciAddress, rest: &str) -> LogEvent {
    let fault = |fatal: bool| if fatal { Fault::PcieFatal } else { Fault::PcieNonFatal };
    if let Some((what, from)) = rest.split_once(" received from ") {
        let source = full(from.trim()).map(|address| (address, fault(!what.contains("NONFATAL"))));
        return LogEvent::Contained(port, source);
    }
    let trigger = hex(rest, "status").map(|status| (status >> 1) & 3);
    let source = rest.split_once("source:0x").and_then(|(_, id)| requester(id, port.domain));
    let source = match trigger {
        Some(1) => source.map(|address| (address, fault(false))),
        Some(2) => source.map(|address| (address, fault(true))),
        Some(_) | None => None,
    };
    LogEvent::Contained(port, source)
}

/// `Slot(0): Link Down`; before 4.19 `slot(6): Link Down event` and `Card not present on Slot(6)`.
fn slot(port: PciAddress, text: &str) -> Option<LogEvent> {
    let what = text.split_once("): ").map_or(text, |(_, what)| what);
    let fault = |fault| Some(LogEvent::Fault(port, fault));
    match what.trim_end() {
        "Link Down" | "Link Down event" => fault(Fault::SlotLinkDown),
        // What the kernel tries then, and cannot.
        "Cannot train link" => fault(Fault::SlotLinkDown),
        "No device found" => fault(Fault::SlotEmpty),
        "Link Up" | "Link Up event" => Some(LogEvent::Over(port, Evidence::LinkBack)),
        what if what.starts_with("Link Down/Up ignored") => Some(LogEvent::Over(port, Evidence::LinkBack)),
        what if what.starts_with("Card not present") => fault(Fault::SlotEmpty),
        what if what.starts_with("Card present") => Some(LogEvent::Over(port, Evidence::CardPresent)),
        what if what.starts_with("Power fault") => fault(Fault::SlotPower),
        _ => None,
    }
}

/// Waking it up.
fn power(address: PciAddress, text: &str) -> Option<LogEvent> {
    let refused = text.starts_with("Refused to change power state");
    let unable = text.starts_with("Unable to change power state from ") && text.contains("device inaccessible");
    // Kernels before 6.2.
    let cannot = text.starts_with("can't change power state from ") && text.contains("config space inaccessible");
    (refused || unable || cannot).then_some(LogEvent::Fault(address, Fault::Inaccessible))
}

/// `vfio-pci`, or a variant driver of VFIO.
pub(crate) fn is_vfio(driver: &str) -> bool {
    driver == "vfio-pci" || driver.ends_with("_vfio_pci") || driver.ends_with("-vfio-pci")
}

/// Resets. `reset done` is reported about every reset (pci_dev_restore in pci.c), also of one after which the device did not
/// answer.
fn reset(driver: Option<&str>, address: PciAddress, text: &str) -> Option<LogEvent> {
    match text.trim_end() {
        "resetting" => return Some(LogEvent::ResetBegins(address)),
        "reset done" => {
            let by = if driver.is_some_and(is_vfio) { Reset::Vfio } else { Reset::Unaware };
            return Some(LogEvent::ResetDone(address, by));
        }
        _ => {}
    }
    let is_wait = |rest: &str| rest.split_once("ms after ").is_some_and(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
    if text.strip_prefix("ready ").is_some_and(is_wait) {
        return Some(LogEvent::Over(address, Evidence::Ready));
    }
    let gave_up = text.strip_prefix("not ready ").is_some_and(is_wait) && text.trim_end().ends_with("; giving up");
    gave_up.then_some(LogEvent::Fault(address, Fault::NotReady))
}

/// `[10de:2330] type 00 class 0x030200 PCIe Endpoint`: the device was enumerated.
fn found(driver: Option<&str>, address: PciAddress, text: &str) -> Option<LogEvent> {
    let is_new = driver == Some("pci") && text.starts_with('[') && text.contains("] type ");
    is_new.then_some(LogEvent::Over(address, Evidence::Enumerated))
}
