//! Compute instances: the profiles that a GPU instance has for them, and those that there are.

use crate::answer::put;
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, VERSION_MISMATCH};
use crate::device::{gpu_handle, place};
use crate::gpu_instances::{instance_of, major, mig, name_of, of_version, profile_of};
use crate::handle::{Handle, Kind};
use crate::library::Library;
use crate::shared::{MIG_CONFIG, change, may};
use model::driver::DriverGpu;
use nvml_wrapper_sys::bindings::{
    nvmlComputeInstance_t, nvmlComputeInstanceInfo_t, nvmlComputeInstancePlacement_t, nvmlComputeInstanceProfileInfo_t,
    nvmlComputeInstanceProfileInfo_v2_t, nvmlGpuInstance_t,
};
use sim::mig::{SimCompute, SimGpuInstance};
use std::ffi::c_uint;

/// `NVML_COMPUTE_INSTANCE_PROFILE_*`: slices by index. The last one is a second form of one slice, of which there is one.
const SLICES: [u32; 8] = [1, 2, 3, 4, 7, 8, 6, 1];
/// The index of that second form; it is the profile's id too.
const SECOND_FORM: c_uint = 7;
/// Since this branch a compute instance names the handle of its MIG device; before, that of its GPU.
const NAMES_MIG_DEVICE: u32 = 550;

