//! Records of what is given away and of what could not be undone, as the journal holds them.

use model::PciAddress;
use model::change::{Entry, Phase};
use model::time::BootMillis;
use std::collections::BTreeMap;

/// Entries that outlive their change, by the name of their document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records(BTreeMap<String, Entry>);

impl Records {
    /// The record of a GPU.
    #[must_use]
    pub fn of(&self, gpu: PciAddress) -> Option<&Entry> {
        self.0.values().find(|entry| entry.plan.scope.members.contains(&gpu))
    }

    /// The record by which a GPU is given away.
    #[must_use]
    pub fn given(&self, gpu: PciAddress) -> Option<&Entry> {
        self.of(gpu).filter(|entry| entry.is_given())
    }

    /// Keeps what a change left, in place of what was there.
    pub fn keep(&mut self, name: &str, left: Option<Entry>) {
        match left {
            Some(entry) => self.0.insert(name.to_owned(), entry),
            None => self.0.remove(name),
        };
    }

    /// The next binding that nobody has confirmed, with the time at which it is undone.
    #[must_use]
    pub fn next_unconfirmed(&self) -> Option<(BootMillis, &Entry)> {
        let due = |entry| match entry {
            &Entry { phase: Phase::Unconfirmed { until }, .. } => Some((until, entry)),
            Entry { phase: Phase::Open | Phase::Standing | Phase::Quarantined { .. }, .. } => None,
        };
        self.0.values().filter_map(due).min_by_key(|(until, _)| *until)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }
}
