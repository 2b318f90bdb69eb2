//! What containers have mapped that can be a MIG instance, and which instances of a GPU that is. A container that is stopped counts: it
//! would reach the user who gets the instance next, because a re-created one can have the same UUID and the same capability.

use crate::absence::Reading;
use crate::holders::{Hold, Holder, Holders, MigPlace};
use crate::mig::capability_files::MigMinors;
use crate::mig::{MigGpuInstance, MigOnGpu};
use serde::{Deserialize, Serialize};

/// Longest name of a device that is passed on, in bytes; a UUID with its class has 70.
const DEVICE_MAX_BYTES: usize = 200;

/// A container and what it has mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerClaims {
    /// The first twelve digits of its id.
    pub id: String,
    /// It runs.
    pub is_running: bool,
    /// Devices by the names that its specification has: `MIG-…`, `0:1`, `nvidia.com/gpu=0:1`, `/dev/nvidia-caps/nvidia-cap12`.
    pub devices: Vec<String>,
}

/// What a name of a device means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim<'a> {
    /// The MIG device of this UUID.
    Uuid(&'a str),
    /// The older form: the GPU's UUID, GPU instance, compute instance.
    OldUuid(&'a str, MigPlace),
    /// Some MIG device of the GPU with this index.
    Index(usize),
    /// A capability file.
    Capability(u64),
    /// The folder of the capability files.
    AllCapabilities,
}

/// What of a device's name could be a MIG instance; `None` for a whole GPU, for `all` and for anything else.
fn claim(name: &str) -> Option<Claim<'_>> {
    let path = name.trim_end_matches('/');
    if path == "/dev/nvidia-caps" || path == "/dev" {
        return Some(Claim::AllCapabilities);
    }
    if let Some(number) = name.strip_prefix("/dev/nvidia-caps/nvidia-cap") {
        return number.parse().ok().map(Claim::Capability);
    }
    // A CDI name: vendor and class, then the device.
    let device = name.rsplit_once('=').map_or(name, |(_, device)| device).trim();
    if let Some(rest) = device.strip_prefix("MIG-GPU-") {
        let (rest, compute) = rest.rsplit_once('/')?;
        let (uuid, gpu) = rest.rsplit_once('/')?;
        let place = MigPlace { gpu_instance: gpu.parse().ok()?, compute_instance: Some(compute.parse().ok()?) };
        return Some(Claim::OldUuid(uuid, place));
    }
    if device.starts_with("MIG-") {
        return Some(Claim::Uuid(device));
    }
    let (gpu, number) = device.strip_prefix("mig").unwrap_or(device).split_once(':')?;
    let _which_one: u32 = number.parse().ok()?;
    gpu.parse().ok().map(Claim::Index)
}

/// Whether a name could be that of a MIG instance: the others are nobody's business.
#[must_use]
pub fn may_be_mig(name: &str) -> bool {
    name.len() <= DEVICE_MAX_BYTES && claim(name).is_some()
}

/// What is known of a GPU's instances, to tell whose a name is.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedGpu<'a> {
    /// MIG on the GPU.
    pub seen: &'a MigOnGpu,
    /// Its index among the GPUs of NVIDIA's driver, by PCI address; `None` = not known, then it may be any.
    pub index: Option<usize>,
    /// The numbers of the capabilities; `None` = not known.
    pub minors: Option<&'a MigMinors>,
}

/// Adds each container that has an instance of the GPU mapped, unless it is known as a holder of that instance already.
pub fn add_claims(holders: &mut Holders, claims: &[ContainerClaims], gpu: ClaimedGpu<'_>) {
    for container in claims {
        for device in &container.devices {
            let places = claim(device).map_or_else(Vec::new, |claim| places(&claim, gpu));
            for place in places {
                let is_known = holders.found.iter().any(|one| {
                    let same = one.container.as_deref() == Some(container.id.as_str());
                    same && one.instance.is_some_and(|known| covers(known, place))
                });
                if !is_known {
                    holders.found.push(holder(container, device, place, gpu.seen));
                }
            }
        }
    }
}

fn covers(known: MigPlace, place: MigPlace) -> bool {
    let whole = known.compute_instance.is_none() || known.compute_instance == place.compute_instance;
    known.gpu_instance == place.gpu_instance && whole
}

fn holder(container: &ContainerClaims, device: &str, place: MigPlace, seen: &MigOnGpu) -> Holder {
    let device = device.to_owned();
    Holder {
        pid: None,
        command: None,
        unit: None,
        container: Some(container.id.clone()),
        address: Some(seen.gpu),
        instance: Some(place),
        hold: if container.is_running {
            Hold::ContainerDevice { device }
        } else {
            Hold::StoppedContainerDevice { device }
        },
    }
}

/// The instances that a name means. The order in which NVIDIA numbers MIG devices follows the layout, and has holes: who is named by
/// number has another one after a change, so the number means every instance of its GPU.
fn places(claim: &Claim<'_>, gpu: ClaimedGpu<'_>) -> Vec<MigPlace> {
    let instances = &gpu.seen.instances;
    match claim {
        Claim::Uuid(uuid) => by_uuid(uuid, instances),
        Claim::OldUuid(uuid, place) => {
            let is_gpu = gpu.seen.uuid.known().is_none_or(|known| known.as_str().trim_start_matches("GPU-") == *uuid);
            if is_gpu { vec![*place] } else { Vec::new() }
        }
        Claim::Index(index) if gpu.index.is_none_or(|known| known == *index) => every(instances),
        Claim::Index(_) => Vec::new(),
        Claim::Capability(number) => match (gpu.minors, gpu.seen.minor.get()) {
            (Some(minors), Some(minor)) => minors.place(minor, *number).into_iter().collect(),
            // Whose it is cannot be told.
            (None, _) | (_, None) => every(instances),
        },
        Claim::AllCapabilities => every(instances),
    }
}

