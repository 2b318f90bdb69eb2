//! What somebody can hold: a function, or a MIG instance of one.

use model::holders::MigPlace;
use model::ids::PciAddress;

/// A function as a whole, or one of its MIG instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The function.
    pub(super) address: PciAddress,
    /// The MIG instance.
    pub(super) instance: Option<MigPlace>,
}

impl Part {
    /// The function itself.
    pub(super) const fn whole(address: PciAddress) -> Self {
        Self { address, instance: None }
    }
}

/// A process that uses a compute instance has the file of its GPU instance open too, which is no use of the other compute instances.
pub(super) fn without_ways_in<T>(held: &mut Vec<(Part, T)>) {
    let inner: Vec<u32> = held
        .iter()
        .filter_map(|(part, _)| part.instance.filter(|place| place.compute_instance.is_some()))
        .map(|place| place.gpu_instance)
        .collect();
    held.retain(|(part, _)| {
        part.instance.is_none_or(|place| place.compute_instance.is_some() || !inner.contains(&place.gpu_instance))
    });
}
