//! Handles: how a caller finds a GPU or a MIG device, and what a handle stands for.

use crate::answer::{known, put};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND};
use crate::handle::{Handle, Kind};
use crate::library::Library;
use model::PciAddress;
use model::driver::{DriverGpu, DriverMig};
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::{CStr, c_char, c_uint};

/// What a handle of a device stands for.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A GPU.
    Gpu(&'a DriverGpu),
    /// A MIG device on a GPU.
    Mig(&'a DriverGpu, &'a DriverMig),
}

/// What a handle stands for. That of a MIG device dies with its instance.
///
/// # Errors
/// The handle is not one of ours.
pub fn target(library: &Library, handle: nvmlDevice_t) -> Result<Target<'_>, Code> {
    let known = Handle::of(handle).ok_or(INVALID_ARGUMENT)?;
    let gpu = library.report.gpus.get(known.gpu).ok_or(INVALID_ARGUMENT)?;
    match known.kind {
        Kind::Gpu => Ok(Target::Gpu(gpu)),
        Kind::Mig => {
            let ids = |mig: &&DriverMig| (mig.gpu_instance, mig.compute_instance) == (known.instance, known.compute);
            gpu.mig_devices.iter().find(ids).map(|mig| Target::Mig(gpu, mig)).ok_or(INVALID_ARGUMENT)
        }
        Kind::GpuInstance | Kind::ComputeInstance => Err(INVALID_ARGUMENT),
    }
}

/// The GPU that a handle stands for.
///
/// # Errors
/// The handle is not one of ours, or stands for a MIG device, of which the question makes no sense.
pub fn gpu(library: &Library, handle: nvmlDevice_t) -> Result<&DriverGpu, Code> {
    match target(library, handle)? {
        Target::Gpu(gpu) => Ok(gpu),
        Target::Mig(..) => Err(INVALID_ARGUMENT),
    }
}

/// The handle of a GPU by its place in the report.
#[must_use]
pub fn gpu_handle(index: usize) -> nvmlDevice_t {
    Handle { kind: Kind::Gpu, gpu: index, instance: 0, compute: 0 }.pointer()
}

/// The handle of a MIG device.
#[must_use]
pub fn mig_handle(gpu: usize, mig: &DriverMig) -> nvmlDevice_t {
    Handle { kind: Kind::Mig, gpu, instance: mig.gpu_instance, compute: mig.compute_instance }.pointer()
}

/// The place of a GPU in the report.
///
/// # Errors
/// The GPU is not of this report.
pub fn place(library: &Library, gpu: &DriverGpu) -> Result<usize, Code> {
    library.report.gpus.iter().position(|other| other.address == gpu.address).ok_or(INVALID_ARGUMENT)
}

fn by(library: &Library, found: impl Fn(&DriverGpu) -> bool) -> Result<nvmlDevice_t, Code> {
    library.report.gpus.iter().position(found).map(gpu_handle).ok_or(NOT_FOUND)
}

/// Reads a text of the caller.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string.
unsafe fn text_of<'a>(text: *const c_char) -> Result<&'a str, Code> {
    if text.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not NULL, and the caller vouches for the NUL.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| INVALID_ARGUMENT)
}

crate::nvml! {
    /// Number of GPUs.
    fn nvmlDeviceGetCount_v2(library, count: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(count, c_uint::try_from(library.report.gpus.len()).unwrap_or(0)) }
    }

    /// Handle by index.
    fn nvmlDeviceGetHandleByIndex_v2(library, index: c_uint, device: *mut nvmlDevice_t) {
        let index = usize::try_from(index).map_err(|_| INVALID_ARGUMENT)?;
        library.report.gpus.get(index).ok_or(INVALID_ARGUMENT)?;
        // SAFETY: as the function's contract.
        unsafe { put(device, gpu_handle(index)) }
    }

    /// Handle by PCI bus id, in any of its forms.
    fn nvmlDeviceGetHandleByPciBusId_v2(library, bus_id: *const c_char, device: *mut nvmlDevice_t) {
        // SAFETY: as the function's contract.
        let address: PciAddress = unsafe { text_of(bus_id) }?.parse().map_err(|_| INVALID_ARGUMENT)?;
        let handle = by(library, |gpu| gpu.address == address)?;
        // SAFETY: as the function's contract.
        unsafe { put(device, handle) }
    }

    /// Handle by UUID of a GPU or of a MIG device.
    fn nvmlDeviceGetHandleByUUID(library, uuid: *const c_char, device: *mut nvmlDevice_t) {
        // SAFETY: as the function's contract.
        let uuid = unsafe { text_of(uuid) }?;
        let gpu = by(library, |gpu| gpu.uuid.known().is_some_and(|known| known.as_str() == uuid));
        let handle = gpu.or_else(|_| mig_by_uuid(library, uuid))?;
        // SAFETY: as the function's contract.
        unsafe { put(device, handle) }
    }

    /// Handle by serial number.
    fn nvmlDeviceGetHandleBySerial(library, serial: *const c_char, device: *mut nvmlDevice_t) {
        // SAFETY: as the function's contract.
        let serial = unsafe { text_of(serial) }?;
        let handle = by(library, |gpu| known(&gpu.serial).is_ok_and(|known| known == serial))?;
        // SAFETY: as the function's contract.
        unsafe { put(device, handle) }
    }
}

fn mig_by_uuid(library: &Library, uuid: &str) -> Result<nvmlDevice_t, Code> {
    let gpus = library.report.gpus.iter().enumerate();
    let mut all = gpus.flat_map(|(card, gpu)| gpu.mig_devices.iter().map(move |mig| (card, mig)));
    let found = all.find(|(_, mig)| mig.uuid.known().is_some_and(|known| known.as_str() == uuid));
    found.map(|(card, mig)| mig_handle(card, mig)).ok_or(NOT_FOUND)
}
