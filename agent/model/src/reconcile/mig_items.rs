//! The item of MIG on a GPU: its mode, then its layout.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use super::world::World;
use crate::change::Change;
use crate::desired::{Desired, DesiredMig, DesiredMigMode};
use crate::driver::{DriverGpu, MigMode};
use crate::mig::layout::wishes_text;
use crate::mig::{MigLayoutRequest, MigModeRequest, ProfileName, Wish};
use crate::observation::{Gpu, GpuUse};

/// The item, where something is wished.
pub(super) fn item(world: &World<'_>, source: WishSource, gpu: &Gpu, wish: &DesiredMig) -> Option<Item> {
    let path = ItemPath::new(format!("gpus[{}].mig", gpu.pci.address));
    let state = state(world, source, gpu, wish)?;
    Some(Item { path, source, state, blockers: blockers(gpu) })
}

fn state(world: &World<'_>, source: WishSource, gpu: &Gpu, wish: &DesiredMig) -> Option<ItemState> {
    let mode = match &wish.mode {
        Desired::Absent | Desired::LocalDefault => None,
        Desired::Value(DesiredMigMode::Unmanaged) => return None,
        Desired::Value(DesiredMigMode::Enabled) => Some(MigMode::Enabled),
        Desired::Value(DesiredMigMode::Disabled) => Some(MigMode::Disabled),
        Desired::Unsupported(words) => return Some(unsupported(words)),
    };
    let layout = match &wish.layout {
        Desired::Absent | Desired::LocalDefault => None,
        Desired::Value(layout) => Some(layout),
        Desired::Unsupported(words) => return Some(unsupported(words)),
    };
    if let Desired::Unsupported(words) = &wish.apply {
        return Some(unsupported(words));
    }
    if mode.is_none() && layout.is_none() {
        return None;
    }
    Some(not_now(gpu).unwrap_or_else(|| wished(world, source, gpu, mode, layout)))
}

fn unsupported(words: &str) -> ItemState {
    ItemState::Refused(Why::new("unsupported_value", words))
}

fn not_now(gpu: &Gpu) -> Option<ItemState> {
    let address = gpu.pci.address;
    match gpu.usage {
        GpuUse::Transitioning => {
            Some(ItemState::Waiting(Why::new("transitioning", format!("a change of {address} is under way"))))
        }
        GpuUse::Quarantined => {
            let message = format!("{address}: a change of it could not be undone");
            Some(ItemState::Refused(Why::new("quarantined", message)))
        }
        GpuUse::Passthrough => {
            Some(ItemState::Waiting(Why::new("given_away", format!("{address} is given to a virtual machine"))))
        }
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig => None,
    }
}

fn wished(
    world: &World<'_>,
    source: WishSource,
    gpu: &Gpu,
    mode: Option<MigMode>,
    layout: Option<&Vec<Wish>>,
) -> ItemState {
    let address = gpu.pci.address;
    let current = gpu.driver.as_ref().and_then(|driver| driver.mig_current.get());
    let Some(current) = current else {
        let message = format!("the driver does not report MIG mode of {address}");
        return ItemState::Refused(Why::new("mig_unknown", message));
    };
    let pending = gpu.driver.as_ref().and_then(|driver| driver.mig_pending.get()).unwrap_or(current);
    if let Some(to) = mode.filter(|to| (current, pending) != (*to, *to)) {
        let request = MigModeRequest { gpu: address, to };
        return world.state_of_deed(source, Deed::Change(Change::MigMode(request)));
    }
    match (layout, current) {
        (None, _) => ItemState::Met,
        (Some(layout), MigMode::Disabled) if layout.is_empty() => ItemState::Met,
        (Some(_), MigMode::Disabled) => {
            let message = format!("MIG mode of {address} is off; wish the mode as well (mode: enabled)");
            ItemState::Refused(Why::new("mig_off", message))
        }
        (Some(layout), MigMode::Enabled) => {
            if gpu.driver.as_ref().is_some_and(|driver| is_so(driver, layout)) {
                return ItemState::Met;
            }
            let request = MigLayoutRequest { gpu: address, layout: wishes_text(layout), replace_foreign: false };
            world.state_of_deed(source, Deed::Change(Change::MigLayout(request)))
        }
    }
}

/// The MIG devices that the driver reports are the wished ones.
fn is_so(driver: &DriverGpu, layout: &[Wish]) -> bool {
    let reported: Option<Vec<String>> =
        driver.mig_devices.iter().map(|device| device.profile.known().map(|name| canonical(name))).collect();
    let Some(mut reported) = reported.filter(|_| driver.mig_unplaced.is_empty()) else { return false };
    let times = |wish: &Wish| usize::try_from(wish.count).unwrap_or(usize::MAX).min(crate::mig::catalog::MOST_PROFILES);
    let mut wished: Vec<String> = layout.iter().flat_map(|wish| vec![canonical(&wish.profile); times(wish)]).collect();
    reported.sort();
    wished.sort();
    reported == wished
}

/// Names that mean one profile have one text; a name in a form of tomorrow is its own.
fn canonical(name: &str) -> String {
    name.parse::<ProfileName>().map_or_else(|_| name.to_owned(), |name| name.canonical())
}

/// What could be in the way of a change, in a form that is only compared.
fn blockers(gpu: &Gpu) -> String {
    let Some(driver) = &gpu.driver else { return String::new() };
    let modes = (driver.mig_current.get(), driver.mig_pending.get());
    format!("{} {modes:?} {} {:?}", gpu.usage.code(), driver.mig_devices.len(), gpu.health.state)
}
