//! MIG of one GPU as NVML reports it now: mode, profiles, instances, and who runs on them.
//!
//! An instance whose processes cannot be listed is an error: what cannot be seen must not look unused.

use super::mig_calls::{self, ComputeInstance, GpuInstance, RawCompute};
use super::mig_profiles::{self, Known};
use super::return_code::{absence, answered, reading};
use super::value::parsed;
use super::{gpu, load};
use model::PciAddress;
use model::absence::{Absence, Reading};
use model::driver::MigMode;
use model::mig::{MigCatalog, MigComputeInstance, MigGpuInstance, MigOnGpu};
use model::os_cause::OsCause;
use nvml_wrapper::Nvml;
use nvml_wrapper::device::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED;
use protocol::lines::AskedGpu;

/// The library, loaded and initialised.
///
/// # Errors
/// None of the paths has one that works.
pub(crate) fn library(paths: &[String]) -> Result<Nvml, OsCause> {
    load::nvml(paths).map_err(|fault| OsCause::found(fault.to_string()))
}

/// The GPU at an address.
///
/// # Errors
/// NVML does not answer for it, or answers for another.
pub(super) fn device_at(nvml: &Nvml, address: PciAddress) -> Result<Device<'_>, OsCause> {
    gpu::find(nvml, AskedGpu::At(address)).map(|(device, _, _)| device).map_err(|(_, said)| OsCause::found(said))
}

/// A GPU instance with what was found in it.
pub(super) struct Within<'d> {
    /// The instance.
    pub(super) instance: GpuInstance<'d>,
    /// Name of its profile.
    pub(super) profile: String,
    /// Profiles of compute instances.
    pub(super) profiles: Vec<RawCompute>,
    /// Its compute instances with their slices.
    pub(super) compute: Vec<(u32, ComputeInstance<'d>)>,
}

/// Looks at MIG of a GPU.
///
/// # Errors
/// NVML does not answer for it, or an instance cannot be looked at.
pub(crate) fn look(nvml: &Nvml, address: PciAddress) -> Result<MigOnGpu, OsCause> {
    let device = device_at(nvml, address)?;
    let (current, pending) = gpu::mig_mode(&device);
    let is_on = current.get() == Some(MigMode::Enabled);
    let mut profiles = mig_profiles::of_gpu(&device);
    let mut instances = Vec::new();
    if is_on {
        let known = profiles.as_mut().map_err(|error| answered("list the MIG profiles", error))?;
        for within in all_within(&device, known)? {
            note_computes(known, &within);
            instances.push(described(&device, within)?);
        }
        instances.sort_by_key(|one: &MigGpuInstance| one.start);
    }
    let catalog = catalog(&device, profiles);
    if let (true, Reading::Absent(Absence::Garbled(why))) = (is_on, &catalog) {
        return Err(OsCause::found(format!("the MIG profiles that NVML lists for {address} are invalid: {why}")));
    }
    Ok(MigOnGpu {
        gpu: address,
        uuid: parsed(reading(device.uuid())),
        minor: reading(device.minor_number()),
        current,
        pending,
        switches_without_reset: without_reset(&device),
        catalog,
        instances,
        driver_load: None,
    })
}

/// Compute profiles are known of the profiles of which there is an instance.
fn note_computes(known: &mut [Known], within: &Within<'_>) {
    let computes = mig_profiles::plain(&within.profiles);
    for one in known.iter_mut().filter(|one| one.id == within.instance.profile_id) {
        one.profile.compute_profiles = Reading::Known(computes.clone());
    }
}

fn catalog(device: &Device<'_>, profiles: Result<Vec<Known>, NvmlError>) -> Reading<MigCatalog> {
    let product = device.name().unwrap_or_default();
    match profiles {
        Ok(known) => match MigCatalog::new(product, known.into_iter().map(|one| one.profile).collect()) {
            Ok(catalog) => Reading::Known(catalog),
            Err(error) => Reading::Absent(Absence::garbled(&error.to_string())),
        },
        Err(error) => Reading::Absent(absence(&error)),
    }
}

fn without_reset(device: &Device<'_>) -> Reading<bool> {
    let field = device.field_values_for(&[FieldId(NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED)]);
    let sample = field.and_then(|mut samples| samples.pop().unwrap_or(Err(NvmlError::NoData)));
    match reading(sample.and_then(|sample| sample.value)) {
        Reading::Known(SampleValue::U32(value)) => Reading::Known(value != 0),
        Reading::Known(SampleValue::U64(value)) => Reading::Known(value != 0),
        Reading::Known(SampleValue::F64(_) | SampleValue::I64(_)) => Reading::Absent(Absence::UnknownError),
        Reading::Absent(why) => Reading::Absent(why),
    }
}

