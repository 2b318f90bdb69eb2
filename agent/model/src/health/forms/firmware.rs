//! Records of the firmware (ACPI APEI), which the kernel prints in parts: `{7}[Hardware Error]:   device_id: 0000:41:00.0`.
//!
//! What the firmware kept of the boot before (`BERT: [Hardware Error]: …`) has no number in braces and is none of these.

use crate::PciAddress;
use crate::health::address::full;
use crate::health::fault::Fault;
use crate::health::said::Said;

/// One part of a record of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// How grave the whole record is.
    Event(Graveness),
    /// The next section, and how grave it is.
    Section(Graveness),
    /// Whether the section is one of PCIe.
    IsPcie(bool),
    /// The function that it is about.
    Device(PciAddress),
    /// The bus below that function, which is a port.
    BusBelow(u8),
}

/// How the firmware calls an error (cper_severity_str in the kernel's cper.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graveness {
    /// It was corrected, or it is only for information.
    Corrected,
    /// It was not corrected, and can be recovered.
    Recoverable,
    /// It is fatal.
    Fatal,
}

impl Graveness {
    fn named(word: &str) -> Option<Self> {
        match word.trim() {
            "corrected" | "info" => Some(Self::Corrected),
            "recoverable" => Some(Self::Recoverable),
            "fatal" => Some(Self::Fatal),
            _ => None,
        }
    }

    /// As PCIe calls it (cper_severity_to_aer in the kernel's aer.c).
    #[must_use]
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::Corrected => None,
            Self::Recoverable => Some(Fault::PcieNonFatal),
            Self::Fatal => Some(Fault::PcieFatal),
        }
    }
}

/// `7}[Hardware Error]: …`, behind the first brace.
pub(crate) fn part(rest: &str) -> Option<Said> {
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
    Some(Said::Firmware(number, part))
}
