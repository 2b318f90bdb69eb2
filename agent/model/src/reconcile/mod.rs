//! The reconciler's decisions: what is to be done for what is wished, item by item, when, and which revision has been applied. Pure.

mod applied;
mod deed_words;
mod domains;
mod gpu_items;
mod host_items;
mod image_items;
mod item;
mod matching;
mod mig_items;
mod mig_leaves;
mod nvidia_items;
mod pace;
mod preview;
mod proxy_items;
mod setting_keys;
mod suspicious;
mod workspace_items;
mod world;

pub use applied::Applied;
pub use domains::items;
pub use item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
pub use mig_leaves::{MigHeld, held_alone, mig_leaves};
pub use pace::{AtOnce, Ended, ItemKey, MOST_AT_ONCE, Pacer, Shown, Start, Turn};
pub use preview::preview;
pub use suspicious::suspicious;
pub use world::{World, manager_held};