fn every(instances: &[MigGpuInstance]) -> Vec<MigPlace> {
    instances.iter().map(|one| MigPlace { gpu_instance: one.id, compute_instance: None }).collect()
}

/// The instance of that UUID; where none has it, those whose UUID is not known.
fn by_uuid(uuid: &str, instances: &[MigGpuInstance]) -> Vec<MigPlace> {
    let all = || {
        instances.iter().flat_map(|gpu| {
            gpu.compute.iter().map(|one| (MigPlace { gpu_instance: gpu.id, compute_instance: Some(one.id) }, &one.uuid))
        })
    };
    let named = all().find(|(_, known)| known.known().is_some_and(|known| known.as_str() == uuid));
    match named {
        Some((place, _)) => vec![place],
        None => all().filter(|(_, known)| matches!(known, Reading::Absent(_))).map(|(place, _)| place).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence::Absence;
    use crate::mig::MigComputeInstance;

    const FIRST: &str = "MIG-11111111-1111-5111-8111-111111111111";
    const SECOND: &str = "MIG-22222222-2222-5222-8222-222222222222";

    fn instance(id: u32, uuid: Option<&str>) -> MigGpuInstance {
        let uuid = uuid.map_or(Reading::Absent(Absence::NotReported), |uuid| Reading::Known(uuid.parse().unwrap()));
        let compute = vec![MigComputeInstance { id: 0, slices: 1, uuid, processes: Vec::new() }];
        MigGpuInstance { id, profile: "1g.5gb".to_owned(), start: id, size: 1, compute }
    }

    fn seen(instances: Vec<MigGpuInstance>) -> MigOnGpu {
        MigOnGpu {
            gpu: "0000:41:00.0".parse().unwrap(),
            uuid: Reading::Known("GPU-5d2a8f5c-1b1e-4f8e-9d5a-000000000001".parse().unwrap()),
            minor: Reading::Known(0),
            current: Reading::Absent(Absence::NotReported),
            pending: Reading::Absent(Absence::NotReported),
            switches_without_reset: Reading::Absent(Absence::NotReported),
            catalog: Reading::Absent(Absence::NotReported),
            instances,
            driver_load: None,
        }
    }

    /// GPU instances that a container with this device holds.
    fn held(device: &str, seen: &MigOnGpu, index: Option<usize>) -> Vec<u32> {
        let minors = MigMinors::read("gpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu1/gi1/access 147\n");
        let claims =
            [ContainerClaims { id: "ab12ab12ab12".to_owned(), is_running: false, devices: vec![device.to_owned()] }];
        let mut holders = Holders::default();
        add_claims(&mut holders, &claims, ClaimedGpu { seen, index, minors: Some(&minors) });
        assert!(holders.found.iter().all(|one| one.freed_by() == "docker rm ab12ab12ab12"), "{holders:?}");
        holders.found.iter().filter_map(|one| Some(one.instance?.gpu_instance)).collect()
    }

    #[test]
    fn every_name_of_an_instance_holds_it() {
        let seen = seen(vec![instance(1, Some(FIRST)), instance(2, Some(SECOND))]);
        for (device, expected) in [
            (FIRST, vec![1]),
            ("nvidia.com/gpu=MIG-22222222-2222-5222-8222-222222222222", vec![2]),
            ("MIG-33333333-3333-5333-8333-333333333333", vec![]),
            ("MIG-GPU-5d2a8f5c-1b1e-4f8e-9d5a-000000000001/2/0", vec![2]),
            ("MIG-GPU-5d2a8f5c-1b1e-4f8e-9d5a-000000000002/2/0", vec![]),
            ("0:1", vec![1, 2]),
            ("1:0", vec![]),
            ("nvidia.com/gpu=0:7", vec![1, 2]),
            ("nvidia.com/gpu=mig0:0", vec![1, 2]),
            ("/dev/nvidia-caps/nvidia-cap12", vec![1]),
            ("/dev/nvidia-caps/nvidia-cap147", vec![]),
            ("/dev/nvidia-caps/", vec![1, 2]),
        ] {
            assert_eq!(held(device, &seen, Some(0)), expected, "{device}");
            assert!(may_be_mig(device), "{device}");
        }
        for device in
            ["all", "void", "0", "GPU-5d2a8f5c", "nvidia.com/gpu=all", "nvidia.com/gpu=0", "/dev/nvidia0", "a:b", ""]
        {
            assert!(!may_be_mig(device), "{device}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_held() {
        let unknown = seen(vec![instance(1, Some(FIRST)), instance(2, None)]);
        assert_eq!(held("MIG-33333333-3333-5333-8333-333333333333", &unknown, Some(0)), [2]);
        assert_eq!(held("3:0", &unknown, None), [1, 2], "the index of the GPU is not known");
    }

    #[test]
    fn who_is_found_with_an_instance_open_is_not_told_twice() {
        let seen = seen(vec![instance(1, Some(FIRST))]);
        let claims =
            [ContainerClaims { id: "ab12ab12ab12".to_owned(), is_running: true, devices: vec![FIRST.to_owned()] }];
        let gpu = ClaimedGpu { seen: &seen, index: Some(0), minors: None };
        let mut holders = Holders::default();
        add_claims(&mut holders, &claims, gpu);
        let once = holders.clone();
        add_claims(&mut holders, &claims, gpu);
        assert_eq!(holders, once);
        assert_eq!(once.found.len(), 1);
        assert_eq!(
            once.found[0].to_string(),
            format!("container ab12ab12ab12 was given {FIRST} (GPU instance 1, compute instance 0)")
        );
    }
}
