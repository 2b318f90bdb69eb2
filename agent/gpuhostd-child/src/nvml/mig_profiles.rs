//! What a GPU can be cut into, as NVML reports it: every profile that it has, under the name that nvidia-smi prints.

use super::mig_calls::{self, GpuInstance, MOST, RawCompute, RawProfile};
use model::absence::{Absence, Reading};
use model::mig::{ComputeProfile, Engines, GpuProfile, MOST_PROFILES, names};
use nvml_wrapper::device::Device;
use nvml_wrapper::error::NvmlError;

/// Indices that are asked for at most. NVML has 18 today; one that it does not have ends the list before.
const MOST_INDICES: u32 = 64;

/// A profile, and the number that instances of it are asked for by.
#[derive(Debug)]
pub(super) struct Known {
    /// Its id.
    pub(super) id: u32,
    /// What it is.
    pub(super) profile: GpuProfile,
}

/// All profiles of a GPU, in NVML's order. An index that this GPU has no profile for is a hole; the first that no GPU has ends the
/// list. Without any profile the driver does not list them now.
pub(super) fn of_gpu(device: &Device<'_>) -> Result<Vec<Known>, NvmlError> {
    let mut found = Vec::new();
    for index in 0..MOST_INDICES {
        match mig_calls::gpu_profile(device, index) {
            Ok(raw) => found.extend(known(device, index, raw)?),
            Err(NvmlError::NotSupported) => {}
            Err(NvmlError::InvalidArg) => break,
            Err(error) => return Err(error),
        }
    }
    if found.is_empty() { Err(NvmlError::NotSupported) } else { Ok(found) }
}

/// `None` where neither the library nor we have a name for it: no instance of it can be wished for.
fn known(device: &Device<'_>, index: u32, raw: RawProfile) -> Result<Option<Known>, NvmlError> {
    let fits = usize::try_from(raw.instances).is_ok_and(|count| count <= MOST);
    if !fits {
        return Err(NvmlError::InsufficientSize(usize::try_from(raw.instances).ok()));
    }
    let named = raw.name.clone().or_else(|| {
        let total_bytes = device.memory_info().ok()?.total;
        Some(names::of_indices(index, 0, raw.memory_mib, total_bytes)?.gpu_instance().to_string())
    });
    let Some(name) = named else { return Ok(None) };
    let [copy, decoder, encoder, jpeg, optical_flow] = raw.engines.map(Some);
    let profile = GpuProfile {
        profile: name,
        index: Some(index),
        id: Some(raw.id),
        compute_slices: raw.slices,
        memory_mib: (raw.memory_mib > 0).then_some(raw.memory_mib),
        multiprocessors: (raw.multiprocessors > 0).then_some(raw.multiprocessors),
        engines: Engines { copy, decoder, encoder, jpeg, optical_flow },
        instances: raw.instances,
        placements: mig_calls::placements(device, raw.id)?,
        compute_profiles: Reading::Absent(Absence::NotProbed),
    };
    Ok(Some(Known { id: raw.id, profile }))
}

/// The profiles of compute instances in a GPU instance: the first with so many slices is the plain one.
pub(super) fn of_instance(instance: &GpuInstance<'_>) -> Result<Vec<RawCompute>, NvmlError> {
    let mut found: Vec<RawCompute> = Vec::new();
    for index in 0..MOST_INDICES {
        match instance.compute_profile(index) {
            Ok(raw) if usize::try_from(raw.instances).is_ok_and(|count| count <= MOST) => found.push(raw),
            Ok(raw) => return Err(NvmlError::InsufficientSize(usize::try_from(raw.instances).ok())),
            Err(NvmlError::NotSupported) => {}
            Err(NvmlError::InvalidArg) => break,
            Err(error) => return Err(error),
        }
    }
    // Without any, its compute instances would not be seen, and what runs on them would not either.
    if found.is_empty() { Err(NvmlError::NotSupported) } else { Ok(found) }
}

/// Compute profiles as the catalog has them: one for each number of slices.
pub(super) fn plain(raw: &[RawCompute]) -> Vec<ComputeProfile> {
    let mut plain: Vec<ComputeProfile> = Vec::new();
    for one in raw.iter().take(MOST_PROFILES) {
        if plain.iter().all(|known| known.slices != one.slices) {
            plain.push(ComputeProfile { slices: one.slices, instances: one.instances });
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_form_of_a_compute_profile_is_not_the_plain_one() {
        let raw = [(0, 1, 2), (1, 2, 1), (7, 1, 1)].map(|(id, slices, instances)| RawCompute { id, slices, instances });
        let of = |raw: &[RawCompute]| plain(raw).iter().map(|it| (it.slices, it.instances)).collect::<Vec<_>>();
        assert_eq!(of(&raw), [(1, 2), (2, 1)]);
        // Seven slices have a second form for work over NVLink (kubernetes-sigs/dra-driver-nvidia-gpu#1480).
        let raw = [(0, 1, 7), (4, 7, 1), (7, 1, 1), (8, 7, 1)];
        let raw = raw.map(|(id, slices, instances)| RawCompute { id, slices, instances });
        assert_eq!(of(&raw), [(1, 7), (7, 1)]);
    }
}
