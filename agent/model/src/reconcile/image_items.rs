//! The domain of images: each that a source lists is met once Docker shows its digest.

use super::item::{Item, ItemPath, ItemState, Why, WishSource};
use super::world::World;
use crate::desired::{Desired, DesiredSections};
use crate::policy::Requester;
use crate::workspace_life::{ImageStatus, WorkspaceReason};

/// All items of `images`.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let mut items = of_source(world, WishSource::Local, &world.desired.local.wishes);
    if let Some(document) = world.desired.manager.document() {
        items.extend(of_source(world, WishSource::Manager, &document.wishes));
    }
    items
}

fn of_source(world: &World<'_>, source: WishSource, of: &DesiredSections) -> Vec<Item> {
    let is_listed = match &of.images {
        Desired::Value(all) => !all.is_empty(),
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => false,
    };
    if !is_listed {
        return Vec::new();
    }
    let state = world.workspaces;
    let whole = |why| vec![item(source, "images".to_owned(), ItemState::Waiting(why))];
    let document = world.desired.manager.document().map(|document| &document.id);
    if !state.is_looked || (source == WishSource::Manager && state.document.as_ref() != document) {
        return whole(Why::new("under_way", "the images have not been looked at yet"));
    }
    if let Some(why) = &state.unknown {
        return whole(Why::new("docker_unreachable", why.clone()));
    }
    let requester = match source {
        WishSource::Local => Requester::Local,
        WishSource::Manager => Requester::Manager,
    };
    let known = state.images.iter().filter(|one| one.requester == requester);
    known.map(|one| item(source, format!("images[{}]", one.id), of_status(one))).collect()
}

fn of_status(status: &ImageStatus) -> ItemState {
    let Some(reason) = &status.reason else { return ItemState::Met };
    match reason.code.as_str() {
        "denied_by_local_policy" | "invalid_argument" | "conflict" => ItemState::Refused(why(reason)),
        "remote_locked" => ItemState::Held(why(reason)),
        _ => ItemState::Waiting(why(reason)),
    }
}

fn item(source: WishSource, path: String, state: ItemState) -> Item {
    Item { path: ItemPath::new(path), source, state, blockers: String::new() }
}

fn why(reason: &WorkspaceReason) -> Why {
    Why::new(&reason.code, reason.message.clone())
}
