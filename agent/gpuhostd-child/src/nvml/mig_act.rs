//! Takes one step of a MIG change through NVML, and reads again whether it has been taken: the library's word alone is not enough.

use super::gpu;
use super::mig_calls;
use super::mig_look::{Within, all_within, device_at};
use super::mig_profiles::{self, Known};
use super::return_code::{answered, code_said};
use model::PciAddress;
use model::driver::MigMode;
use model::mig::{Instance, MigStep};
use model::os_cause::OsCause;
use nvml_wrapper::Nvml;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::NvmlError;

/// Takes a step. What it names by profile and place is looked up afresh.
///
/// # Errors
/// What it names is not there, the library refuses, or it reports success and nothing has changed.
pub(crate) fn take(nvml: &Nvml, address: PciAddress, step: &MigStep) -> Result<(), OsCause> {
    let device = device_at(nvml, address)?;
    match step {
        MigStep::SetMode { to } => set_mode(&device, step, *to),
        MigStep::CreateGpu { instance } => create_gpu(&device, step, instance),
        MigStep::DestroyGpu { instance } => destroy_gpu(&device, step, instance),
        MigStep::CreateCompute { within, slices } => create_compute(&device, step, within, *slices),
        MigStep::DestroyCompute { within, id, slices } => destroy_compute(&device, step, within, (*id, *slices)),
    }
}

fn refused(step: &MigStep, error: &NvmlError) -> OsCause {
    answered(&step.to_string(), error)
}

fn unchanged(step: &MigStep) -> OsCause {
    OsCause::found(format!("{step}: the driver reports success, and nothing has changed"))
}

fn known(device: &Device<'_>) -> Result<Vec<Known>, OsCause> {
    mig_profiles::of_gpu(device).map_err(|error| answered("list the MIG profiles", &error))
}

fn at<'a, 'd>(all: &'a [Within<'d>], place: &Instance) -> Option<&'a Within<'d>> {
    all.iter().find(|one| one.profile == place.profile && one.instance.placement.start == place.start)
}

fn must_be<'a, 'd>(all: &'a [Within<'d>], step: &MigStep, place: &Instance) -> Result<&'a Within<'d>, OsCause> {
    at(all, place).ok_or_else(|| OsCause::found(format!("{step}: there is no GPU instance {place}")))
}

/// The activation status is another thing than the return code: a mode that waits for a reset is a failure of its own.
fn set_mode(device: &Device<'_>, step: &MigStep, to: MigMode) -> Result<(), OsCause> {
    let activation = device.set_mig_mode(to == MigMode::Enabled).map_err(|error| refused(step, &error))?;
    let (current, pending) = gpu::mig_mode(device);
    if current.known().is_none() {
        return Err(OsCause::found(format!("{step}: the driver does not report the mode afterwards")));
    }
    match (activation, current.get() == Some(to), pending.get() == Some(to)) {
        (0, true, _) => Ok(()),
        (0, false, true) => Err(OsCause::found(format!(
            "{step}: the driver reports success, and the mode waits for a reset of the GPU"
        ))),
        (_, _, true) => {
            Err(OsCause::found(format!("{step}: {}; the mode waits for a reset of the GPU", code_said(activation))))
        }
        (0, false, false) => Err(unchanged(step)),
        (_, _, false) => Err(OsCause::found(format!("{step}: {}", code_said(activation)))),
    }
}

fn create_gpu(device: &Device<'_>, step: &MigStep, wanted: &Instance) -> Result<(), OsCause> {
    let known = known(device)?;
    let profile = known.iter().find(|one| one.profile.profile == wanted.profile);
    let profile = profile.ok_or_else(|| OsCause::found(format!("{step}: the GPU has no such profile")))?;
    let place = profile.profile.placement(wanted.start);
    let place = place.ok_or_else(|| OsCause::found(format!("{step}: the profile has no placement there")))?;
    mig_calls::create_gpu(device, profile.id, place).map_err(|error| refused(step, &error))?;
    at(&all_within(device, &known)?, wanted).map(|_| ()).ok_or_else(|| unchanged(step))
}

fn destroy_gpu(device: &Device<'_>, step: &MigStep, wanted: &Instance) -> Result<(), OsCause> {
    let known = known(device)?;
    must_be(&all_within(device, &known)?, step, wanted)?.instance.destroy().map_err(|error| refused(step, &error))?;
    if at(&all_within(device, &known)?, wanted).is_some() { Err(unchanged(step)) } else { Ok(()) }
}

fn create_compute(device: &Device<'_>, step: &MigStep, within: &Instance, slices: u32) -> Result<(), OsCause> {
    let known = known(device)?;
    let before = all_within(device, &known)?;
    let one = must_be(&before, step, within)?;
    let profile = one.profiles.iter().find(|profile| profile.slices == slices);
    let profile = profile.ok_or_else(|| OsCause::found(format!("{step}: the instance has no such compute profile")))?;
    one.instance.create_compute(profile.id).map_err(|error| refused(step, &error))?;
    let count = |one: &Within<'_>| one.compute.iter().filter(|(has, _)| *has == slices).count();
    let now = all_within(device, &known)?;
    if at(&now, within).is_some_and(|now| count(now) > count(one)) { Ok(()) } else { Err(unchanged(step)) }
}

fn destroy_compute(
    device: &Device<'_>,
    step: &MigStep,
    within: &Instance,
    (id, slices): (u32, u32),
) -> Result<(), OsCause> {
    let known = known(device)?;
    let before = all_within(device, &known)?;
    let one = must_be(&before, step, within)?;
    let is_it = |(has, compute): &&(u32, mig_calls::ComputeInstance<'_>)| compute.id == id && *has == slices;
    let found = one.compute.iter().find(is_it);
    let (_, found) = found.ok_or_else(|| OsCause::found(format!("{step}: it is not there")))?;
    found.destroy().map_err(|error| refused(step, &error))?;
    let now = all_within(device, &known)?;
    let is_there = at(&now, within).is_some_and(|now| now.compute.iter().any(|(_, compute)| compute.id == id));
    if is_there { Err(unchanged(step)) } else { Ok(()) }
}
