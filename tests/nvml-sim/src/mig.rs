//! MIG: its mode, and the MIG devices of a GPU.

use crate::answer::{known, put};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED};
use crate::device::{Target, gpu, gpu_handle, mig_handle, place, target};
use crate::library::Library;
use crate::shared::{SYS_ADMIN, change, may};
use model::driver::{DriverGpu, DriverMig, MigMode};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t, nvmlReturn_t};
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

    /// Switches MIG mode. The call itself works where the new mode has to wait: that is the activation status.
    fn nvmlDeviceSetMigMode(library, device: nvmlDevice_t, mode: c_uint, status: *mut nvmlReturn_t) {
        let gpu = gpu(library, device)?;
        known(&gpu.mig_current)?;
        let to = match mode {
            0 => MigMode::Disabled,
            1 => MigMode::Enabled,
            _ => return Err(INVALID_ARGUMENT),
        };
        may(library, SYS_ADMIN)?;
        let activation = change(library, gpu.address, |mig| mig.set_mode(to))?;
        // SAFETY: as the function's contract.
        unsafe { put(status, activation.map_or_else(|error| error.code(), |()| 0)) }
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
        let found = by_index(library, gpu, index).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(mig, mig_handle(place(library, gpu)?, found)) }
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

/// The list of a described GPU has no holes; where instances come and go each keeps its index.
fn by_index<'a>(library: &'a Library, gpu: &'a DriverGpu, index: c_uint) -> Option<&'a DriverMig> {
    if !library.is_shared {
        return gpu.mig_devices.get(usize::try_from(index).ok()?);
    }
    let instances = &library.mig.gpus.get(&gpu.address)?.instances;
    let mut all = instances.iter().flat_map(|one| one.compute.iter().map(move |compute| (one.id, compute)));
    let (instance, compute) = all.find(|(_, compute)| compute.index == index)?;
    gpu.mig_devices.iter().find(|mig| (mig.gpu_instance, mig.compute_instance) == (instance, compute.id))
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
