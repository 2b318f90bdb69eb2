//! Values that NVML gives by number instead of by function (`nvmlDeviceGetFieldValues`).

use crate::answer::{known, whole};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_SUPPORTED};
use crate::device::gpu;
use model::driver::DriverGpu;
use nvml_wrapper_sys::bindings::field_id::{
    NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_REMAPPED_FAILURE, NVML_FI_DEV_REMAPPED_PENDING,
};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlFieldValue_t, nvmlValue_t};
use std::ffi::c_int;

/// `NVML_VALUE_TYPE_UNSIGNED_INT`.
const UNSIGNED_INT: u32 = 1;

crate::nvml! {
    /// Values of the fields that the caller names; each has a return code of its own.
    fn nvmlDeviceGetFieldValues(library, device: nvmlDevice_t, count: c_int, values: *mut nvmlFieldValue_t) {
        let gpu = gpu(library, device)?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(INVALID_ARGUMENT)?;
        if values.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        for place in 0..count {
            // SAFETY: `place` is less than the number of elements that the caller gave.
            let asked = unsafe { &mut *values.add(place) };
            match value(gpu, asked.fieldId) {
                Ok(number) => {
                    asked.valueType = UNSIGNED_INT;
                    asked.value = nvmlValue_t { ullVal: u64::from(number) };
                    asked.nvmlReturn = 0;
                }
                Err(Code(code)) => asked.nvmlReturn = code,
            }
        }
        Ok(())
    }
}

fn value(gpu: &DriverGpu, field: u32) -> Result<u32, Code> {
    match field {
        NVML_FI_DEV_POWER_INSTANT => Ok(whole(*known(&gpu.power_w)? * 1000.0)),
        NVML_FI_DEV_REMAPPED_PENDING => Ok(u32::from(*known(&gpu.row_remap_pending)?)),
        NVML_FI_DEV_REMAPPED_FAILURE => Ok(u32::from(*known(&gpu.row_remap_failed)?)),
        _ => Err(NOT_SUPPORTED),
    }
}
