//! Reads one record: which form it has, and what it reports about a device.

use super::forms::{bus, drm, firmware, iommu, nvidia};
use super::line::{Record, is_of_a_process};
use super::log_event::LogEvent;
use crate::PciAddress;

/// What a record reports about a device, if anything.
#[must_use]
pub fn event_of(record: &Record<'_>) -> Option<LogEvent> {
    event_in(&record.text).or_else(|| event_about(record.device?, &record.text))
}

/// What the text of a record reports about a device, if anything.
#[must_use]
pub fn event_in(text: &str) -> Option<LogEvent> {
    let text = text.trim_start();
    if is_of_a_process(text) {
        return None;
    }
    if let Some(rest) = text.strip_prefix("NVRM:") {
        return nvidia::driver(rest.trim_start());
    }
    if let Some(rest) = text.strip_prefix("nvidia-nvswitch") {
        return nvidia::nvswitch(rest);
    }
    if let Some(rest) = text.strip_prefix("nvidia-nvlink: ") {
        return nvidia::nvlink(rest);
    }
    if let Some(rest) = text.strip_prefix('{') {
        return firmware::part(rest);
    }
    iommu::event(text).or_else(|| drm::initialized(text)).or_else(|| device(text))
}

/// What a record reports that names no device in its text, and of which the kernel notes the device beside it.
fn event_about(address: PciAddress, text: &str) -> Option<LogEvent> {
    (!is_of_a_process(text))
        .then(|| bus::event(None, address, text).or_else(|| drm::event(None, address, text)))
        .flatten()
}

/// Which driver speaks in a record, and of which of its devices.
pub(crate) fn speaker(text: &str) -> Option<(&str, PciAddress)> {
    let text = text.trim_start();
    if is_of_a_process(text) {
        return None;
    }
    match text.strip_prefix("NVRM:") {
        Some(rest) => nvidia::of_its_gpu(rest.trim_start()).map(|address| ("nvidia", address)),
        None => parts(text).map(|(driver, address, _)| (driver, address)),
    }
}

/// What a driver reports about its device.
fn device(text: &str) -> Option<LogEvent> {
    let (driver, address, rest) = parts(text)?;
    bus::event(Some(driver), address, rest).or_else(|| drm::event(Some(driver), address, rest))
}

/// `driver 0000:41:00.0: what happened`, the form of every driver that speaks of its device; some put `[drm] ` before it.
fn parts(text: &str) -> Option<(&str, PciAddress, &str)> {
    let text = text.strip_prefix("[drm] ").unwrap_or(text);
    let (driver, rest) = text.split_once(' ')?;
    let (place, rest) = rest.split_once(": ")?;
    // `pciehp 0000:00:1c.4:pcie04: …` before 4.19.
    let place = place.split_once(":pcie").map_or(place, |(place, _)| place);
    let address = super::address::full(place)?;
    Some((driver, address, rest.trim_start()))
}
