//! NVML's numbers for what the model says in words.

use model::Absence;
use nvml_wrapper_sys::bindings::nvmlReturn_t;

/// Invalid argument.
pub const INVALID_ARGUMENT: Code = Code(2);
/// Not supported.
pub const NOT_SUPPORTED: Code = Code(3);
/// No permission.
pub const NO_PERMISSION: Code = Code(4);
/// Not found.
pub const NOT_FOUND: Code = Code(6);
/// Insufficient size.
pub const INSUFFICIENT_SIZE: Code = Code(7);
/// Structure version that the library does not know.
pub const VERSION_MISMATCH: Code = Code(25);
/// Unknown error.
pub const UNKNOWN: Code = Code(999);

/// A return code that is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub nvmlReturn_t);

/// The code by which NVML says that there is no value.
#[must_use]
pub const fn of_absence(why: &Absence) -> Code {
    match why {
        Absence::None | Absence::NotSupported => NOT_SUPPORTED,
        Absence::NoPermission => NO_PERMISSION,
        Absence::NotReported => Code(13),
        Absence::GpuLost => Code(15),
        Absence::ResetRequired => Code(16),
        Absence::Deprecated => Code(26),
        Absence::UnknownError
        | Absence::Garbled(_)
        | Absence::Unreadable(_)
        | Absence::DriverAbsent
        | Absence::ProbeTimeout
        | Absence::ProbeFailed
        | Absence::GpuAsleep
        | Absence::NotRead
        | Absence::NotProbed => UNKNOWN,
    }
}

/// `nvmlBrandType_t`.
#[must_use]
pub fn brand(text: &str) -> u32 {
    match text {
        "Quadro" => 1,
        "Tesla" => 2,
        "NVS" => 3,
        "GRID" => 4,
        "GeForce" => 5,
        "Titan" => 6,
        "Quadro RTX" => 12,
        "NVIDIA RTX" => 13,
        "NVIDIA" => 14,
        "GeForce RTX" => 15,
        "Titan RTX" => 16,
        _ => 0,
    }
}

/// `nvmlDeviceArchitecture_t`.
#[must_use]
pub fn architecture(text: &str) -> u32 {
    match text {
        "Kepler" => 2,
        "Maxwell" => 3,
        "Pascal" => 4,
        "Volta" => 5,
        "Turing" => 6,
        "Ampere" => 7,
        "Ada Lovelace" => 8,
        "Hopper" => 9,
        "Blackwell" => 10,
        _ => u32::MAX,
    }
}

/// `nvmlGpuVirtualizationMode_t`.
#[must_use]
pub fn virtualization(text: &str) -> Option<u32> {
    match text {
        "None" => Some(0),
        "Pass-Through" => Some(1),
        "VGPU" => Some(2),
        "Host VGPU" => Some(3),
        "Host VSGA" => Some(4),
        _ => None,
    }
}

/// The bit of `nvmlClocksEventReasons` for a reason.
#[must_use]
pub fn throttle_bit(text: &str) -> u64 {
    match text {
        "gpu_idle" => 0x001,
        "applications_clocks_setting" => 0x002,
        "sw_power_cap" => 0x004,
        "hw_slowdown" => 0x008,
        "sync_boost" => 0x010,
        "sw_thermal_slowdown" => 0x020,
        "hw_thermal_slowdown" => 0x040,
        "hw_power_brake_slowdown" => 0x080,
        "display_clocks_setting" => 0x100,
        _ => 0,
    }
}
