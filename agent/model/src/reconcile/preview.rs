//! What a further file of this host would change, before it is installed.

use super::domains::items;
use super::item::{Item, ItemState};
use super::world::World;
use crate::desired::{DesiredSections, DesiredState};

/// The items that would be other ones, and not met, if this file were read after all files that are there. Items of a manager are
/// among them where the file would hold what they wish.
#[must_use]
pub fn preview(world: &World<'_>, file: &DesiredSections) -> Vec<Item> {
    let before = items(world);
    let mut desired: DesiredState = world.desired.clone();
    desired.local.wishes.lay_over(file.clone());
    let after = items(&World { desired: &desired, ..*world });
    let is_new = |item: &Item| item.state != ItemState::Met && !before.contains(item);
    after.into_iter().filter(is_new).collect()
}
