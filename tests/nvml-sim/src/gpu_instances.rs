//! GPU instances: the profiles that a GPU has, where one can be, and those that there are.

use crate::answer::{known, put};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, VERSION_MISMATCH};
use crate::device::{gpu, gpu_handle, place};
use crate::handle::{Handle, Kind};
use crate::library::Library;
use crate::shared::{MIG_CONFIG, change, may};
use model::driver::{DriverGpu, MigMode};
use model::mig::GpuProfile;
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpuInstance_t, nvmlGpuInstanceInfo_t, nvmlGpuInstancePlacement_t, nvmlGpuInstanceProfileInfo_t,
    nvmlGpuInstanceProfileInfo_v2_t, nvmlGpuInstanceProfileInfo_v3_t,
};
use sim::mig::{SimGpuInstance, SimMig};
use std::ffi::{c_char, c_uint};

/// `NVML_GPU_INSTANCE_PROFILE_COUNT` of the newest header.
const PROFILES: c_uint = 18;
/// Drivers before this one list no profile while MIG is off.
const LISTS_WHILE_OFF: u32 = 550;

crate::nvml! {
    /// A profile by its index; an index that this GPU has no profile for is not supported, one that no GPU has is invalid.
    fn nvmlDeviceGetGpuInstanceProfileInfo(library, device: nvmlDevice_t, index: c_uint, info: *mut nvmlGpuInstanceProfileInfo_t) {
        let profile = listed(library, gpu(library, device)?, index)?;
        let engines = profile.engines;
        let answer = nvmlGpuInstanceProfileInfo_t {
            id: profile.id.ok_or(NOT_SUPPORTED)?,
            isP2pSupported: 0,
            sliceCount: profile.compute_slices,
            instanceCount: profile.instances,
            multiprocessorCount: profile.multiprocessors.unwrap_or(0),
            copyEngineCount: engines.copy.unwrap_or(0),
            decoderCount: engines.decoder.unwrap_or(0),
            encoderCount: engines.encoder.unwrap_or(0),
            jpegCount: engines.jpeg.unwrap_or(0),
            ofaCount: engines.optical_flow.unwrap_or(0),
            memorySizeMB: profile.memory_mib.unwrap_or(0),
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }

    /// A profile by its index with its name, in the second structure, and since 570 in the third.
    fn nvmlDeviceGetGpuInstanceProfileInfoV(library, device: nvmlDevice_t, index: c_uint, info: *mut nvmlGpuInstanceProfileInfo_v2_t) {
        // SAFETY: NULL gives `None`, and all versions begin with their number.
        let version = unsafe { info.as_ref() }.ok_or(INVALID_ARGUMENT)?.version;
        let profile = listed(library, gpu(library, device)?, index)?;
        if version == of_version::<nvmlGpuInstanceProfileInfo_v2_t>(2) {
            // SAFETY: as the function's contract.
            unsafe { put(info, second(profile, version)?) }
        } else if version == of_version::<nvmlGpuInstanceProfileInfo_v3_t>(3) && major(library) >= 570 {
            // SAFETY: the version says that the structure is the third one.
            unsafe { put(info.cast(), third(profile, version)?) }
        } else {
            Err(VERSION_MISMATCH)
        }
    }

    /// Where an instance of a profile can be, taken or not. Without a buffer only their number.
    fn nvmlDeviceGetGpuInstancePossiblePlacements_v2(library, device: nvmlDevice_t, profile: c_uint, placements: *mut nvmlGpuInstancePlacement_t, count: *mut c_uint) {
        let profile = by_id(library, gpu(library, device)?, profile)?;
        let number = c_uint::try_from(profile.placements.len()).map_err(|_| INVALID_ARGUMENT)?;
        for (place, placement) in profile.placements.iter().enumerate().filter(|_| !placements.is_null()) {
            let answer = nvmlGpuInstancePlacement_t { start: placement.start, size: placement.size };
            // SAFETY: nvml.h wants room for all placements.
            unsafe { put(placements.add(place), answer) }?;
        }
        // SAFETY: as the function's contract.
        unsafe { put(count, number) }
    }

    /// How many more instances of a profile fit now.
    fn nvmlDeviceGetGpuInstanceRemainingCapacity(library, device: nvmlDevice_t, profile: c_uint, count: *mut c_uint) {
        let gpu = gpu(library, device)?;
        may(library, MIG_CONFIG)?;
        let name = &by_id(library, gpu, profile)?.profile;
        let more = mig(library, gpu)?.remaining(name).map_err(|error| Code(error.code()))?;
        // SAFETY: as the function's contract.
        unsafe { put(count, more) }
    }

    /// Creates an instance at the first place that is free.
    fn nvmlDeviceCreateGpuInstance(library, device: nvmlDevice_t, profile: c_uint, instance: *mut nvmlGpuInstance_t) {
        let gpu = gpu(library, device)?;
        let profile = by_id(library, gpu, profile)?;
        let starts: Vec<u32> = profile.placements.iter().map(|placement| placement.start).collect();
        let mut last = NOT_SUPPORTED;
        for start in starts {
            // SAFETY: as the function's contract.
            match unsafe { create(library, gpu, &profile.profile, start, instance) } {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Creates an instance at a place. Only its start counts.
    fn nvmlDeviceCreateGpuInstanceWithPlacement(library, device: nvmlDevice_t, profile: c_uint, placement: *const nvmlGpuInstancePlacement_t, instance: *mut nvmlGpuInstance_t) {
        let gpu = gpu(library, device)?;
        let profile = by_id(library, gpu, profile)?;
        // SAFETY: NULL gives `None`, and the caller of the C function vouches for the rest.
        let at = unsafe { placement.as_ref() }.ok_or(INVALID_ARGUMENT)?;
        if profile.placement(at.start).is_none_or(|known| known.size != at.size) {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: as the function's contract.
        unsafe { create(library, gpu, &profile.profile, at.start, instance) }
    }

    /// Destroys an instance, which must be empty.
    fn nvmlGpuInstanceDestroy(library, instance: nvmlGpuInstance_t) {
        let (gpu, found) = instance_of(library, instance)?;
        let id = found.id;
        may(library, MIG_CONFIG)?;
        change(library, gpu.address, |mig| mig.destroy_gpu(id))
    }

    /// The instances of a profile. nvml.h wants room for as many as the profile can have.
    fn nvmlDeviceGetGpuInstances(library, device: nvmlDevice_t, profile: c_uint, instances: *mut nvmlGpuInstance_t, count: *mut c_uint) {
        let gpu = gpu(library, device)?;
        let profile = by_id(library, gpu, profile)?;
        may(library, MIG_CONFIG)?;
        if instances.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        let mut number = 0;
        for one in mig(library, gpu)?.instances.iter().filter(|one| one.profile == profile.profile) {
            // SAFETY: there are never more instances than the profile can have.
            unsafe { put(instances.add(number), handle(library, gpu, one.id)?) }?;
            number += 1;
        }
        // SAFETY: as the function's contract.
        unsafe { put(count, c_uint::try_from(number).unwrap_or(0)) }
    }

    /// An instance by its id.
    fn nvmlDeviceGetGpuInstanceById(library, device: nvmlDevice_t, id: c_uint, instance: *mut nvmlGpuInstance_t) {
        let gpu = gpu(library, device)?;
        mig(library, gpu)?.instances.iter().find(|one| one.id == id).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(instance, handle(library, gpu, id)?) }
    }

    /// What an instance is.
    fn nvmlGpuInstanceGetInfo(library, instance: nvmlGpuInstance_t, info: *mut nvmlGpuInstanceInfo_t) {
        let (gpu, one) = instance_of(library, instance)?;
        let known = profile_of(library, gpu, one)?;
        let answer = nvmlGpuInstanceInfo_t {
            device: gpu_handle(place(library, gpu)?),
            id: one.id,
            profileId: known.id.ok_or(NOT_FOUND)?,
            placement: nvmlGpuInstancePlacement_t { start: one.placement.start, size: one.placement.size },
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }
}

/// `NVML_STRUCT_VERSION`.
pub(crate) fn of_version<T>(number: u32) -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0) | number << 24
}

/// A name as NVML writes it, with its NUL.
pub(crate) fn name_of(profile: &str) -> [c_char; 96] {
    let mut name = [0; 96];
    for (to, from) in name.iter_mut().zip(format!("MIG {profile}").bytes().take(95)) {
        *to = c_char::try_from(from).unwrap_or(0);
    }
    name
}

/// The driver's branch.
pub(crate) fn major(library: &Library) -> u32 {
    let version = library.report.driver_version.known();
    version.and_then(|text| text.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// MIG of a GPU.
pub(crate) fn mig<'a>(library: &'a Library, gpu: &DriverGpu) -> Result<&'a SimMig, Code> {
    known(&gpu.mig_current)?;
    library.mig.gpus.get(&gpu.address).ok_or(NOT_SUPPORTED)
}

fn listed<'a>(library: &'a Library, gpu: &DriverGpu, index: c_uint) -> Result<&'a GpuProfile, Code> {
    let mig = mig(library, gpu)?;
    if index >= PROFILES {
        return Err(INVALID_ARGUMENT);
    }
    if mig.current == MigMode::Disabled && major(library) < LISTS_WHILE_OFF {
        return Err(NOT_SUPPORTED);
    }
    mig.catalog.profiles().iter().find(|profile| profile.index == Some(index)).ok_or(NOT_SUPPORTED)
}

fn by_id<'a>(library: &'a Library, gpu: &DriverGpu, id: c_uint) -> Result<&'a GpuProfile, Code> {
    let mut all = mig(library, gpu)?.catalog.profiles().iter();
    all.find(|profile| profile.id == Some(id)).ok_or(INVALID_ARGUMENT)
}

