//! Which revision has been applied: the newest one for which a look at the host, newer than it, found every item met.

use super::item::{Item, ItemState, WishSource};
use crate::desired::DocumentId;

/// The memory of it. It begins empty with each start: what was so before is looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The document in force, and whether the host was looked at since it is known here.
    current: Option<(DocumentId, bool)>,
    applied: Option<DocumentId>,
}

impl Applied {
    /// The document that is in force now.
    pub fn follow(&mut self, in_force: Option<&DocumentId>) {
        if self.current.as_ref().map(|(id, _)| id) == in_force {
            return;
        }
        self.current = in_force.map(|id| (id.clone(), false));
        // A revision of another epoch says nothing about this one.
        let stays = |id: &DocumentId| in_force.is_some_and(|current| current.epoch == id.epoch);
        self.applied = self.applied.take().filter(stays);
    }

    /// The document for which the host has to be looked at before it can be judged.
    #[must_use]
    pub fn needs_a_look(&self) -> Option<&DocumentId> {
        self.current.as_ref().filter(|(_, looked)| !looked).map(|(id, _)| id)
    }

    /// A look that was asked for when this document was in force has been published.
    pub fn looked(&mut self, at: &DocumentId) {
        if let Some((_, looked)) = self.current.as_mut().filter(|(id, _)| id == at) {
            *looked = true;
        }
    }

    /// All items stand like this, after the latest look.
    pub fn judge(&mut self, items: &[Item]) {
        let is_met = |item: &Item| item.source != WishSource::Manager || item.state == ItemState::Met;
        match &self.current {
            Some((id, true)) if items.iter().all(is_met) => self.applied = Some(id.clone()),
            Some(_) | None => {}
        }
    }

    /// The newest revision of the epoch in force that has been applied.
    #[must_use]
    pub const fn applied(&self) -> Option<&DocumentId> {
        self.applied.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{ItemPath, Why};

    fn id(epoch: &str, revision: u64) -> DocumentId {
        DocumentId { epoch: epoch.to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
    }

    fn item(source: WishSource, met: bool) -> Item {
        let state = if met { ItemState::Met } else { ItemState::Held(Why::new("remote_locked", "locked")) };
        Item { path: ItemPath::new("agent.labels"), source, state, blockers: String::new() }
    }

    #[test]
    fn a_revision_is_applied_when_a_newer_look_finds_every_item_met() {
        let mut applied = Applied::default();
        applied.follow(Some(&id("e", 1)));
        assert_eq!(applied.needs_a_look(), Some(&id("e", 1)));
        applied.judge(&[]);
        assert_eq!(applied.applied(), None, "the host has not been looked at since");
        applied.looked(&id("e", 7));
        assert!(applied.needs_a_look().is_some(), "a look for another document");
        applied.looked(&id("e", 1));
        applied.judge(&[item(WishSource::Manager, false)]);
        assert_eq!((applied.needs_a_look(), applied.applied()), (None, None));
        applied.judge(&[item(WishSource::Manager, true), item(WishSource::Local, false)]);
        assert_eq!(applied.applied(), Some(&id("e", 1)), "what this host wishes itself is not the manager's");
        applied.follow(Some(&id("e", 1)));
        assert_eq!(applied.needs_a_look(), None);
        applied.follow(Some(&id("e", 2)));
        applied.judge(&[]);
        assert_eq!(applied.applied(), Some(&id("e", 1)), "the newest that was applied");
        applied.follow(Some(&id("f", 1)));
        assert_eq!(applied.applied(), None, "another epoch");
        applied.follow(None);
        applied.judge(&[]);
        assert_eq!(applied.applied(), None);
    }
}