/// All GPU instances with their compute instances.
///
/// # Errors
/// One of them cannot be looked at, or has a profile that the GPU does not list.
pub(super) fn all_within<'d>(device: &'d Device<'d>, known: &[Known]) -> Result<Vec<Within<'d>>, OsCause> {
    let mut found: Vec<Within<'d>> = Vec::new();
    for one in known {
        let listed = mig_calls::gpu_instances(device, one.id);
        for instance in listed.map_err(|error| answered("list the GPU instances", &error))? {
            if found.iter().any(|other| other.instance.id == instance.id) {
                continue;
            }
            let what = format!("look at GPU instance {}", instance.id);
            let Some(own) = known.iter().find(|known| known.id == instance.profile_id) else {
                let id = instance.profile_id;
                return Err(OsCause::found(format!("{what}: its profile {id} is none that the GPU lists")));
            };
            let profiles = mig_profiles::of_instance(&instance).map_err(|error| answered(&what, &error))?;
            let compute = computes(&instance, &profiles).map_err(|error| answered(&what, &error))?;
            found.push(Within { profile: own.profile.profile.clone(), instance, profiles, compute });
        }
    }
    Ok(found)
}

fn computes<'d>(
    instance: &GpuInstance<'d>,
    profiles: &[RawCompute],
) -> Result<Vec<(u32, ComputeInstance<'d>)>, NvmlError> {
    let mut found: Vec<(u32, ComputeInstance<'d>)> = Vec::new();
    for profile in profiles {
        for compute in instance.compute_instances(profile.id)? {
            if found.iter().all(|(_, known)| known.id != compute.id) {
                found.push((profile.slices, compute));
            }
        }
    }
    found.sort_by_key(|(_, compute)| compute.id);
    Ok(found)
}

fn described(device: &Device<'_>, within: Within<'_>) -> Result<MigGpuInstance, OsCause> {
    let id = within.instance.id;
    let mut compute = Vec::new();
    for (slices, one) in within.compute {
        let place = (id, one.id);
        let mig = mig_device(device, one.reported_device, place);
        let uuid = match &mig {
            Ok(mig) => parsed(reading(mig.uuid())),
            Err(error) => Reading::Absent(absence(error)),
        };
        let what = format!("list the processes on compute instance {} of GPU instance {id}", one.id);
        let processes = processes(device, mig.ok().as_ref(), place).map_err(|error| answered(&what, &error))?;
        compute.push(MigComputeInstance { id: one.id, slices, uuid, processes });
    }
    let placement = within.instance.placement;
    Ok(MigGpuInstance { id, profile: within.profile, start: placement.start, size: placement.size, compute })
}

/// The MIG device that is a compute instance: the one that it reports itself, or the one of the GPU whose ids are the same.
fn mig_device<'d>(
    device: &Device<'d>,
    reported: Option<Device<'d>>,
    place: (u32, u32),
) -> Result<Device<'d>, NvmlError> {
    let is_it = |mig: &Device<'_>| mig_calls::instance_ids(mig).is_ok_and(|ids| ids == place);
    if let Some(reported) = reported.filter(|mig| is_it(mig)) {
        return Ok(reported);
    }
    let most = device.mig_device_count()?.min(super::mig::MIG_DEVICES_MAX);
    let mut all = (0..most).filter_map(|index| device.mig_device_by_index(index).ok());
    all.find(|mig| is_it(mig)).ok_or(NvmlError::NotFound)
}

/// Processes on a compute instance: those of its MIG device, or those of the GPU that name it.
fn processes(device: &Device<'_>, mig: Option<&Device<'_>>, place: (u32, u32)) -> Result<Vec<u32>, NvmlError> {
    let asked = mig.unwrap_or(device);
    let mut found = asked.running_compute_processes()?;
    for others in [asked.running_graphics_processes(), asked.mps_running_compute_processes()] {
        match others {
            Ok(others) => found.extend(others),
            // A card without graphics, or a driver without MPS: it has no such processes.
            Err(NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // One of which the driver does not say where it runs may run here.
    let is_here = |process: &&ProcessInfo| {
        let gpu = process.gpu_instance_id.is_none_or(|id| id == place.0);
        gpu && process.compute_instance_id.is_none_or(|id| id == place.1)
    };
    let mut pids: Vec<u32> = found.iter().filter(|it| mig.is_some() || is_here(it)).map(|it| it.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}
