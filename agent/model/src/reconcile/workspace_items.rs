//! The domain of workspaces: each that a source lists, as the keeper of workspaces found it.

use super::item::{Item, ItemPath, ItemState, Why, WishSource};
use super::world::World;
use crate::desired::{Desired, DesiredSections};
use crate::policy::Requester;
use crate::workspace_life::{WorkspaceReason, WorkspaceState, WorkspaceStatus};

/// All items of `workspaces`.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let mut items = of_source(world, WishSource::Local, &world.desired.local.wishes);
    if let Some(document) = world.desired.manager.document() {
        items.extend(of_source(world, WishSource::Manager, &document.wishes));
    }
    items
}

fn of_source(world: &World<'_>, source: WishSource, of: &DesiredSections) -> Vec<Item> {
    let listed = match &of.workspaces {
        Desired::Value(all) => all,
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => return Vec::new(),
    };
    let state = world.workspaces;
    let whole = |why| vec![item(source, "workspaces".to_owned(), ItemState::Waiting(why))];
    let document = world.desired.manager.document().map(|document| &document.id);
    if !state.is_looked || (source == WishSource::Manager && state.document.as_ref() != document) {
        return whole(Why::new("under_way", "the containers have not been looked at yet"));
    }
    if let Some(why) = state.unknown.as_ref().filter(|_| !listed.is_empty()) {
        return whole(Why::new("docker_unreachable", why.clone()));
    }
    let requester = match source {
        WishSource::Local => Requester::Local,
        WishSource::Manager => Requester::Manager,
    };
    let unread = state.unread.iter().filter(|one| one.requester == requester);
    let unread = unread.map(|one| item(source, path(&one.name), ItemState::Refused(why(&one.reason))));
    let known = state.workspaces.iter().filter(|one| one.requester == requester);
    let known = known.filter_map(|one| Some(item(source, path(one.id.as_str()), of_status(one)?)));
    unread.chain(known).collect()
}

/// None: nobody wishes anything of it, and nothing of it is to be done.
fn of_status(status: &WorkspaceStatus) -> Option<ItemState> {
    let Some(reason) = &status.reason else { return Some(ItemState::Met) };
    if status.desired.is_none() {
        let is_over = status.state == WorkspaceState::Stopped || reason.code == "unlisted";
        return (!is_over).then(|| ItemState::Waiting(why(reason)));
    }
    Some(match (status.state, reason.code.as_str()) {
        (_, "denied_by_local_policy" | "invalid_argument" | "conflict") | (WorkspaceState::Failed, _) => {
            ItemState::Refused(why(reason))
        }
        (_, "remote_locked" | "removals_held") => ItemState::Held(why(reason)),
        _ => ItemState::Waiting(why(reason)),
    })
}

fn item(source: WishSource, path: String, state: ItemState) -> Item {
    Item { path: ItemPath::new(path), source, state, blockers: String::new() }
}

fn path(id: &str) -> String {
    format!("workspaces[{id}]")
}

fn why(reason: &WorkspaceReason) -> Why {
    Why::new(&reason.code, reason.message.clone())
}
