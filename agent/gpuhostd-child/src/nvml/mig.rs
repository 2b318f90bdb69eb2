//! MIG devices as the daemon's sample has them.

use super::mig_calls;
use super::return_code::reading;
use super::value::{memory, parsed, text};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, UnplacedMig};
use model::ids::MigUuid;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::NvmlError;

/// No GPU has more MIG devices.
pub(super) const MIG_DEVICES_MAX: u32 = 64;

/// Reads the MIG devices of a GPU: those whose place NVML names, and those that it leaves to nvidia-smi.
pub(super) fn read(said: &mut DriverGpu, gpu: &Device<'_>, problems: &mut Vec<String>) {
    // This is the most that the GPU could have; the list has holes.
    let most = match gpu.mig_device_count() {
        Ok(most) => most.min(MIG_DEVICES_MAX),
        Err(error) => {
            problems.push(format!("NVML cannot list the MIG devices of {}: {error}", said.address));
            return;
        }
    };
    for index in 0..most {
        match gpu.mig_device_by_index(index) {
            Ok(device) => read_one(said, &device, index),
            Err(NvmlError::NotFound) => {}
            Err(error) => {
                problems.push(format!("NVML does not answer for MIG device {index} of {}: {error}", said.address));
            }
        }
    }
}

fn read_one(said: &mut DriverGpu, device: &Device<'_>, index: u32) {
    let uuid = reading(device.uuid());
    let place = mig_calls::instance_ids(device).ok().or_else(|| ids_in(uuid.known()?));
    let uuid = parsed::<MigUuid>(uuid);
    let profile: Reading<String> = text(device.name()).known().and_then(|name| profile(name)).into();
    let memory = memory(device);
    let Some((gpu_instance, compute_instance)) = place else {
        said.mig_unplaced.push(UnplacedMig { index, uuid, profile, memory_total_mib: memory.total });
        return;
    };
    let attributes = device.attributes();
    let count = |value: Result<u32, ()>| value.map_or(Reading::Absent(Absence::NotReported), Reading::Known);
    let attributes = attributes.as_ref().map_err(|_| ());
    said.mig_devices.push(DriverMig {
        index: Reading::Known(index),
        gpu_instance,
        compute_instance,
        uuid,
        profile,
        memory,
        sm: count(attributes.map(|it| it.multiprocessor_count)),
        ce: count(attributes.map(|it| it.shared_copy_engine_count)),
        enc: count(attributes.map(|it| it.shared_encoder_count)),
        dec: count(attributes.map(|it| it.shared_decoder_count)),
        jpeg: count(attributes.map(|it| it.shared_jpeg_count)),
        ofa: count(attributes.map(|it| it.shared_ofa_count)),
    });
}

/// Drivers before 470 name a MIG device by its place, `MIG-GPU-<uuid>/<GPU instance>/<compute instance>`: where the calls for the
/// two ids fail, the UUID has them.
fn ids_in(uuid: &str) -> Option<(u32, u32)> {
    let (rest, compute) = uuid.strip_prefix("MIG-GPU-")?.rsplit_once('/')?;
    let (_, gpu) = rest.rsplit_once('/')?;
    Some((gpu.parse().ok()?, compute.parse().ok()?))
}

/// `NVIDIA A100-SXM4-40GB MIG 1g.5gb` → `1g.5gb`.
fn profile(name: &str) -> Option<String> {
    let (_, profile) = name.rsplit_once(" MIG ")?;
    profile.starts_with(|c: char| c.is_ascii_digit()).then(|| profile.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_the_old_uuids_only() {
        assert_eq!(ids_in("MIG-GPU-5d2a8f5c-1b1e-4f8e/7/0"), Some((7, 0)));
        for uuid in ["MIG-5d2a8f5c-1b1e-4f8e", "MIG-GPU-5d2a/7", "MIG-GPU-5d2a/x/0", "GPU-5d2a/7/0", ""] {
            assert_eq!(ids_in(uuid), None, "{uuid}");
        }
    }

    #[test]
    fn the_profile_is_the_end_of_the_name() {
        assert_eq!(profile("NVIDIA A100-SXM4-40GB MIG 1g.5gb").as_deref(), Some("1g.5gb"));
        assert_eq!(profile("NVIDIA H100 MIG 1c.3g.40gb+me").as_deref(), Some("1c.3g.40gb+me"));
        assert_eq!(profile("NVIDIA H100 80GB HBM3"), None);
        assert_eq!(profile("NVIDIA MIG "), None);
    }
}
