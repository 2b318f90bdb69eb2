//! MIG: its mode, and the MIG devices of a GPU.

use crate::answer::{known, put};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED};
use crate::device::{Target, gpu, gpu_handle, mig_handle, place, target};
use crate::library::Library;
use model::driver::{DriverMig, MigMode};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t};
use std::ffi::c_uint;

/// Most MIG devices of a GPU: what `nvmlDeviceGetMaxMigDeviceCount` says of every card with seven slices.
const MOST: c_uint = 7;

crate::nvml! {
    /// MIG mode now and after the next reset.
    fn nvmlDeviceGetMigMode(library, device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) {
        let gpu = gpu(library, device)?;
        let number = |mode: MigMode| c_uint::from(mode == MigMode::Enabled);
        let (now, then) = (number(*known(&gpu.mig_current)?), number(*known(&gpu.mig_pending)?));
        // SAFETY: as the function's contract.
        unsafe { put(current, now) }?;
        // SAFETY: as the function's contract.
        unsafe { put(pending, then) }
    }

    /// Most MIG devices that the GPU can have; 0 where it can have none.
    fn nvmlDeviceGetMaxMigDeviceCount(library, device: nvmlDevice_t, count: *mut c_uint) {
        let most = if gpu(library, device)?.mig_current.known().is_some() { MOST } else { 0 };
        // SAFETY: as the function's contract.
        unsafe { put(count, most) }
    }

    /// Handle of a MIG device; indices that have none are not found.
    fn nvmlDeviceGetMigDeviceHandleByIndex(library, device: nvmlDevice_t, index: c_uint, mig: *mut nvmlDevice_t) {
        let gpu = gpu(library, device)?;
        known(&gpu.mig_current)?;
        let index = usize::try_from(index).map_err(|_| INVALID_ARGUMENT)?;
        gpu.mig_devices.get(index).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(mig, mig_handle(place(library, gpu)?, index)) }
    }

    /// Handle of the GPU of a MIG device.
    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(library, mig: nvmlDevice_t, device: *mut nvmlDevice_t) {
        match target(library, mig)? {
            // SAFETY: as the function's contract.
            Target::Mig(gpu, _) => unsafe { put(device, gpu_handle(place(library, gpu)?)) },
            Target::Gpu(_) => Err(INVALID_ARGUMENT),
        }
    }

    /// Whether a handle is one of a MIG device.
    fn nvmlDeviceIsMigDeviceHandle(library, device: nvmlDevice_t, is_mig: *mut c_uint) {
        let answer = c_uint::from(matches!(target(library, device)?, Target::Mig(..)));
        // SAFETY: as the function's contract.
        unsafe { put(is_mig, answer) }
    }

    /// GPU instance id of a MIG device.
    fn nvmlDeviceGetGpuInstanceId(library, device: nvmlDevice_t, id: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(id, mig_of(library, device)?.gpu_instance) }
    }

    /// Compute instance id of a MIG device.
    fn nvmlDeviceGetComputeInstanceId(library, device: nvmlDevice_t, id: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(id, mig_of(library, device)?.compute_instance) }
    }

    /// Engines and memory of a MIG device.
    fn nvmlDeviceGetAttributes_v2(library, device: nvmlDevice_t, attributes: *mut nvmlDeviceAttributes_t) {
        let mig = mig_of(library, device)?;
        let profile = known(&mig.profile)?;
        let gpu_slices = slices(profile, 'g').unwrap_or(0);
        let answer = nvmlDeviceAttributes_t {
            multiprocessorCount: *known(&mig.sm)?,
            sharedCopyEngineCount: *known(&mig.ce)?,
            sharedDecoderCount: *known(&mig.dec)?,
            sharedEncoderCount: *known(&mig.enc)?,
            sharedJpegCount: *known(&mig.jpeg)?,
            sharedOfaCount: *known(&mig.ofa)?,
            gpuInstanceSliceCount: gpu_slices,
            computeInstanceSliceCount: slices(profile, 'c').unwrap_or(gpu_slices),
            memorySizeMB: *known(&mig.memory.total)?,
        };
        // SAFETY: as the function's contract.
        unsafe { put(attributes, answer) }
    }
}

fn mig_of(library: &Library, device: nvmlDevice_t) -> Result<&DriverMig, Code> {
    match target(library, device)? {
        Target::Mig(_, mig) => Ok(mig),
        Target::Gpu(_) => Err(NOT_SUPPORTED),
    }
}

/// Slices that a profile names: `3g.20gb` has 3 of the GPU's (`g`), `1c.3g.20gb` gives 1 of them to the compute
/// instance (`c`).
fn slices(profile: &str, unit: char) -> Option<c_uint> {
    profile.split('.').find_map(|part| part.strip_suffix(unit)?.parse().ok())
}
