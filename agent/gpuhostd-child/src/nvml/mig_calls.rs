//! NVML's calls for GPU instances and compute instances, none of which the wrapper has right: the second file of the product with
//! `unsafe` in it. It makes calls, and decides nothing.
//!
//! A function that the library lacks is named: the driver is too old. No count that the library reports is believed beyond the buffer.
#![allow(
    unsafe_code,
    reason = "a C function of a library that is loaded at run time cannot be called without; docs/decisions/0016 has the reason"
)]

use super::ffi::version;
use model::mig::Placement;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper_sys::bindings as sys;
use std::ffi::{c_char, c_uint};
use std::ptr::null_mut;

/// Most placements of a profile, and instances of one, that are taken; the largest GPU has 7 of either today.
pub(super) const MOST: usize = 64;
/// `NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED`, the only one.
const SHARED: c_uint = 0;

/// A profile of GPU instances as NVML reports it; what it does not know is 0.
#[derive(Debug, Clone)]
pub(super) struct RawProfile {
    pub(super) id: u32,
    pub(super) slices: u32,
    pub(super) instances: u32,
    pub(super) multiprocessors: u32,
    /// Copy, decoder, encoder, JPEG, optical flow.
    pub(super) engines: [u32; 5],
    pub(super) memory_mib: u64,
    /// `None` from a library that has no names.
    pub(super) name: Option<String>,
}

/// A profile of compute instances.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawCompute {
    pub(super) id: u32,
    pub(super) slices: u32,
    pub(super) instances: u32,
}

/// A GPU instance that is there.
pub(super) struct GpuInstance<'d> {
    device: &'d Device<'d>,
    handle: sys::nvmlGpuInstance_t,
    pub(super) id: u32,
    pub(super) profile_id: u32,
    pub(super) placement: Placement,
}

/// A compute instance that is there.
pub(super) struct ComputeInstance<'d> {
    device: &'d Device<'d>,
    handle: sys::nvmlComputeInstance_t,
    pub(super) id: u32,
    /// What it reports as its device: on newer drivers that is its MIG device.
    pub(super) reported_device: Option<Device<'d>>,
}

fn handle(device: &Device<'_>) -> sys::nvmlDevice_t {
    // SAFETY: the handle is only handed back to the library that gave it, which lives as long as `device`.
    unsafe { device.handle() }
}

/// The function with this name in the library behind a device.
macro_rules! function {
    ($device:expr, $name:ident) => {
        $device.nvml().lib().$name.as_ref().map_err(|_| NvmlError::FailedToLoadSymbol(stringify!($name).to_owned()))
    };
}

/// The profile with an index: in the newest structure that the library knows.
pub(super) fn gpu_profile(device: &Device<'_>, index: u32) -> Result<RawProfile, NvmlError> {
    let newest =
        third(device, index).or_else(|error| if is_older(&error) { second(device, index) } else { Err(error) });
    newest.or_else(|error| if is_older(&error) { first(device, index) } else { Err(error) })
}

