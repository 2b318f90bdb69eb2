//! The domain of the workspace proxy: its certificate, as its keeper found it.

use super::item::{Item, ItemPath, ItemState, Why, WishSource};
use super::setting_keys::held_locally;
use super::world::{World, refused};
use crate::proxy_cert::{ProxyOutcome, ProxyPair, ProxyState, ProxyWish, proxy_wish};

/// The path of the one item.
const PATH: &str = "proxy";

/// The item of each source that wishes something.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let item = |source, state| Item { path: ItemPath::new(PATH), source, state, blockers: String::new() };
    let mut items = Vec::new();
    match proxy_wish(world.desired, world.policy, (world.checkin, world.is_locked)) {
        ProxyWish::Nothing => {}
        ProxyWish::Pair(source, pair) => items.push(item(source, as_kept(world.proxy, &pair))),
        ProxyWish::Held(source, why) => items.push(item(source, ItemState::Held(why))),
        ProxyWish::Refused(source, why) => items.push(item(source, ItemState::Refused(why))),
    }
    let of_manager = world.desired.manager.document().is_some_and(|document| document.wishes.proxy.is_said());
    if of_manager && world.desired.local.wishes.proxy.is_said() {
        items.push(refused(ItemPath::new(PATH), WishSource::Manager, held_locally()));
    }
    items
}

fn as_kept(state: &ProxyState, pair: &ProxyPair) -> ItemState {
    match &state.outcome {
        ProxyOutcome::Installed if state.of.as_ref() == Some(pair) => ItemState::Met,
        ProxyOutcome::Refused(why) if state.of.as_ref() == Some(pair) => ItemState::Refused(why.clone()),
        ProxyOutcome::NotWritten(why) if state.of.as_ref() == Some(pair) => ItemState::Waiting(why.clone()),
        ProxyOutcome::NotLooked | ProxyOutcome::Installed | ProxyOutcome::Refused(_) | ProxyOutcome::NotWritten(_) => {
            ItemState::Waiting(Why::new("under_way", "the certificate has not been checked yet"))
        }
    }
}
