//! mig-parted's checkpoints: a host's modes and layouts as JSON, with the places of the instances.

use super::host_gpus::{HostGpu, RecordedMigMode};
use crate::ids::GpuUuid;
use crate::mig::catalog::{GpuProfile, MigCatalog};
use crate::mig::layout::{Present, Wish};
use crate::printable::printable;
use serde::{Deserialize, Deserializer, Serialize};

/// Largest checkpoint that is read, in bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// So much of what the parser reports is repeated.
const SAID_MAX_CHARS: usize = 300;
const VERSION: &str = "v1";
/// Slices of each compute-instance profile by NVML's index: 1, 2, 3, 4, 7, 8, 6 slices, one slice of another kind, seven with
/// NVLink.
const COMPUTE_SLICES: [u32; 9] = [1, 2, 3, 4, 7, 8, 6, 1, 7];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct State {
    version: String,
    mig_state: MigState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MigState {
    #[serde(deserialize_with = "or_null")]
    devices: Vec<Device>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    #[serde(rename = "UUID")]
    uuid: GpuUuid,
    #[serde(rename = "MigMode")]
    mig_mode: u8,
    #[serde(rename = "GpuInstances", default, deserialize_with = "or_null")]
    gpu_instances: Vec<GpuInstance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GpuInstance {
    #[serde(rename = "ProfileID")]
    index: u32,
    #[serde(rename = "Placement")]
    placement: Place,
    #[serde(rename = "ComputeInstances", default, deserialize_with = "or_null")]
    compute_instances: Vec<ComputeInstance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Place {
    start: u32,
    size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComputeInstance {
    #[serde(rename = "ProfileID")]
    index: u32,
    #[serde(rename = "EngProfileID")]
    engine: u32,
}

/// An empty list is `null` where Go wrote it.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

/// What a checkpoint wants of one GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which GPU, by its place in the host's list.
    pub gpu: usize,
    /// MIG mode.
    pub enabled: bool,
    /// Its instances, each at its place; a GPU instance without compute instance is not among them.
    pub wishes: Vec<Wish>,
}

/// Writes the state of a host. GPUs that cannot do MIG are left out.
///
/// # Errors
/// A GPU has no UUID, or an instance has a profile for which there is no index.
pub fn write(host: &[(HostGpu, Option<MigCatalog>)]) -> Result<String, String> {
    let capable = host.iter().filter(|(gpu, _)| gpu.is_capable());
    let devices = capable.map(|(gpu, catalog)| {
        let uuid = gpu.uuid.clone().ok_or_else(|| format!("the UUID of {} is not known", gpu.address))?;
        let instance = |present| gpu_instance(gpu, catalog.as_ref(), present);
        Ok(Device {
            uuid,
            mig_mode: u8::from(gpu.mode == RecordedMigMode::On),
            gpu_instances: gpu.instances.iter().map(instance).collect::<Result<_, String>>()?,
        })
    });
    let devices = devices.collect::<Result<Vec<_>, String>>()?;
    let state = State { version: VERSION.to_owned(), mig_state: MigState { devices } };
    serde_json::to_string(&state).map_err(|error| error.to_string())
}

fn gpu_instance(gpu: &HostGpu, catalog: Option<&MigCatalog>, present: &Present) -> Result<GpuInstance, String> {
    let name = &present.instance.profile;
    let profile = catalog.and_then(|catalog| catalog.profile(catalog.find(name)?));
    let known = profile.and_then(|profile| Some((profile.index?, profile.placement(present.instance.start)?)));
    let (index, placement) = known.ok_or_else(|| format!("{}: NVML's index of {name} is not known", gpu.address))?;
    let compute = |slices: u32| {
        let index = COMPUTE_SLICES.iter().position(|own| *own == slices).and_then(|index| u32::try_from(index).ok());
        let index = index.ok_or_else(|| format!("{}: no index for a compute instance of {slices} slices", gpu.address));
        index.map(|index| ComputeInstance { index, engine: 0 })
    };
    Ok(GpuInstance {
        index,
        placement: Place { start: placement.start, size: placement.size },
        compute_instances: present.compute.iter().map(|own| compute(own.slices)).collect::<Result<_, _>>()?,
    })
}

/// What is wrong and where. The parser's words repeat a name of the file, which may be as long as the file.
fn no_checkpoint(error: &serde_json::Error) -> String {
    let said: String = printable(&error.to_string(), SAID_MAX_CHARS);
    format!("this is not a checkpoint: line {}, column {}: {said}", error.line(), error.column())
}

/// Reads a checkpoint against a host. A GPU that the checkpoint does not name is left alone.
///
/// # Errors
/// It is not a checkpoint, or not one of this host: a GPU, a profile or a place of it is not there. Nothing may be done then.
pub fn read(text: &str, host: &[(HostGpu, Option<MigCatalog>)]) -> Result<Vec<Restored>, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("it has {} bytes, more than {MOST_BYTES}", text.len()));
    }
    let state: State = serde_json::from_str(text).map_err(|error| no_checkpoint(&error))?;
    if state.version != VERSION {
        return Err(format!("unknown version {}; expected {VERSION}", super::shown(&state.version)));
    }
    let mut restored: Vec<Restored> = Vec::new();
    for device in &state.mig_state.devices {
        let at = host.iter().position(|(gpu, _)| gpu.uuid.as_ref() == Some(&device.uuid));
        let at = at.ok_or_else(|| format!("GPU {} of the checkpoint is not on this host", device.uuid))?;
        if restored.iter().any(|other| other.gpu == at) {
            return Err(format!("GPU {} occurs twice", device.uuid));
        }
        restored.push(restore(at, device, host.get(at))?);
    }
    Ok(restored)
}