/// The GPU instance that a handle stands for, and its GPU.
pub(crate) fn instance_of(library: &Library, handle: nvmlGpuInstance_t) -> Result<(&DriverGpu, &SimGpuInstance), Code> {
    let known = Handle::of(handle).filter(|known| known.kind == Kind::GpuInstance).ok_or(INVALID_ARGUMENT)?;
    let gpu = library.report.gpus.get(known.gpu).ok_or(INVALID_ARGUMENT)?;
    let one = mig(library, gpu)?.instances.iter().find(|one| one.id == known.instance);
    one.map(|one| (gpu, one)).ok_or(NOT_FOUND)
}

/// The profile of an instance.
pub(crate) fn profile_of<'a>(
    library: &'a Library,
    gpu: &DriverGpu,
    one: &SimGpuInstance,
) -> Result<&'a GpuProfile, Code> {
    let catalog = &mig(library, gpu)?.catalog;
    catalog.find(&one.profile).and_then(|number| catalog.profile(number)).ok_or(NOT_FOUND)
}

fn handle(library: &Library, gpu: &DriverGpu, instance: u32) -> Result<nvmlGpuInstance_t, Code> {
    let gpu = place(library, gpu)?;
    Ok(Handle { kind: Kind::GpuInstance, gpu, instance, compute: 0 }.pointer())
}

