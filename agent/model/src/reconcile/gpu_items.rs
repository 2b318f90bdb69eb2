//! The domain of the GPUs: what each is for, and its features.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use super::matching::{Matched, matched};
use super::mig_items;
use super::setting_keys::held_locally;
use super::world::{World, refused};
use crate::change::{Bind, Change};
use crate::desired::{Desired, DesiredUse, GpuEntry};
use crate::features::FeatureName;
use crate::ids::PciAddress;
use crate::observation::{Gpu, GpuUse};
use crate::settings::HostSetting;
use std::collections::BTreeSet;

/// All items of `gpus`.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let local = matched(world, &world.desired.local.wishes.gpus);
    let mut items = of_source(world, WishSource::Local, &local, &BTreeSet::new());
    if let Some(document) = world.desired.manager.document() {
        let held = local.gpus.keys().chain(local.unclear.iter().flat_map(|(_, gpus, _)| gpus)).copied().collect();
        items.extend(of_source(world, WishSource::Manager, &matched(world, &document.wishes.gpus), &held));
    }
    items
}

/// The items of one source; the GPUs in `held` are not its own to wish about.
fn of_source(world: &World<'_>, source: WishSource, matched: &Matched<'_>, held: &BTreeSet<PciAddress>) -> Vec<Item> {
    let unclear = matched.unclear.iter().enumerate().map(|(number, (entry, _, why))| {
        // Two entries may be written alike.
        let before = matched.unclear.iter().take(number).filter(|(other, ..)| other.of == entry.of).count();
        let again = if before > 0 { format!("#{}", before.saturating_add(1)) } else { String::new() };
        refused(ItemPath::new(format!("gpus[{}{again}]", entry.of)), source, why.clone())
    });
    let clear = matched.gpus.iter().flat_map(|(address, entry)| match world.host.gpu(*address) {
        Some(_) if held.contains(address) => {
            vec![refused(ItemPath::new(format!("gpus[{address}]")), source, held_locally())]
        }
        Some(gpu) => of_gpu(world, source, gpu, entry),
        None => Vec::new(),
    });
    unclear.chain(clear).collect()
}

fn of_gpu(world: &World<'_>, source: WishSource, gpu: &Gpu, entry: &GpuEntry) -> Vec<Item> {
    let address = gpu.pci.address;
    let path = |key: &str| ItemPath::new(format!("gpus[{address}].{key}"));
    let mut items = Vec::new();
    if let Some(state) = usage(world, source, gpu, &entry.usage) {
        items.push(Item { path: path("use"), source, state, blockers: blockers(gpu) });
    }
    items.extend(mig_items::item(world, source, gpu, &entry.mig));
    for (feature, wish) in &entry.features {
        if let Some(state) = feature_state(world, source, gpu, *feature, wish) {
            let path = path(&format!("features.{}", feature.code()));
            items.push(Item { path, source, state, blockers: String::new() });
        }
    }
    for name in &entry.unknown_features {
        let why = Why::new("unsupported_value", format!("this version of gpuhostd knows no feature {name}"));
        items.push(refused(path(&format!("features.{name}")), source, why));
    }
    items
}

fn usage(world: &World<'_>, source: WishSource, gpu: &Gpu, wish: &Desired<DesiredUse>) -> Option<ItemState> {
    let wished = match wish {
        Desired::Absent => return None,
        Desired::Unsupported(words) => {
            return Some(ItemState::Refused(Why::new("unsupported_value", words.clone())));
        }
        Desired::LocalDefault => DesiredUse::Auto,
        Desired::Value(wished) => *wished,
    };
    let address = gpu.pci.address;
    match gpu.usage {
        GpuUse::Transitioning => {
            return Some(ItemState::Waiting(Why::new("transitioning", format!("a change of {address} is under way"))));
        }
        GpuUse::Quarantined if wished != DesiredUse::Auto => {
            let cause = gpu.first_broken_link().and_then(|link| link.reason.clone());
            let cause = cause.unwrap_or_else(|| "a change of it could not be undone".to_owned());
            return Some(ItemState::Refused(Why::new("quarantined", format!("{address}: {cause}"))));
        }
        GpuUse::Quarantined | GpuUse::Host | GpuUse::Shared | GpuUse::Mig | GpuUse::Passthrough => {}
    }
    let is_given = gpu.usage == GpuUse::Passthrough;
    let is_off = world.overlay().is_off(address);
    let deed = match wished {
        DesiredUse::Auto => is_off.then_some(Deed::Set(HostSetting::GpuOff(address, false))),
        DesiredUse::Passthrough if is_off => Some(Deed::Set(HostSetting::GpuOff(address, false))),
        DesiredUse::Passthrough => (!is_given).then(|| Deed::Change(Change::PassthroughBind(bind(address)))),
        DesiredUse::Off | DesiredUse::Containers if is_given => Some(Deed::Change(Change::PassthroughRelease(address))),
        DesiredUse::Off => (!is_off).then_some(Deed::Set(HostSetting::GpuOff(address, true))),
        DesiredUse::Containers => is_off.then_some(Deed::Set(HostSetting::GpuOff(address, false))),
    };
    Some(deed.map_or(ItemState::Met, |deed| world.state_of_deed(source, deed)))
}

const fn bind(gpu: PciAddress) -> Bind {
    // A document is its own confirmation: it is still there when the guest does not come up.
    Bind { gpu, confirm_within_ms: None, guest_memory_mib: None }
}

/// What could be in the way of a change of a GPU, in a form that is only compared.
fn blockers(gpu: &Gpu) -> String {
    format!("{} {:?} {:?}", gpu.usage.code(), gpu.passthrough.reasons, gpu.health.state)
}

fn feature_state(
    world: &World<'_>,
    source: WishSource,
    gpu: &Gpu,
    feature: FeatureName,
    wish: &Desired<bool>,
) -> Option<ItemState> {
    let wished = match wish {
        Desired::Absent => return None,
        Desired::Unsupported(words) => {
            return Some(ItemState::Refused(Why::new("unsupported_value", words.clone())));
        }
        Desired::LocalDefault => None,
        Desired::Value(on) => Some(*on),
    };
    let (address, name) = (gpu.pci.address, feature.code());
    let by_files = world.settings.gpu.get(&address).is_some_and(|own| own.features_off.contains(&feature));
    if wished == Some(true) && by_files {
        let message = format!("features_off in config.toml switches {name} of {address} off, and that has precedence");
        return Some(ItemState::Refused(Why::new("held_locally", message)));
    }
    let is_supported = gpu.features.get(&feature).is_some_and(|known| known.supported);
    if wished == Some(true) && !is_supported && gpu.usage != GpuUse::Passthrough {
        let lack =
            gpu.features.get(&feature).and_then(|known| known.reason).map(|lack| format!(": {}", lack.sentence()));
        let message = format!("{address} cannot do {name}{}", lack.unwrap_or_default());
        return Some(ItemState::Refused(Why::new("unsupported_by_gpu", message)));
    }
    let setting = HostSetting::GpuFeature(address, feature, wished);
    Some(if world.overlay().has(&setting) { ItemState::Met } else { world.state_of_deed(source, Deed::Set(setting)) })
}
