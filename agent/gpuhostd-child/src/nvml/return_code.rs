//! What NVML's return codes mean: a reason beside one null, or the fault of the whole probe.

use model::absence::{Absence, Reading};
use model::causes::with_causes;
use model::driver::ProbeError;
use model::os_cause::OsCause;
use nvml_wrapper::error::NvmlError;

/// Most of what a fault repeats of another's words.
const SAID_MAX_CHARS: usize = 400;

/// A value, or the reason for its absence.
pub(super) fn reading<T>(value: Result<T, NvmlError>) -> Reading<T> {
    match value {
        Ok(value) => Reading::Known(value),
        Err(error) => Reading::Absent(absence(&error)),
    }
}

/// The reason in our words.
pub(super) fn absence(error: &NvmlError) -> Absence {
    if let NvmlError::UnexpectedVariant(code) = error {
        // 26 is NVML_ERROR_DEPRECATED, which the wrapper does not know.
        return if *code == 26 { Absence::Deprecated } else { Absence::garbled(&code.to_string()) };
    }
    match code(error) {
        Some(2 | 3) => Absence::NotSupported,
        Some(4) => Absence::NoPermission,
        // No such object, library or function (an older driver), no data yet.
        Some(6 | 12 | 13 | 21) => Absence::NotReported,
        Some(9) => Absence::DriverAbsent,
        Some(10) => Absence::ProbeTimeout,
        Some(15) => Absence::GpuLost,
        Some(16) => Absence::ResetRequired,
        Some(999) => Absence::UnknownError,
        _ => Absence::Unreadable(bounded(&with_causes(error))),
    }
}

/// The fault of the whole probe.
pub(super) fn fault(what: &str, error: &NvmlError) -> ProbeError {
    // A library that cannot be loaded is what nvidia-smi reports as 12.
    let status = code(error).unwrap_or(12);
    ProbeError::Failed { what: what.to_owned(), status, said: bounded(&with_causes(error)) }
}

/// The failure of a task: what was tried, and NVML's answer in NVIDIA's own words.
pub(super) fn answered(attempted: &str, error: &NvmlError) -> OsCause {
    let said = if let NvmlError::FailedToLoadSymbol(symbol) = error {
        // The dynamic linker's words end with the name.
        let name = symbol.rsplit(' ').next().unwrap_or(symbol);
        format!("the driver is too old: its libnvidia-ml.so.1 has no {name}")
    } else if let NvmlError::InsufficientSize(Some(count)) = error {
        format!("NVML counts {count}, more than any GPU has")
    } else if let NvmlError::UnexpectedVariant(code) = error {
        code_said(*code)
    } else {
        let code = code(error).and_then(|code| u32::try_from(code).ok());
        code.map_or_else(|| with_causes(error), code_said)
    };
    OsCause::found(bounded(&format!("{attempted}: {said}")))
}

/// A return code in the words of `nvmlErrorString`, with its number.
pub(super) fn code_said(code: u32) -> String {
    let words = match code {
        1 => "Uninitialized",
        2 => "Invalid Argument",
        3 => "Not Supported",
        4 => "Insufficient Permissions",
        6 => "Not Found",
        7 => "Insufficient Size",
        9 => "Driver Not Loaded",
        10 => "Timeout",
        13 => "Function Not Found",
        15 => "GPU is lost",
        16 => "GPU requires reset",
        17 => "The operating system has blocked the request",
        18 => "Driver/library version mismatch",
        19 => "In use by another client",
        20 => "Insufficient Memory",
        23 => "Insufficient Resources: there is no room for it, or its place is taken",
        25 => "Version mismatch between input/output argument structs",
        27 => "The system is not ready for the request",
        29 => "Invalid state to perform the requested operation",
        _ => "Unknown Error",
    };
    format!("{words} (NVML error {code})")
}

fn bounded(text: &str) -> String {
    text.chars().take(SAID_MAX_CHARS).collect()
}

