//! The D-Bus face as both of its sides know it: names, object paths, and what each object shows.
//!
//! One set of names serves D-Bus and `--json`: each property is in JSON under its D-Bus name. A value that is not known is
//! `null` in JSON, left out of `GetAll` on D-Bus, and named with its reason in `Absent`.

pub mod absent;
pub mod desired;
pub mod dict;
pub mod errors;
pub mod event;
pub mod feature;
pub mod gpu;
pub mod group;
pub mod host;
pub mod images;
pub mod job;
pub mod load;
pub mod metrics;
pub mod mig;
pub mod mig_look;
pub mod nvidia;
pub mod proxy;
pub mod snapshot;
pub mod value;
pub mod view;
pub mod workspace;
pub mod workspaces;

use model::nvidia_container::NvidiaRole;
use model::workspace::WorkspaceId;
use model::{IommuGroupId, JobId, PciAddress};

/// The name that the daemon owns on the bus.
pub const BUS_NAME: &str = "org.gpuhost.Agent1";
/// The root object; the ObjectManager sits here.
pub const ROOT_PATH: &str = "/org/gpuhost/Agent1";
/// Interface of the root object.
pub const HOST_INTERFACE: &str = "org.gpuhost.Agent1.Host";
/// Interface of the desired state, on the root object.
pub const DESIRED_INTERFACE: &str = "org.gpuhost.Agent1.DesiredState";
/// Interface of a GPU.
pub const GPU_INTERFACE: &str = "org.gpuhost.Agent1.Gpu";
/// Interface of a MIG device.
pub const MIG_DEVICE_INTERFACE: &str = "org.gpuhost.Agent1.MigDevice";
/// Interface of an IOMMU group.
pub const IOMMU_GROUP_INTERFACE: &str = "org.gpuhost.Agent1.IommuGroup";
/// Interface of NVIDIA's driver container and of its toolkit container.
pub const NVIDIA_CONTAINER_INTERFACE: &str = "org.gpuhost.Agent1.NvidiaContainer";
/// Interface of all workspaces together, on the root object.
pub const WORKSPACES_INTERFACE: &str = "org.gpuhost.Agent1.Workspaces";
/// Interface of a workspace.
pub const WORKSPACE_INTERFACE: &str = "org.gpuhost.Agent1.Workspace";
/// Interface of a job.
pub const JOB_INTERFACE: &str = "org.gpuhost.Agent1.Job";

/// Object path of a GPU, `/org/gpuhost/Agent1/gpu/0000_41_00_0`.
#[must_use]
pub fn gpu_path(address: PciAddress) -> String {
    format!("{ROOT_PATH}/gpu/{}", address.path_element())
}

/// Object path of a MIG device, `/org/gpuhost/Agent1/gpu/0000_41_00_0/mig/1_0`: GPU instance and compute instance.
#[must_use]
pub fn mig_path(gpu: PciAddress, gpu_instance: u32, compute_instance: u32) -> String {
    format!("{}/mig/{gpu_instance}_{compute_instance}", gpu_path(gpu))
}

/// Object path of an IOMMU group, `/org/gpuhost/Agent1/iommu_group/17`.
#[must_use]
pub fn group_path(id: IommuGroupId) -> String {
    format!("{ROOT_PATH}/iommu_group/{id}")
}

/// Object path of a job, `/org/gpuhost/Agent1/job/42`.
#[must_use]
pub fn job_path(id: JobId) -> String {
    format!("{ROOT_PATH}/job/{id}")
}

/// Object path of one of NVIDIA's containers, `/org/gpuhost/Agent1/nvidia/driver`.
#[must_use]
pub fn nvidia_path(role: NvidiaRole) -> String {
    format!("{ROOT_PATH}/nvidia/{role}")
}

/// Object path of a workspace, `/org/gpuhost/Agent1/workspace/alice_2d1`: each byte of the id that is no letter and no digit is `_`
/// with its two hexadecimal digits, so that two ids never have the same path.
#[must_use]
pub fn workspace_path(id: &WorkspaceId) -> String {
    let mut path = format!("{ROOT_PATH}/workspace/");
    for byte in id.as_str().bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => path.push(char::from(byte)),
            _ => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_id_has_a_path_of_its_own_that_the_bus_takes() {
        let ids = ["a-1", "a_1", "a.1", "a_2d1", "a__1", "7", "-", "A-1"];
        let paths: BTreeSet<_> = ids.iter().map(|id| workspace_path(&id.parse().unwrap())).collect();
        assert_eq!(paths.len(), ids.len(), "{paths:?}");
        assert!(paths.iter().all(|path| zbus::OwnedObjectPath::try_from(path.as_str()).is_ok()), "{paths:?}");
        assert_eq!(workspace_path(&"a-1".parse().unwrap()), "/org/gpuhost/Agent1/workspace/a_2d1");
    }
}
