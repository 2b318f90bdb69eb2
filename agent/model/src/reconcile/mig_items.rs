//! The item of MIG on a GPU: its mode, then its layout.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use super::world::World;
use crate::blocker::Blocker;
use crate::change::Change;
use crate::desired::{Desired, DesiredMig, DesiredMigMode, MigApply};
use crate::driver::{DriverMig, MigMode};
use crate::mig::layout::wishes_text;
use crate::mig::{MigLayoutRequest, MigModeRequest, ProfileName, Wish};
use crate::observation::{Gpu, GpuUse};
use crate::workspace_life::WorkspaceStatus;

/// The item, where something is wished.
pub(super) fn item(world: &World<'_>, source: WishSource, gpu: &Gpu, wish: &DesiredMig) -> Option<Item> {
    let path = ItemPath::new(format!("gpus[{}].mig", gpu.pci.address));
    let state = state(world, source, gpu, wish)?;
    let state = may_stop(world, wish).filter(|_| matches!(state, ItemState::ToDo(_))).unwrap_or(state);
    Some(Item { path, source, state, blockers: format!("{} {}", blockers(gpu), workspaces_on(world, gpu)) })
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
        let request = MigModeRequest { gpu: address, to, confirm_within_ms: None };
        return to_do(world, source, Change::MigMode(request));
    }
    match (layout, current) {
        (None, _) => ItemState::Met,
        (Some(layout), MigMode::Disabled) if layout.is_empty() => ItemState::Met,
        (Some(_), MigMode::Disabled) => {
            let message = format!("MIG mode of {address} is off; wish the mode as well (mode: enabled)");
            ItemState::Refused(Why::new("mig_off", message))
        }
        (Some(layout), MigMode::Enabled) => match is_so(gpu, layout) {
            Compared::Same => ItemState::Met,
            Compared::PlacesUnknown => {
                let message = format!("where the MIG instances of {address} are has not been read yet");
                ItemState::Waiting(Why::new("placement_unknown", message))
            }
            Compared::Other => {
                // A document is its own confirmation.
                let request = MigLayoutRequest {
                    gpu: address,
                    layout: wishes_text(layout),
                    replace_foreign: false,
                    confirm_within_ms: None,
                };
                to_do(world, source, Change::MigLayout(request))
            }
        },
    }
}

/// Stopping workspaces for a change is for the policy of this host to allow.
fn may_stop(world: &World<'_>, wish: &DesiredMig) -> Option<ItemState> {
    let is_denied = wish.apply == Desired::Value(MigApply::Force) && !world.policy.host.mig.stop_workspaces;
    is_denied.then(|| {
        let message = "the local policy does not allow it: no workspace may be stopped for a change of MIG \
                       (host.mig.stop_workspaces in policy.toml); with apply: drain they are waited for";
        ItemState::Refused(Why::new("denied_by_local_policy", message))
    })
}

/// The workspaces on it with what they do, in a form that is only compared: when one ends it is worth another attempt.
fn workspaces_on(world: &World<'_>, gpu: &Gpu) -> String {
    let Some(driver) = &gpu.driver else { return String::new() };
    let own = driver.uuid.known().map(ToString::to_string);
    let parts = driver.mig_devices.iter().filter_map(|device| device.uuid.known().map(ToString::to_string));
    let names: Vec<String> = own.into_iter().chain(parts).collect();
    let has = |one: &&WorkspaceStatus| one.gpus.iter().any(|name| names.contains(name));
    let each = world.workspaces.workspaces.iter().filter(has).map(|one| format!("{} {:?}", one.id, one.state));
    each.collect::<Vec<String>>().join(" ")
}

/// A change, unless another program of this host sets MIG as well: both would undo each other's work for ever.
fn to_do(world: &World<'_>, source: WishSource, change: Change) -> ItemState {
    match Blocker::mig_master(&world.host.host.mig_masters) {
        Some(blocker) => {
            let message = format!("{blocker}; {}", blocker.remedy());
            ItemState::Refused(Why::new(blocker.code(), message))
        }
        None => world.state_of_deed(source, Deed::Change(change)),
    }
}

/// How the MIG devices that the driver reports compare with the wished ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// They are the wished ones, at the wished places.
    Same,
    /// They are others, or elsewhere.
    Other,
    /// They are the wished ones, and the wish names places that are not known yet.
    PlacesUnknown,
}

fn is_so(gpu: &Gpu, layout: &[Wish]) -> Compared {
    let Some(driver) = gpu.driver.as_ref().filter(|driver| driver.mig_unplaced.is_empty()) else {
        return Compared::Other;
    };
    let named = |device: &DriverMig| Some((canonical(device.profile.known()?), device.gpu_instance));
    let reported: Option<Vec<(String, u32)>> = driver.mig_devices.iter().map(named).collect();
    let Some(reported) = reported else { return Compared::Other };
    let times = |wish: &Wish| usize::try_from(wish.count).unwrap_or(usize::MAX).min(crate::mig::catalog::MOST_PROFILES);
    let each = |wish: &Wish| vec![(canonical(&wish.profile), wish.start); times(wish)];
    let wished: Vec<(String, Option<u32>)> = layout.iter().flat_map(each).collect();
    if !is_same(reported.iter().map(|(name, _)| name), wished.iter().map(|(name, _)| name)) {
        return Compared::Other;
    }
    let at_a_place: Vec<(&str, u32)> =
        wished.iter().filter_map(|(name, start)| Some((name.as_str(), (*start)?))).collect();
    if at_a_place.is_empty() {
        return Compared::Same;
    }
    let place = |(name, id): &(String, u32)| Some((name.clone(), gpu.mig_place(*id)?.instance.start));
    let placed: Option<Vec<(String, u32)>> = reported.iter().map(place).collect();
    let Some(mut placed) = placed else { return Compared::PlacesUnknown };
    let mut take = |(name, start): &(&str, u32)| {
        let at = placed.iter().position(|(is, at)| is == name && at == start);
        at.map(|at| placed.swap_remove(at)).is_some()
    };
    if at_a_place.iter().all(&mut take) { Compared::Same } else { Compared::Other }
}

/// The same names, each as often.
fn is_same<'a>(one: impl Iterator<Item = &'a String>, other: impl Iterator<Item = &'a String>) -> bool {
    let (mut one, mut other): (Vec<&String>, Vec<&String>) = (one.collect(), other.collect());
    one.sort_unstable();
    other.sort_unstable();
    one == other
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
