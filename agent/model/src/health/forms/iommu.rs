//! Records of the IOMMU drivers: accesses that they refused, and devices that do not answer them.

use crate::health::address::{full, loose, requester};
use crate::health::device_fault::Fault;
use crate::health::log_event::LogEvent;

/// What an IOMMU reports about a device. Intel's names no domain: that is domain 0, where the devices of its machines are.
pub(crate) fn event(text: &str) -> Option<LogEvent> {
    match text.strip_prefix("DMAR:") {
        Some(rest) => intel(rest.trim_start()),
        None => amd(text),
    }
}

/// `[DMA Read NO_PASID] Request device [41:00.0] fault addr …`, `VT-d detected Invalidation Time-out Error: SID 4100`.
fn intel(text: &str) -> Option<LogEvent> {
    if text.starts_with("VT-d detected Invalidation Time-out Error") {
        let (_, id) = text.split_once("SID ")?;
        return Some(LogEvent::Fault(requester(id, 0)?, Fault::IommuTimeout));
    }
    let (_, rest) = text.strip_prefix('[')?.split_once("] Request device [")?;
    let (place, _) = rest.split_once(']')?;
    Some(LogEvent::Fault(loose(place)?, Fault::IommuFault))
}

/// `AMD-Vi: Event logged [IO_PAGE_FAULT device=41:00.0 domain=… address=…]`; before it is `iommu ivhd0: `, or the driver and
/// the address of the device.
fn amd(text: &str) -> Option<LogEvent> {
    let (before, rest) = text.split_once("AMD-Vi: Event logged [")?;
    let fault = match rest.split_whitespace().next()? {
        "IO_PAGE_FAULT" | "INVALID_DEVICE_REQUEST" | "ILLEGAL_DEV_TABLE_ENTRY" => Fault::IommuFault,
        "IOTLB_INV_TIMEOUT" => Fault::IommuTimeout,
        _ => return None,
    };
    // Nothing, or a driver and its device: no other text may stand before the words of the driver.
    let mut before = before.split_whitespace();
    let (place, alone) = (before.nth(1), before.next().is_none());
    let device = rest.split_whitespace().find_map(|word| word.strip_prefix("device=")).and_then(loose);
    let address = device.or_else(|| full(place?))?;
    alone.then_some(LogEvent::Fault(address, fault))
}