/// The library does not know the call or the structure. An invalid argument may be that, or the index behind the last one. 25 is
/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`.
fn is_older(error: &NvmlError) -> bool {
    let is_lacking = matches!(error, NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound);
    is_lacking || matches!(error, NvmlError::InvalidArg | NvmlError::UnexpectedVariant(25))
}

/// What the three structures of a profile have in common.
macro_rules! raw {
    ($it:ident, $name:expr) => {
        RawProfile {
            id: $it.id,
            slices: $it.sliceCount,
            instances: $it.instanceCount,
            multiprocessors: $it.multiprocessorCount,
            engines: [$it.copyEngineCount, $it.decoderCount, $it.encoderCount, $it.jpegCount, $it.ofaCount],
            memory_mib: $it.memorySizeMB,
            name: $name,
        }
    };
}

fn third(device: &Device<'_>, index: u32) -> Result<RawProfile, NvmlError> {
    let call = function!(device, nvmlDeviceGetGpuInstanceProfileInfoV)?;
    let mut it = sys::nvmlGpuInstanceProfileInfo_v3_t {
        version: version::<sys::nvmlGpuInstanceProfileInfo_v3_t>(3),
        id: 0,
        sliceCount: 0,
        instanceCount: 0,
        multiprocessorCount: 0,
        copyEngineCount: 0,
        decoderCount: 0,
        encoderCount: 0,
        jpegCount: 0,
        ofaCount: 0,
        memorySizeMB: 0,
        name: [0; 96],
        capabilities: 0,
    };
    // SAFETY: by the version in its first field the library knows the structure and writes no more than that one.
    nvml_try(unsafe { call(handle(device), index, (&raw mut it).cast()) })?;
    Ok(raw!(it, text(&it.name)))
}

fn second(device: &Device<'_>, index: u32) -> Result<RawProfile, NvmlError> {
    let call = function!(device, nvmlDeviceGetGpuInstanceProfileInfoV)?;
    let mut it = sys::nvmlGpuInstanceProfileInfo_v2_t {
        version: version::<sys::nvmlGpuInstanceProfileInfo_v2_t>(2),
        id: 0,
        isP2pSupported: 0,
        sliceCount: 0,
        instanceCount: 0,
        multiprocessorCount: 0,
        copyEngineCount: 0,
        decoderCount: 0,
        encoderCount: 0,
        jpegCount: 0,
        ofaCount: 0,
        memorySizeMB: 0,
        name: [0; 96],
    };
    // SAFETY: a structure of the type and the version that the function fills.
    nvml_try(unsafe { call(handle(device), index, &raw mut it) })?;
    Ok(raw!(it, text(&it.name)))
}

fn first(device: &Device<'_>, index: u32) -> Result<RawProfile, NvmlError> {
    let call = function!(device, nvmlDeviceGetGpuInstanceProfileInfo)?;
    let mut it = sys::nvmlGpuInstanceProfileInfo_t {
        id: 0,
        isP2pSupported: 0,
        sliceCount: 0,
        instanceCount: 0,
        multiprocessorCount: 0,
        copyEngineCount: 0,
        decoderCount: 0,
        encoderCount: 0,
        jpegCount: 0,
        ofaCount: 0,
        memorySizeMB: 0,
    };
    // SAFETY: a structure of the type that the function fills; it has one version only.
    nvml_try(unsafe { call(handle(device), index, &raw mut it) })?;
    Ok(raw!(it, None))
}

/// The text before the first NUL, without the `MIG ` that NVML writes before a profile.
fn text(characters: &[c_char]) -> Option<String> {
    let bytes: Vec<u8> =
        characters.iter().take_while(|it| **it != 0).map(|it| u8::from_ne_bytes(it.to_ne_bytes())).collect();
    let text = String::from_utf8(bytes).ok()?;
    let name = text.strip_prefix("MIG ").unwrap_or(&text).trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Where an instance of a profile can be.
pub(super) fn placements(device: &Device<'_>, profile: u32) -> Result<Vec<Placement>, NvmlError> {
    let call = function!(device, nvmlDeviceGetGpuInstancePossiblePlacements_v2)?;
    let mut count = 0;
    // SAFETY: without a buffer the function writes the count alone.
    nvml_try(unsafe { call(handle(device), profile, null_mut(), &raw mut count) })?;
    bounded(count)?;
    let mut found = [sys::nvmlGpuInstancePlacement_t { start: 0, size: 0 }; MOST];
    // SAFETY: the buffer has room for more placements than the library has just counted.
    nvml_try(unsafe { call(handle(device), profile, found.as_mut_ptr(), &raw mut count) })?;
    let found = found.get(..bounded(count)?).unwrap_or_default();
    Ok(found.iter().map(|it| Placement { start: it.start, size: it.size }).collect())
}

/// The count, where it is one that the buffer can hold; the library has written no more than it counts.
fn bounded(count: c_uint) -> Result<usize, NvmlError> {
    let known = usize::try_from(count).ok().filter(|count| *count <= MOST);
    known.ok_or(NvmlError::InsufficientSize(usize::try_from(count).ok()))
}

/// The GPU instances of a profile.
pub(super) fn gpu_instances<'d>(device: &'d Device<'d>, profile: u32) -> Result<Vec<GpuInstance<'d>>, NvmlError> {
    let list = function!(device, nvmlDeviceGetGpuInstances)?;
    let ask = function!(device, nvmlGpuInstanceGetInfo)?;
    let (mut handles, mut count) = ([null_mut(); MOST], 0);
    // SAFETY: nvml.h wants room for as many as the profile can have, which the caller has seen to be at most MOST.
    nvml_try(unsafe { list(handle(device), profile, handles.as_mut_ptr(), &raw mut count) })?;
    let mut found = Vec::new();
    for one in handles.into_iter().take(bounded(count)?) {
        let placement = sys::nvmlGpuInstancePlacement_t { start: 0, size: 0 };
        let mut it = sys::nvmlGpuInstanceInfo_t { device: null_mut(), id: 0, profileId: 0, placement };
        // SAFETY: the handle is from the list above, and the structure is the one that the function fills.
        nvml_try(unsafe { ask(one, &raw mut it) })?;
        let placement = Placement { start: it.placement.start, size: it.placement.size };
        found.push(GpuInstance { device, handle: one, id: it.id, profile_id: it.profileId, placement });
    }
    Ok(found)
}

/// Creates a GPU instance at a place.
pub(super) fn create_gpu(device: &Device<'_>, profile: u32, at: Placement) -> Result<(), NvmlError> {
    let call = function!(device, nvmlDeviceCreateGpuInstanceWithPlacement)?;
    let (at, mut new) = (sys::nvmlGpuInstancePlacement_t { start: at.start, size: at.size }, null_mut());
    // SAFETY: the function reads one placement and writes one handle.
    nvml_try(unsafe { call(handle(device), profile, &raw const at, &raw mut new) })
}

impl<'d> GpuInstance<'d> {
    /// Destroys it.
    pub(super) fn destroy(&self) -> Result<(), NvmlError> {
        let call = function!(self.device, nvmlGpuInstanceDestroy)?;
        // SAFETY: a handle of this library; one whose instance has gone is refused by it.
        nvml_try(unsafe { call(self.handle) })
    }

    /// The profile of compute instances with an index.
    pub(super) fn compute_profile(&self, index: u32) -> Result<RawCompute, NvmlError> {
        let call = function!(self.device, nvmlGpuInstanceGetComputeInstanceProfileInfo)?;
        let mut it = sys::nvmlComputeInstanceProfileInfo_t {
            id: 0,
            sliceCount: 0,
            instanceCount: 0,
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
        };
        // SAFETY: a handle of this library, and the structure that the function fills; it has one version only.
        nvml_try(unsafe { call(self.handle, index, SHARED, &raw mut it) })?;
        Ok(RawCompute { id: it.id, slices: it.sliceCount, instances: it.instanceCount })
    }

    /// Its compute instances of a profile.
    pub(super) fn compute_instances(&self, profile: u32) -> Result<Vec<ComputeInstance<'d>>, NvmlError> {
        let list = function!(self.device, nvmlGpuInstanceGetComputeInstances)?;
        let ask = function!(self.device, nvmlComputeInstanceGetInfo_v2)?;
        let (mut handles, mut count) = ([null_mut(); MOST], 0);
        // SAFETY: nvml.h wants room for as many as the profile can have, which the caller has seen to be at most MOST.
        nvml_try(unsafe { list(self.handle, profile, handles.as_mut_ptr(), &raw mut count) })?;
        let mut found = Vec::new();
        for one in handles.into_iter().take(bounded(count)?) {
            let mut it = sys::nvmlComputeInstanceInfo_t {
                device: null_mut(),
                gpuInstance: null_mut(),
                id: 0,
                profileId: 0,
                placement: sys::nvmlComputeInstancePlacement_t { start: 0, size: 0 },
            };
            // SAFETY: the handle is from the list above, and the structure is the one that the function fills.
            nvml_try(unsafe { ask(one, &raw mut it) })?;
            // SAFETY: a handle that this library has just given, for as long as it lives.
            let named = || unsafe { Device::new(it.device, self.device.nvml()) };
            let reported_device = (!it.device.is_null()).then(named);
            found.push(ComputeInstance { device: self.device, handle: one, id: it.id, reported_device });
        }
        Ok(found)
    }

    /// Creates a compute instance in it.
    pub(super) fn create_compute(&self, profile: u32) -> Result<(), NvmlError> {
        let call = function!(self.device, nvmlGpuInstanceCreateComputeInstance)?;
        let mut new = null_mut();
        // SAFETY: a handle of this library; the function writes one handle.
        nvml_try(unsafe { call(self.handle, profile, &raw mut new) })
    }
}

impl ComputeInstance<'_> {
    /// Destroys it.
    pub(super) fn destroy(&self) -> Result<(), NvmlError> {
        let call = function!(self.device, nvmlComputeInstanceDestroy)?;
        // SAFETY: a handle of this library; one whose instance has gone is refused by it.
        nvml_try(unsafe { call(self.handle) })
    }
}

/// The ids of the GPU instance and of the compute instance that a MIG device is.
pub(super) fn instance_ids(mig: &Device<'_>) -> Result<(u32, u32), NvmlError> {
    let gpu = function!(mig, nvmlDeviceGetGpuInstanceId)?;
    let compute = function!(mig, nvmlDeviceGetComputeInstanceId)?;
    let mut ids = (0, 0);
    // SAFETY: each function writes one number.
    nvml_try(unsafe { gpu(handle(mig), &raw mut ids.0) })?;
    // SAFETY: as above.
    nvml_try(unsafe { compute(handle(mig), &raw mut ids.1) })?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_beyond_the_buffer_is_an_error_and_no_list() {
        assert_eq!(bounded(64).ok(), Some(64));
        for count in [65, c_uint::MAX] {
            assert!(matches!(bounded(count), Err(NvmlError::InsufficientSize(Some(_)))), "{count}");
        }
    }

    #[test]
    fn a_name_ends_at_its_nul_or_with_its_buffer() {
        let characters = |bytes: &[u8]| bytes.iter().map(|it| c_char::from_ne_bytes([*it])).collect::<Vec<_>>();
        assert_eq!(text(&characters(b"MIG 1g.5gb+me\0rest")).as_deref(), Some("1g.5gb+me"));
        assert_eq!(text(&characters(&[b'x'; 96])).map(|it| it.len()), Some(96));
        assert_eq!(text(&characters(b"\0")), None);
        assert_eq!(text(&characters(b"MIG \xff\0")), None);
    }
}