/// The return code of NVML that the wrapper turned into this error; `None` where the error is the wrapper's own.
#[allow(deprecated, reason = "a library may still return the code that newer ones do not")]
fn code(error: &NvmlError) -> Option<i32> {
    match error {
        NvmlError::Uninitialized => Some(1),
        NvmlError::InvalidArg => Some(2),
        NvmlError::NotSupported | NvmlError::VgpuEccNotSupported => Some(3),
        NvmlError::NoPermission => Some(4),
        NvmlError::AlreadyInitialized => Some(5),
        NvmlError::NotFound => Some(6),
        NvmlError::InsufficientSize(_) => Some(7),
        NvmlError::InsufficientPower => Some(8),
        NvmlError::DriverNotLoaded => Some(9),
        NvmlError::Timeout => Some(10),
        NvmlError::IrqIssue => Some(11),
        NvmlError::LibraryNotFound => Some(12),
        NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => Some(13),
        NvmlError::CorruptedInfoROM => Some(14),
        NvmlError::GpuLost => Some(15),
        NvmlError::ResetRequired => Some(16),
        NvmlError::OperatingSystem => Some(17),
        NvmlError::LibRmVersionMismatch => Some(18),
        NvmlError::InUse => Some(19),
        NvmlError::InsufficientMemory => Some(20),
        NvmlError::NoData => Some(21),
        NvmlError::Unknown => Some(999),
        NvmlError::Utf8Error(_)
        | NvmlError::NulError(_)
        | NvmlError::LibloadingError(_)
        | NvmlError::StringTooLong { .. }
        | NvmlError::IncorrectBits(_)
        | NvmlError::UnexpectedVariant(_)
        | NvmlError::SetReleaseFailed
        | NvmlError::GetPciInfoFailed
        | NvmlError::PciInfoToCFailed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_reason() {
        for (error, expected) in [
            (NvmlError::NotSupported, Absence::NotSupported),
            (NvmlError::UnexpectedVariant(26), Absence::Deprecated),
            (NvmlError::InvalidArg, Absence::NotSupported),
            (NvmlError::NoPermission, Absence::NoPermission),
            (NvmlError::NotFound, Absence::NotReported),
            (NvmlError::FunctionNotFound, Absence::NotReported),
            (NvmlError::FailedToLoadSymbol("nvmlDeviceGetX".to_owned()), Absence::NotReported),
            (NvmlError::NoData, Absence::NotReported),
            (NvmlError::DriverNotLoaded, Absence::DriverAbsent),
            (NvmlError::Timeout, Absence::ProbeTimeout),
            (NvmlError::GpuLost, Absence::GpuLost),
            (NvmlError::ResetRequired, Absence::ResetRequired),
            (NvmlError::Unknown, Absence::UnknownError),
            (NvmlError::UnexpectedVariant(77), Absence::Garbled("77".to_owned())),
        ] {
            assert_eq!(absence(&error), expected, "{error}");
        }
        // What has no reason of its own keeps its words.
        let irq = absence(&NvmlError::IrqIssue);
        assert!(matches!(&irq, Absence::Unreadable(said) if said.contains("interrupt")), "{irq:?}");
    }

    #[test]
    fn faults_carry_the_return_codes_that_nvidia_smi_ends_with() {
        for (error, expected) in [
            (NvmlError::NoPermission, 4),
            (NvmlError::DriverNotLoaded, 9),
            (NvmlError::GpuLost, 15),
            (NvmlError::LibRmVersionMismatch, 18),
            (NvmlError::Unknown, 999),
            (NvmlError::GetPciInfoFailed, 12),
        ] {
            let fault = fault("nvml", &error);
            assert!(matches!(fault, ProbeError::Failed { status, .. } if status == expected), "{fault:?}");
        }
    }

    #[test]
    fn words_are_bounded() {
        assert_eq!(bounded(&"é".repeat(1000)).chars().count(), SAID_MAX_CHARS);
    }
}