fn restore(at: usize, device: &Device, host: Option<&(HostGpu, Option<MigCatalog>)>) -> Result<Restored, String> {
    let about = |why: String| format!("GPU {}: {why}", device.uuid);
    let (gpu, catalog) = host.ok_or_else(|| about("it is not on this host".to_owned()))?;
    let enabled = match device.mig_mode {
        0 => false,
        1 if gpu.is_capable() => true,
        1 => return Err(about("it cannot do MIG".to_owned())),
        mode => return Err(about(format!("MIG mode {mode} is not a valid value"))),
    };
    if !enabled && !device.gpu_instances.is_empty() {
        return Err(about("instances with MIG mode off".to_owned()));
    }
    let mut wishes: Vec<Wish> = Vec::new();
    for instance in &device.gpu_instances {
        let Place { start, size } = instance.placement;
        let has_index = |profile: &&GpuProfile| profile.index == Some(instance.index);
        let profile = catalog.as_ref().and_then(|catalog| catalog.profiles().iter().find(has_index));
        let profile = profile.ok_or_else(|| about(format!("it has no profile with the index {}", instance.index)))?;
        let placement = profile.placement(start).filter(|placement| placement.size == size);
        placement.ok_or_else(|| about(format!("{} cannot be placed at {start}:{size}", profile.profile)))?;
        for compute in &instance.compute_instances {
            let slices = usize::try_from(compute.index).ok().and_then(|index| COMPUTE_SLICES.get(index)).copied();
            let fits = slices.filter(|slices| *slices <= profile.compute_slices && compute.engine == 0);
            let index = compute.index;
            let slices = fits.ok_or_else(|| about(format!("{} holds no compute profile {index}", profile.profile)))?;
            let name = profile.compute_name(slices);
            match wishes.iter_mut().find(|wish| wish.profile == name && wish.start == Some(start)) {
                Some(wish) => wish.count += 1,
                None => wishes.push(Wish { profile: name, start: Some(start), count: 1 }),
            }
        }
    }
    Ok(Restored { gpu: at, enabled, wishes })
}