crate::nvml! {
    /// A profile of compute instances by its index.
    fn nvmlGpuInstanceGetComputeInstanceProfileInfo(library, instance: nvmlGpuInstance_t, index: c_uint, engines: c_uint, info: *mut nvmlComputeInstanceProfileInfo_t) {
        let (slices, instances, _) = listed(library, instance, index, engines)?;
        let answer = nvmlComputeInstanceProfileInfo_t {
            id: index,
            sliceCount: slices,
            instanceCount: instances,
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }

    /// A profile of compute instances by its index, with its name.
    fn nvmlGpuInstanceGetComputeInstanceProfileInfoV(library, instance: nvmlGpuInstance_t, index: c_uint, engines: c_uint, info: *mut nvmlComputeInstanceProfileInfo_v2_t) {
        // SAFETY: NULL gives `None`, and all versions begin with their number.
        let version = unsafe { info.as_ref() }.ok_or(INVALID_ARGUMENT)?.version;
        let (slices, instances, name) = listed(library, instance, index, engines)?;
        if version != of_version::<nvmlComputeInstanceProfileInfo_v2_t>(2) {
            return Err(VERSION_MISMATCH);
        }
        let answer = nvmlComputeInstanceProfileInfo_v2_t {
            version,
            id: index,
            sliceCount: slices,
            instanceCount: instances,
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
            name: name_of(&name),
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }

    /// Creates a compute instance.
    fn nvmlGpuInstanceCreateComputeInstance(library, instance: nvmlGpuInstance_t, profile: c_uint, compute: *mut nvmlComputeInstance_t) {
        let (slices, _, _) = listed(library, instance, profile, 0)?;
        let (gpu, one) = instance_of(library, instance)?;
        let within = one.id;
        may(library, MIG_CONFIG)?;
        let id = change(library, gpu.address, |mig| mig.create_compute(within, slices))?;
        // SAFETY: as the function's contract.
        unsafe { put(compute, handle(library, gpu, within, id)?) }
    }

    /// Destroys a compute instance, on which nothing may run.
    fn nvmlComputeInstanceDestroy(library, compute: nvmlComputeInstance_t) {
        let (gpu, one, found) = compute_of(library, compute)?;
        let (within, id) = (one.id, found.id);
        may(library, MIG_CONFIG)?;
        change(library, gpu.address, |mig| mig.destroy_compute(within, id))
    }

    /// The compute instances of a profile. nvml.h wants room for as many as the profile can have.
    fn nvmlGpuInstanceGetComputeInstances(library, instance: nvmlGpuInstance_t, profile: c_uint, computes: *mut nvmlComputeInstance_t, count: *mut c_uint) {
        let (slices, _, _) = listed(library, instance, profile, 0)?;
        let (gpu, one) = instance_of(library, instance)?;
        may(library, MIG_CONFIG)?;
        if computes.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        let mut number = 0;
        let of_profile = |compute: &&SimCompute| compute.slices == slices && profile != SECOND_FORM;
        for compute in one.compute.iter().filter(of_profile) {
            // SAFETY: there are never more instances than the profile can have.
            unsafe { put(computes.add(number), handle(library, gpu, one.id, compute.id)?) }?;
            number += 1;
        }
        // SAFETY: as the function's contract.
        unsafe { put(count, c_uint::try_from(number).unwrap_or(0)) }
    }

    /// A compute instance by its id.
    fn nvmlGpuInstanceGetComputeInstanceById(library, instance: nvmlGpuInstance_t, id: c_uint, compute: *mut nvmlComputeInstance_t) {
        let (gpu, one) = instance_of(library, instance)?;
        one.compute.iter().find(|compute| compute.id == id).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(compute, handle(library, gpu, one.id, id)?) }
    }

    /// What a compute instance is.
    fn nvmlComputeInstanceGetInfo_v2(library, compute: nvmlComputeInstance_t, info: *mut nvmlComputeInstanceInfo_t) {
        let (gpu, one, found) = compute_of(library, compute)?;
        let card = place(library, gpu)?;
        let device = Handle { kind: Kind::Mig, gpu: card, instance: one.id, compute: found.id };
        let index = SLICES.iter().position(|slices| *slices == found.slices).ok_or(NOT_FOUND)?;
        let answer = nvmlComputeInstanceInfo_t {
            device: if major(library) < NAMES_MIG_DEVICE { gpu_handle(card) } else { device.pointer() },
            gpuInstance: Handle { kind: Kind::GpuInstance, gpu: card, instance: one.id, compute: 0 }.pointer(),
            id: found.id,
            profileId: c_uint::try_from(index).unwrap_or(0),
            placement: nvmlComputeInstancePlacement_t { start: start_of(one, found), size: found.slices },
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }
}

/// Slices, number of instances and name of a profile.
fn listed(
    library: &Library,
    instance: nvmlGpuInstance_t,
    index: c_uint,
    engines: c_uint,
) -> Result<(u32, u32, String), Code> {
    let (gpu, one) = instance_of(library, instance)?;
    let profile = profile_of(library, gpu, one)?;
    let slices = usize::try_from(index).ok().and_then(|index| SLICES.get(index));
    let slices = *slices.filter(|_| engines == 0).ok_or(INVALID_ARGUMENT)?;
    let computes = profile.compute_profiles.known().ok_or(NOT_SUPPORTED)?;
    let found = computes.iter().find(|compute| compute.slices == slices).ok_or(NOT_SUPPORTED)?;
    let is_second = index == SECOND_FORM;
    // Cards that switch without a reset have the second form, in instances of more slices than one.
    if is_second && !(mig(library, gpu)?.is_resetless && profile.compute_slices > 1) {
        return Err(NOT_SUPPORTED);
    }
    Ok((slices, if is_second { 1 } else { found.instances }, profile.compute_name(slices)))
}

fn compute_of(
    library: &Library,
    handle: nvmlComputeInstance_t,
) -> Result<(&DriverGpu, &SimGpuInstance, &SimCompute), Code> {
    let known = Handle::of(handle).filter(|known| known.kind == Kind::ComputeInstance).ok_or(INVALID_ARGUMENT)?;
    let within = Handle { kind: Kind::GpuInstance, compute: 0, ..known }.pointer();
    let (gpu, one) = instance_of(library, within)?;
    let compute = one.compute.iter().find(|compute| compute.id == known.compute).ok_or(NOT_FOUND)?;
    Ok((gpu, one, compute))
}

fn handle(library: &Library, gpu: &DriverGpu, instance: u32, compute: u32) -> Result<nvmlComputeInstance_t, Code> {
    let gpu = place(library, gpu)?;
    Ok(Handle { kind: Kind::ComputeInstance, gpu, instance, compute }.pointer())
}

/// Compute instances are one behind the other, by id.
fn start_of(one: &SimGpuInstance, compute: &SimCompute) -> u32 {
    one.compute.iter().filter(|other| other.id < compute.id).map(|other| other.slices).sum()
}
