//! Giving a whole GPU to a virtual machine and taking it back: pure plans, with every precondition before the first step.

mod bind;
mod caution;
mod cautions;
mod checks;
mod container;
mod fitness;
mod persistence;
mod release;
pub mod variant;

pub use bind::{BindRequest, blockers, plan_passthrough};
pub use caution::Caution;
pub use cautions::cautions;
pub(crate) use checks::{in_parts, named_by_driver};
pub use container::{GuestNeeds, LABEL_GPUS, LABEL_GROUP, guest_needs};
pub use fitness::is_unhealthy;
pub use release::{ReleaseRequest, plan_release};

use crate::ids::DriverName;
use crate::observation::HostObservation;
use crate::plan::{Bounds, GroupState, Lane, Scope};
use crate::{IommuGroupId, PciAddress};

/// The driver that gives a function to user space.
const VFIO_PCI: &str = "vfio-pci";

/// The vfio driver for the group: the variant that the module aliases name, else vfio-pci.
#[must_use]
pub fn vfio_driver(seen: &GroupState) -> Option<DriverName> {
    seen.variant.clone().or_else(|| VFIO_PCI.parse().ok())
}

/// The bounds of a change of that scope, see [`scope_of`].
#[must_use]
pub fn bounds_of(host: &HostObservation, gpu: PciAddress) -> Option<Bounds> {
    scope_of(host, gpu).map(Bounds::of_functions)
}

/// The functions that a change of a GPU may touch, after an observation: the endpoints of its IOMMU group, or of its card where it has none.
/// `None` where there is no such GPU.
#[must_use]
pub fn scope_of(host: &HostObservation, gpu: PciAddress) -> Option<Scope> {
    let pci = &host.gpu(gpu)?.pci;
    let group: Option<IommuGroupId> = pci.iommu_group.get();
    let mut members: Vec<PciAddress> = match group.and_then(|id| host.group(id)) {
        Some(group) => {
            let endpoint = |m: &&crate::pci::GroupMember| !m.class.get().is_some_and(crate::PciClass::is_bridge);
            group.members.iter().filter(endpoint).map(|m| m.address).collect()
        }
        None => std::iter::once(gpu).chain(pci.companions.iter().copied()).collect(),
    };
    members.sort();
    members.dedup();
    Some(Scope { lane: group.map_or(Lane::Gpu(gpu), Lane::Group), gpu, members })
}
