//! What the firmware reports of an error (ACPI APEI), part by part.

use super::device_fault::Fault;
use crate::PciAddress;

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
    /// The graveness that the kernel calls so.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
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
