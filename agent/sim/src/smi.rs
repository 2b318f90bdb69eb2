//! How the simulated nvidia-smi behaves: what its own faults and those of NVML make of it.

use crate::bus::Bus;
use crate::description::Description;
use crate::driver::report;
use crate::faults::{NvmlFault, Signal, SmiFault};
use model::driver::DriverSource;

/// How nvidia-smi behaves when it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmiBehaviour {
    /// There is no such program.
    Missing,
    /// It never ends.
    Hang {
        /// SIGTERM does not end it either.
        ignores_sigterm: bool,
    },
    /// A signal ends it.
    Crash(Signal),
    /// It writes a sentence to stdout and ends with a status.
    Exit {
        /// Exit status.
        status: u8,
        /// What it writes.
        text: String,
    },
    /// It writes a document, whole or spoilt.
    Document(Spoilt),
}

/// What is wrong with the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// Nothing.
    Not,
    /// It ends after so many bytes.
    Truncated(u32),
    /// It is no XML.
    Garbage,
    /// Every fact is `N/A`.
    NotAvailable,
    /// An entity bomb.
    EntityBomb,
}

/// How nvidia-smi behaves on this host. It asks NVML, so NVML's faults are its own; a fault of a single NVML call
/// stops it too, since `-q` makes all of them.
#[must_use]
pub fn behaviour(description: &Description, bus: &Bus) -> SmiBehaviour {
    let Some(driver) = &description.driver else { return SmiBehaviour::Missing };
    let branch = driver.branch().unwrap_or(0);
    let of_nvml = description.faults.nvml.as_ref().filter(|fault| !fault.is_of_single_calls());
    match (&description.faults.smi, of_nvml) {
        (Some(fault), _) => of_its_own(fault),
        (None, None) if report(description, bus, DriverSource::Smi).gpus.is_empty() => {
            SmiBehaviour::Exit { status: 6, text: "No devices were found\n".to_owned() }
        }
        (
            None,
            None
            | Some(
                NvmlFault::Return { .. }
                | NvmlFault::NoEffect { .. }
                | NvmlFault::CrashAfter { .. }
                | NvmlFault::Slow { .. },
            ),
        ) => SmiBehaviour::Document(Spoilt::Not),
        (None, Some(NvmlFault::Missing | NvmlFault::NotALibrary)) => init_failure(12, branch),
        (None, Some(NvmlFault::Init(code))) => init_failure(*code, branch),
        (None, Some(NvmlFault::Crash { signal, .. })) => SmiBehaviour::Crash(*signal),
        (None, Some(NvmlFault::Hang { .. })) => SmiBehaviour::Hang { ignores_sigterm: false },
    }
}

fn of_its_own(fault: &SmiFault) -> SmiBehaviour {
    match fault {
        SmiFault::Missing => SmiBehaviour::Missing,
        SmiFault::Hang { ignores_sigterm } => SmiBehaviour::Hang { ignores_sigterm: *ignores_sigterm },
        SmiFault::Exit { status, text } => SmiBehaviour::Exit { status: *status, text: text.clone() },
        SmiFault::Truncated { bytes } => SmiBehaviour::Document(Spoilt::Truncated(*bytes)),
        SmiFault::Garbage => SmiBehaviour::Document(Spoilt::Garbage),
        SmiFault::NotAvailable => SmiBehaviour::Document(Spoilt::NotAvailable),
        SmiFault::EntityBomb => SmiBehaviour::Document(Spoilt::EntityBomb),
    }
}

/// What nvidia-smi reports and returns where `nvmlInit_v2` fails: all text on stdout, and the status is the code only
/// where that branch knows the code (the binaries of 390 to 555 were tried).
fn init_failure(code: i32, branch: u32) -> SmiBehaviour {
    let text = match code {
        9 => "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest \
              NVIDIA driver is installed and running.\n\n"
            .to_owned(),
        12 => "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA \
               Display Driver is properly installed and present in your system.\nPlease also try adding directory \
               that contains libnvidia-ml.so to your system PATH.\n"
            .to_owned(),
        other => format!("Failed to initialize NVML: {}\n", nvml_error_text(other)),
    };
    let drifts = matches!(code, 16 | 18 | 19) && branch < 535;
    let status = match (u8::try_from(code), code, branch) {
        (_, 16 | 18 | 19, ..=399) => 231,
        (_, 19, _) => 19,
        (_, 16, _) => 255,
        (Ok(status), _, _) if !drifts => status,
        (Ok(_) | Err(_), _, _) => 255,
    };
    SmiBehaviour::Exit { status, text }
}

/// The text of an NVML return code, as `nvmlErrorString` gives it.
#[must_use]
pub const fn nvml_error_text(code: i32) -> &'static str {
    match code {
        0 => "The operation was successful",
        1 => "Uninitialized",
        2 => "Invalid Argument",
        3 => "Not Supported",
        4 => "Insufficient Permissions",
        6 => "Not Found",
        7 => "Insufficient Size",
        9 => "Driver Not Loaded",
        10 => "Timeout",
        12 => "NVML Shared Library Not Found",
        13 => "Function Not Found",
        15 => "GPU is lost",
        16 => "GPU requires reset",
        17 => "The operating system has blocked the request",
        18 => "Driver/library version mismatch",
        19 => "In use by another client",
        20 => "Insufficient Memory",
        23 => "Insufficient Resources",
        25 => "Version mismatch between input/output argument structs",
        26 => "Requested functionality has been deprecated",
        _ => "Unknown Error",
    }
}
