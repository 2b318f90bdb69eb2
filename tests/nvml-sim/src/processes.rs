//! Processes on a GPU.

use crate::answer::{known, put};
use crate::codes::{Code, INSUFFICIENT_SIZE, INVALID_ARGUMENT};
use crate::device::{Target, target};
use crate::library::Library;
use model::driver::GpuProcess;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_t};
use std::ffi::c_uint;

const MIB: u64 = 1024 * 1024;
/// What NVML writes where there is no value.
const NO_VALUE: c_uint = c_uint::MAX;

crate::nvml! {
    /// Processes with a compute context.
    fn nvmlDeviceGetComputeRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t) {
        // SAFETY: as the function's contract.
        unsafe { list(&of_kind(library, device, "C")?, count, infos) }
    }

    /// Processes with a graphics context.
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t) {
        // SAFETY: as the function's contract.
        unsafe { list(&of_kind(library, device, "G")?, count, infos) }
    }

    /// Processes below an MPS server: none.
    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(library, device: nvmlDevice_t, count: *mut c_uint, _infos: *mut nvmlProcessInfo_t) {
        let (Target::Gpu(gpu) | Target::Mig(gpu, _)) = target(library, device)?;
        known(&gpu.processes)?;
        // SAFETY: as the function's contract.
        unsafe { put(count, 0) }
    }
}

/// The processes of a kind on a GPU, with their MIG instances, or those on a MIG device.
fn of_kind(library: &Library, device: nvmlDevice_t, kind: &str) -> Result<Vec<nvmlProcessInfo_t>, Code> {
    let (gpu, wanted) = match target(library, device)? {
        Target::Gpu(gpu) => (gpu, None),
        Target::Mig(gpu, mig) => (gpu, Some((mig.gpu_instance, mig.compute_instance))),
    };
    let is_of_kind = |process: &&GpuProcess| process.kind.known().is_some_and(|has| has.contains(kind));
    let of_the_gpu = known(&gpu.processes)?.iter().filter(|_| wanted.is_none()).filter(is_of_kind);
    let mut found: Vec<nvmlProcessInfo_t> = of_the_gpu
        .map(|process| {
            info(process.pid, process.memory_mib.get().map_or(u64::MAX, |mib| mib * MIB), (NO_VALUE, NO_VALUE))
        })
        .collect();
    // Those on instances compute.
    let instances = library.mig.gpus.get(&gpu.address).filter(|_| kind == "C").map(|mig| mig.instances.iter());
    for (instance, compute) in
        instances.into_iter().flatten().flat_map(|one| one.compute.iter().map(move |it| (one.id, it)))
    {
        let ids = (instance, compute.id);
        if wanted.is_none_or(|wanted| wanted == ids) {
            found.extend(compute.processes.iter().map(|pid| info(*pid, MIB, ids)));
        }
    }
    Ok(found)
}

const fn info(pid: u32, bytes: u64, (instance, compute): (u32, u32)) -> nvmlProcessInfo_t {
    nvmlProcessInfo_t { pid, usedGpuMemory: bytes, gpuInstanceId: instance, computeInstanceId: compute }
}

/// Writes a list of processes. The caller gives the room and gets the number; too little room gets the number alone.
///
/// # Safety
/// `count` is NULL or points to the number of elements that may be written at `infos`.
unsafe fn list(found: &[nvmlProcessInfo_t], count: *mut c_uint, infos: *mut nvmlProcessInfo_t) -> Result<(), Code> {
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not NULL, as the function's contract.
    let room = unsafe { *count };
    let number = c_uint::try_from(found.len()).unwrap_or(0);
    // SAFETY: as the function's contract.
    unsafe { put(count, number) }?;
    if number > room || (number > 0 && infos.is_null()) {
        return Err(INSUFFICIENT_SIZE);
    }
    for (place, info) in found.iter().enumerate() {
        // SAFETY: `place` is less than `room`, so within what the caller gave.
        unsafe { put(infos.add(place), *info) }?;
    }
    Ok(())
}
