//! Processes on a GPU.

use crate::answer::{known, put};
use crate::codes::{Code, INSUFFICIENT_SIZE, INVALID_ARGUMENT};
use crate::device::gpu;
use model::driver::{DriverGpu, GpuProcess};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_t};
use std::ffi::c_uint;

const MIB: u64 = 1024 * 1024;
/// What NVML writes where there is no value.
const NO_VALUE: c_uint = c_uint::MAX;

crate::nvml! {
    /// Processes with a compute context.
    fn nvmlDeviceGetComputeRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t) {
        // SAFETY: as the function's contract.
        unsafe { list(gpu(library, device)?, "C", count, infos) }
    }

    /// Processes with a graphics context.
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t) {
        // SAFETY: as the function's contract.
        unsafe { list(gpu(library, device)?, "G", count, infos) }
    }

    /// Processes below an MPS server: none.
    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, _infos: *mut nvmlProcessInfo_t) {
        known(&gpu(library, device)?.processes)?;
        // SAFETY: as the function's contract.
        unsafe { put(count, 0) }
    }
}

/// Writes the processes of a kind. The caller gives the room and gets the number; too little room gets the number alone.
///
/// # Safety
/// `count` is NULL or points to the number of elements that may be written at `infos`.
unsafe fn list(gpu: &DriverGpu, kind: &str, count: *mut c_uint, infos: *mut nvmlProcessInfo_t) -> Result<(), Code> {
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not NULL, as the function's contract.
    let room = unsafe { *count };
    let of_kind = |p: &&GpuProcess| p.kind.known().is_some_and(|has| has.contains(kind));
    let found: Vec<&GpuProcess> = known(&gpu.processes)?.iter().filter(of_kind).collect();
    let number = c_uint::try_from(found.len()).unwrap_or(0);
    // SAFETY: as the function's contract.
    unsafe { put(count, number) }?;
    if number > room || (number > 0 && infos.is_null()) {
        return Err(INSUFFICIENT_SIZE);
    }
    for (place, process) in found.into_iter().enumerate() {
        let info = nvmlProcessInfo_t {
            pid: process.pid,
            usedGpuMemory: process.memory_mib.get().map_or(u64::MAX, |mib| mib * MIB),
            gpuInstanceId: NO_VALUE,
            computeInstanceId: NO_VALUE,
        };
        // SAFETY: `place` is less than `room`, so within what the caller gave.
        unsafe { put(infos.add(place), info) }?;
    }
    Ok(())
}