/// # Safety
/// `instance` is NULL or points to memory where a handle may be written.
unsafe fn create(
    library: &Library,
    gpu: &DriverGpu,
    profile: &str,
    start: u32,
    instance: *mut nvmlGpuInstance_t,
) -> Result<(), Code> {
    may(library, MIG_CONFIG)?;
    let id = change(library, gpu.address, |mig| mig.create_gpu(profile, start))?;
    // SAFETY: as the function's contract.
    unsafe { put(instance, handle(library, gpu, id)?) }
}

fn second(profile: &GpuProfile, version: u32) -> Result<nvmlGpuInstanceProfileInfo_v2_t, Code> {
    let engines = profile.engines;
    Ok(nvmlGpuInstanceProfileInfo_v2_t {
        version,
        id: profile.id.ok_or(NOT_SUPPORTED)?,
        isP2pSupported: 0,
        sliceCount: profile.compute_slices,
        instanceCount: profile.instances,
        multiprocessorCount: profile.multiprocessors.unwrap_or(0),
        copyEngineCount: engines.copy.unwrap_or(0),
        decoderCount: engines.decoder.unwrap_or(0),
        encoderCount: engines.encoder.unwrap_or(0),
        jpegCount: engines.jpeg.unwrap_or(0),
        ofaCount: engines.optical_flow.unwrap_or(0),
        memorySizeMB: profile.memory_mib.unwrap_or(0),
        name: name_of(&profile.profile),
    })
}

fn third(profile: &GpuProfile, version: u32) -> Result<nvmlGpuInstanceProfileInfo_v3_t, Code> {
    let engines = profile.engines;
    Ok(nvmlGpuInstanceProfileInfo_v3_t {
        version,
        id: profile.id.ok_or(NOT_SUPPORTED)?,
        sliceCount: profile.compute_slices,
        instanceCount: profile.instances,
        multiprocessorCount: profile.multiprocessors.unwrap_or(0),
        copyEngineCount: engines.copy.unwrap_or(0),
        decoderCount: engines.decoder.unwrap_or(0),
        encoderCount: engines.encoder.unwrap_or(0),
        jpegCount: engines.jpeg.unwrap_or(0),
        ofaCount: engines.optical_flow.unwrap_or(0),
        memorySizeMB: profile.memory_mib.unwrap_or(0),
        name: name_of(&profile.profile),
        capabilities: 0,
    })
}
