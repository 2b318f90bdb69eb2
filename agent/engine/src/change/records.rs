//! Records of what is given away, of what could not be undone, and of what is being changed now.

use model::PciAddress;
use model::change::{Entry, Phase, Unread};
use model::plan::Scope;
use model::time::BootMillis;
use std::collections::{BTreeMap, BTreeSet};

/// What the loop of changes knows and a look at the host does not show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Entries that outlive their change, by the name of their document.
    entries: BTreeMap<String, Entry>,
    /// Functions of changes that are under way.
    under_way: BTreeSet<PciAddress>,
    /// Documents of the journal that could not be read.
    unread: Vec<Unread>,
}

impl Records {
    /// The record of a GPU.
    #[must_use]
    pub fn of(&self, gpu: PciAddress) -> Option<&Entry> {
        self.entries.values().find(|entry| entry.plan.scope.members.contains(&gpu))
    }

    /// The record by which a GPU is given away.
    #[must_use]
    pub fn given(&self, gpu: PciAddress) -> Option<&Entry> {
        self.of(gpu).filter(|entry| entry.is_given())
    }

    /// Keeps what a change left, in place of what was there.
    pub fn keep(&mut self, name: &str, left: Option<Entry>) {
        match left {
            Some(entry) => self.entries.insert(name.to_owned(), entry),
            None => self.entries.remove(name),
        };
    }

    /// A change of these functions begins.
    pub fn begin(&mut self, members: &[PciAddress]) {
        self.under_way.extend(members);
    }

    /// The change of these functions has ended.
    pub fn end(&mut self, members: &[PciAddress]) {
        self.under_way.retain(|address| !members.contains(address));
    }

    /// A change of the function is under way.
    #[must_use]
    pub fn is_under_way(&self, address: PciAddress) -> bool {
        self.under_way.contains(&address)
    }

    /// The next binding that nobody has confirmed, with the time at which it is undone.
    #[must_use]
    pub fn next_unconfirmed(&self) -> Option<(BootMillis, &Entry)> {
        let due = |entry| match entry {
            &Entry { phase: Phase::Unconfirmed { until }, .. } => Some((until, entry)),
            Entry { phase: Phase::Open | Phase::Standing | Phase::Quarantined { .. }, .. } => None,
        };
        self.entries.values().filter_map(due).min_by_key(|(until, _)| *until)
    }

    /// Documents of the journal that could not be read: what they may be about stays as it is until the daemon starts anew.
    pub fn keep_unread(&mut self, unread: Vec<Unread>) {
        self.unread = unread;
    }

    /// The unreadable document that may be the record of what a change of this scope would touch.
    #[must_use]
    pub fn unread(&self, scope: &Scope) -> Option<&Unread> {
        self.unread.iter().find(|unread| unread.concerns(scope))
    }

    /// There is nothing in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.under_way.is_empty() && self.unread.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}
