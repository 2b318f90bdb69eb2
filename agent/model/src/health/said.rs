//! What one record reports about a device, or of what is reported about a device in the records around it.

use super::fault::{Fault, Recovery};
use super::forms::{bus, drm, firmware, iommu, nvidia};
use super::line::{Record, is_of_a_process};
use super::over::Evidence;
use crate::PciAddress;

/// What a record states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Something befell the device at the address. Where the record names a card without a function, that is function 0.
    Fault(PciAddress, Fault),
    /// NVIDIA's driver wants this done with the GPU, in place of what it wanted before.
    Wants(PciAddress, Recovery),
    /// Something is over for the device at the address.
    Over(PciAddress, Evidence),
    /// NVIDIA's driver reports that it has been loaded, after it probed every GPU.
    NvidiaLoaded,
    /// NVIDIA's module begins to load, or has gone: what follows belongs to another load.
    NvidiaBegins,
    /// First part of a message in several records: this device, and what of it follows.
    About(PciAddress),
    /// Later part of such a message: the device of the part before has fallen off the bus.
    ItHasFallenOff,
    /// The kernel begins to reset the device.
    ResetBegins(PciAddress),
    /// The kernel reports that a reset of the device is done, also where it gave up waiting for it.
    ResetDone(PciAddress, Reset),
    /// A port, and the first and last bus below it.
    Bridge(PciAddress, u8, u8),
    /// Part of a record of the firmware, by its number.
    Firmware(u64, firmware::Part),
    /// Status and mask of AER registers that the firmware read.
    AerStatus(PciAddress, u32, u32),
    /// Which of these errors are fatal: the error was not corrected.
    AerSeverity(PciAddress, u32),
    /// The device takes part in the recovery of a PCIe error, and its driver cannot.
    CannotRecover(PciAddress),
    /// The recovery that this port led has ended, with success or without.
    Recovered(PciAddress, bool),
    /// The port cut off what is below it; the device that sent the error, where it is known.
    Contained(PciAddress, Option<(PciAddress, Fault)>),
}

/// Under which driver a device was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// A VFIO driver, which has no state of its own in the device.
    Vfio,
    /// Another driver, which was not notified of it.
    Unaware,
}

/// What a record reports about a device, if anything.
#[must_use]
pub fn said_by(record: &Record<'_>) -> Option<Said> {
    said(&record.text).or_else(|| said_of(record.device?, &record.text))
}

/// What the text of a record reports about a device, if anything.
#[must_use]
pub fn said(text: &str) -> Option<Said> {
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
    iommu::said(text).or_else(|| drm::initialized(text)).or_else(|| device(text))
}

/// What a record reports that names no device in its text, and of which the kernel notes the device beside it.
fn said_of(address: PciAddress, text: &str) -> Option<Said> {
    (!is_of_a_process(text))
        .then(|| bus::said(None, address, text).or_else(|| drm::said(None, address, text)))
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
fn device(text: &str) -> Option<Said> {
    let (driver, address, rest) = parts(text)?;
    bus::said(Some(driver), address, rest).or_else(|| drm::said(Some(driver), address, rest))
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
