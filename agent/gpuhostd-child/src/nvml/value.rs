//! What NVML returns, as values of the model.

use super::return_code::{absence, reading};
use model::absence::{Absence, Reading};
use model::driver::MemoryMib;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::NvmlError;

/// A text; an empty one, and the `N/A` that old drivers write into it, is none.
pub(super) fn text(value: Result<String, NvmlError>) -> Reading<String> {
    let text = match reading(value) {
        Reading::Known(text) => text,
        Reading::Absent(why) => return Reading::Absent(why),
    };
    if text.is_empty() || text == "N/A" {
        Reading::Absent(Absence::NotSupported)
    } else if text.chars().any(char::is_control) {
        Reading::Absent(Absence::garbled(&text))
    } else {
        Reading::Known(text)
    }
}

/// A text as an identity.
pub(super) fn parsed<T: std::str::FromStr>(value: Reading<String>) -> Reading<T> {
    match value {
        Reading::Known(text) => text.parse().map_or_else(|_| Reading::Absent(Absence::garbled(&text)), Reading::Known),
        Reading::Absent(why) => Reading::Absent(why),
    }
}

/// Memory of a GPU or a MIG device. Drivers before 510 have no call that the wrapper knows.
pub(super) fn memory(device: &Device<'_>) -> MemoryMib {
    let mib = |bytes: u64| Reading::Known(bytes >> 20);
    match device.memory_info() {
        Ok(memory) => MemoryMib {
            total: mib(memory.total),
            reserved: mib(memory.reserved),
            used: mib(memory.used),
            free: mib(memory.free),
        },
        Err(error) => {
            let absent = || Reading::Absent(absence(&error));
            MemoryMib { total: absent(), reserved: absent(), used: absent(), free: absent() }
        }
    }
}
