//! Records of the firmware (ACPI APEI), which the kernel prints in parts: `{7}[Hardware Error]:   device_id: 0000:41:00.0`.
//!
//! What the firmware kept of the boot before (`BERT: [Hardware Error]: …`) has no number in braces and is none of these.

use crate::health::address::full;
use crate::health::apei::{Graveness, Part};
use crate::health::log_event::LogEvent;

/// `7}[Hardware Error]: …`, behind the first brace.
pub(crate) fn part(rest: &str) -> Option<LogEvent> {
    let (number, rest) = rest.split_once("}[Hardware Error]:")?;
    let number = number.parse().ok()?;
    let (key, value) = rest.trim().split_once(": ")?;
    let part = match key {
        "event severity" => Part::Event(Graveness::named(value)?),
        "section_type" => Part::IsPcie(value.starts_with("PCIe error")),
        "device_id" => Part::Device(full(value)?),
        "secondary_bus" => Part::BusBelow(u8::from_str_radix(value.strip_prefix("0x")?, 16).ok()?),
        key if key.starts_with("Error ") => Part::Section(Graveness::named(value)?),
        _ => return None,
    };
    Some(LogEvent::Firmware(number, part))
}
