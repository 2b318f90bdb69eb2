//! Which GPU of this host an entry of `gpus` is about.

use super::item::Why;
use super::world::World;
use crate::desired::{GpuEntry, GpuMatch};
use crate::ids::{GpuUuid, PciAddress};
use std::collections::BTreeMap;
use std::fmt;

impl fmt::Display for GpuMatch {
    /// As it is in paths: the address alone, or the keys with their values.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = [
            self.bdf.map(|bdf| format!("bdf={bdf}")),
            self.uuid.as_ref().map(|uuid| format!("uuid={uuid}")),
            self.pci_id.map(|id| format!("pci_id={id}")),
        ];
        let keys: Vec<String> = keys.into_iter().flatten().collect();
        match (keys.as_slice(), self.bdf) {
            ([_], Some(bdf)) => write!(out, "{bdf}"),
            ([], _) => out.write_str("?"),
            _ => out.write_str(&keys.join(",")),
        }
    }
}

/// The entries of one source by the GPU that they are about, and those that are about none.
pub(super) struct Matched<'a> {
    /// Entries that are about exactly one GPU, which no other entry is about.
    pub(super) gpus: BTreeMap<PciAddress, &'a GpuEntry>,
    /// The others, with the GPUs that they may be about: those are left alone.
    pub(super) unclear: Vec<(&'a GpuEntry, Vec<PciAddress>, Why)>,
}

/// Matches the entries of one source with the GPUs of the host.
pub(super) fn matched<'a>(world: &World<'_>, entries: &'a [GpuEntry]) -> Matched<'a> {
    let found: Vec<(&GpuEntry, Vec<PciAddress>)> =
        entries.iter().map(|entry| (entry, about(world, &entry.of))).collect();
    let mut claims: BTreeMap<PciAddress, usize> = BTreeMap::new();
    for address in found.iter().flat_map(|(_, gpus)| gpus) {
        *claims.entry(*address).or_default() += 1;
    }
    let mut result = Matched { gpus: BTreeMap::new(), unclear: Vec::new() };
    for (entry, gpus) in found {
        match unclear(&entry.of, &gpus, &claims) {
            Some(why) => result.unclear.push((entry, gpus, why)),
            None => result.gpus.extend(gpus.into_iter().map(|gpu| (gpu, entry))),
        }
    }
    result
}

fn unclear(of: &GpuMatch, gpus: &[PciAddress], claims: &BTreeMap<PciAddress, usize>) -> Option<Why> {
    if let Some(wrong) = &of.wrong {
        return Some(Why::new("unsupported_value", wrong.clone()));
    }
    let listed = || gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match gpus {
        [] => Some(Why::new("not_found", format!("no GPU of this host matches {of}: `gpuhostctl gpus` lists them"))),
        [only] if claims.get(only).is_some_and(|claims| *claims > 1) => Some(Why::new(
            "ambiguous_match",
            format!("more than one entry of gpus matches {only}: it is left as it is"),
        )),
        [_] => None,
        _ => Some(Why::new(
            "ambiguous_match",
            format!("{} GPUs match {of} ({}): they are left as they are", gpus.len(), listed()),
        )),
    }
}

/// The GPUs for which all keys agree. Virtual functions are none.
fn about(world: &World<'_>, of: &GpuMatch) -> Vec<PciAddress> {
    if of.wrong.is_some() || (of.uuid.is_none() && of.bdf.is_none() && of.pci_id.is_none()) {
        return Vec::new();
    }
    let agrees = |gpu: &&crate::observation::Gpu| {
        of.bdf.is_none_or(|bdf| bdf == gpu.pci.address)
            && of.pci_id.is_none_or(|id| id == gpu.pci.id)
            && of.uuid.as_ref().is_none_or(|uuid| uuid_of(world, gpu).as_ref() == Some(uuid))
            && gpu.pci.physical_function.is_none()
    };
    world.host.gpus.iter().filter(agrees).map(|gpu| gpu.pci.address).collect()
}

/// The UUID of a GPU; of one that no driver of NVIDIA's serves now, the one that it had when one did.
fn uuid_of(world: &World<'_>, gpu: &crate::observation::Gpu) -> Option<GpuUuid> {
    let told = gpu.driver.as_ref().and_then(|driver| driver.uuid.known().cloned());
    told.or_else(|| {
        let is_it = |known: &&crate::roster::Known| {
            known.gone_at.is_none() && known.card.address == gpu.pci.address && known.card.id == gpu.pci.id
        };
        world.known.iter().find(is_it).and_then(|known| known.card.uuid.clone())
    })
}
