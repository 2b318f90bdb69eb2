//! What a container needs in which a virtual machine with a given GPU runs: the one place that shows it.

use crate::ids::{IommuGroupId, PciAddress};
use serde::{Deserialize, Serialize};

/// Label with the PCI addresses of the GPUs that were given to the container's guest, separated by commas.
pub const LABEL_GPUS: &str = "org.gpuhost.passthrough.gpus";
/// Label with the numbers of their IOMMU groups, separated by commas.
pub const LABEL_GROUP: &str = "org.gpuhost.passthrough.groups";

/// What the container gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestNeeds {
    /// Device files, each mapped under its own name and for reading and writing; `/dev/vfio/vfio` first.
    pub devices: Vec<String>,
    /// RLIMIT_MEMLOCK must be unlimited: VFIO pins all memory of the guest and counts it to the container.
    pub memlock_unlimited: bool,
    /// Labels, by name.
    pub labels: Vec<(String, String)>,
}

/// What a container needs for these GPUs with their groups; nothing for none. A group that several GPUs share is mapped once.
#[must_use]
pub fn guest_needs(gpus: &[(PciAddress, IommuGroupId)]) -> GuestNeeds {
    if gpus.is_empty() {
        return GuestNeeds::default();
    }
    let mut addresses: Vec<PciAddress> = gpus.iter().map(|(address, _)| *address).collect();
    let mut groups: Vec<IommuGroupId> = gpus.iter().map(|(_, group)| *group).collect();
    addresses.sort();
    addresses.dedup();
    groups.sort();
    groups.dedup();
    let nodes = groups.iter().map(|group| format!("/dev/vfio/{group}"));
    GuestNeeds {
        devices: std::iter::once("/dev/vfio/vfio".to_owned()).chain(nodes).collect(),
        memlock_unlimited: true,
        labels: vec![(LABEL_GPUS.to_owned(), listed(&addresses)), (LABEL_GROUP.to_owned(), listed(&groups))],
    }
}

fn listed<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(address: &str, group: u32) -> (PciAddress, IommuGroupId) {
        (address.parse().unwrap(), IommuGroupId(group))
    }

    #[test]
    fn a_guest_gets_the_container_node_and_each_group_once() {
        let needs = guest_needs(&[gpu("0000:42:00.0", 24), gpu("0000:41:00.0", 0), gpu("0000:41:00.1", 0)]);
        assert_eq!(needs.devices, ["/dev/vfio/vfio", "/dev/vfio/0", "/dev/vfio/24"]);
        assert!(needs.memlock_unlimited);
        let label = |name: &str| needs.labels.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(label(LABEL_GPUS), "0000:41:00.0,0000:41:00.1,0000:42:00.0");
        assert_eq!(label(LABEL_GROUP), "0,24");
    }

    #[test]
    fn no_gpu_needs_nothing() {
        assert_eq!(guest_needs(&[]), GuestNeeds::default());
    }
}
