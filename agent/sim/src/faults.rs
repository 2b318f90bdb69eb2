//! What can be made to go wrong on a simulated host.

use model::PciAddress;
use serde::{Deserialize, Serialize};

/// Everything that goes wrong; nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// `/sys/bus/pci` itself is not there.
    pub no_pci_bus: bool,
    /// Faults of single functions.
    pub pci: Vec<PciFault>,
    /// libnvidia-ml.so.1.
    pub nvml: Option<NvmlFault>,
    /// nvidia-smi. What is wrong with NVML shows here too, since nvidia-smi asks NVML.
    pub smi: Option<SmiFault>,
    /// Docker.
    pub docker: Option<DockerFault>,
}

/// A fault of one function in sysfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PciFault {
    /// Which function.
    pub address: PciAddress,
    /// What happens.
    pub what: PciFaultKind,
}

/// What happens to a function in sysfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PciFaultKind {
    /// It is listed, and gone when it is read (`pci_stop_and_remove_bus_device` between readdir and open).
    Vanishes,
    /// The attribute cannot be read.
    Unreadable(Attribute),
    /// The attribute holds this text, which means nothing for it (no number where a number belongs).
    Garbage(Attribute, String),
}

/// A sysfs attribute that a fault can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// The file `class`.
    Class,
    /// The file `vendor`.
    Vendor,
    /// The file `device`.
    Device,
    /// The file `subsystem_vendor`.
    SubsystemVendor,
    /// The file `subsystem_device`.
    SubsystemDevice,
    /// The file `numa_node`.
    NumaNode,
    /// The file `boot_vga`.
    BootVga,
    /// The file `driver_override`.
    DriverOverride,
    /// The file `power_state`.
    PowerState,
    /// The file `current_link_speed`.
    CurrentLinkSpeed,
    /// The file `max_link_speed`.
    MaxLinkSpeed,
    /// The file `current_link_width`.
    CurrentLinkWidth,
    /// The file `max_link_width`.
    MaxLinkWidth,
}

impl Attribute {
    /// Name of the file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Vendor => "vendor",
            Self::Device => "device",
            Self::SubsystemVendor => "subsystem_vendor",
            Self::SubsystemDevice => "subsystem_device",
            Self::NumaNode => "numa_node",
            Self::BootVga => "boot_vga",
            Self::DriverOverride => "driver_override",
            Self::PowerState => "power_state",
            Self::CurrentLinkSpeed => "current_link_speed",
            Self::MaxLinkSpeed => "max_link_speed",
            Self::CurrentLinkWidth => "current_link_width",
            Self::MaxLinkWidth => "max_link_width",
        }
    }
}

/// A signal that a crash ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGABRT.
    Abort,
    /// SIGSEGV.
    Segv,
}

impl Signal {
    /// Its number on Linux.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Abort => 6,
            Self::Segv => 11,
        }
    }
}

/// What is wrong with libnvidia-ml.so.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NvmlFault {
    /// The file is not there.
    Missing,
    /// The file is there and is no library.
    NotALibrary,
    /// `nvmlInit_v2` returns this code (9 driver not loaded, 15 lost, 18 version mismatch, 999 unknown, …).
    Init(i32),
    /// This function (as `nvmlDeviceGetTemperature`) crashes.
    Crash {
        /// Name of the C function.
        call: String,
        /// How it ends.
        signal: Signal,
    },
    /// This function never returns.
    Hang {
        /// Name of the C function.
        call: String,
    },
    /// This function does nothing and returns this code.
    Return {
        /// Name of the C function.
        call: String,
        /// `nvmlReturn_t`.
        code: u32,
        /// So many calls of it work first.
        #[serde(default)]
        skip: u32,
    },
    /// This function reports success and does nothing.
    NoEffect {
        /// Name of the C function.
        call: String,
        /// So many calls of it work first.
        #[serde(default)]
        skip: u32,
    },
    /// This function does what it is asked for, and the process dies before it returns.
    CrashAfter {
        /// Name of the C function.
        call: String,
    },
    /// This function takes so long.
    Slow {
        /// Name of the C function.
        call: String,
        /// How long in milliseconds.
        takes_ms: u32,
    },
}

impl NvmlFault {
    /// Only single calls show it: the driver's report as a whole is what it would be without.
    #[must_use]
    pub const fn is_of_single_calls(&self) -> bool {
        match self {
            Self::Return { .. } | Self::NoEffect { .. } | Self::CrashAfter { .. } | Self::Slow { .. } => true,
            Self::Missing | Self::NotALibrary | Self::Init(_) | Self::Crash { .. } | Self::Hang { .. } => false,
        }
    }
}

/// What is wrong with nvidia-smi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmiFault {
    /// The program is not there.
    Missing,
    /// It never ends.
    Hang {
        /// SIGTERM does not end it either.
        #[serde(default)]
        ignores_sigterm: bool,
    },
    /// It writes this text to stdout and ends with this status.
    Exit {
        /// Exit status.
        status: u8,
        /// What it writes.
        text: String,
    },
    /// The document ends after so many bytes.
    Truncated {
        /// Bytes that are written.
        bytes: u32,
    },
    /// It writes what is no XML.
    Garbage,
    /// Every fact is `N/A`.
    NotAvailable,
    /// A document whose internal DTD would swell to gigabytes.
    EntityBomb,
}

/// What is wrong with Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerFault {
    /// The socket is there and nobody listens.
    Refused,
    /// It never answers.
    Hang,
}
