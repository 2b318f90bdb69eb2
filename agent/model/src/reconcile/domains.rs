//! The domains of a desired state: each is a pure function from the world to its items.

use super::item::Item;
use super::world::World;
use super::{gpu_items, host_items, image_items, nvidia_items, proxy_items, workspace_items};

/// A domain.
type Domain = fn(&World<'_>) -> Vec<Item>;

/// All of them. A craft that is added gets a function here.
const DOMAINS: [Domain; 6] = [
    host_items::items,
    nvidia_items::items,
    gpu_items::items,
    image_items::items,
    workspace_items::items,
    proxy_items::items,
];

/// Every item of every source. A path occurs at most once in a source.
#[must_use]
pub fn items(world: &World<'_>) -> Vec<Item> {
    DOMAINS.iter().flat_map(|domain| domain(world)).collect()
}
