//! Records of what is given away, of what could not be undone, and of what is being changed now.

use model::change::{ChangeId, Entry, Unread};
use model::mig::{MigOwned, MigPlaced};
use model::plan::{Bounds, Postcondition, Target};
use model::stack::DriverLoad;
use model::time::{BootMillis, Now, UnixMillis};
use model::{GpuUuid, PciAddress};
use std::collections::{BTreeMap, BTreeSet};

/// What the loop of changes knows and a look at the host does not show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Entries that outlive their change.
    entries: BTreeMap<ChangeId, Entry>,
    /// Why those could not be undone yet whose time is over.
    not_undone: BTreeMap<ChangeId, String>,
    /// When those are undone that nobody has confirmed, on the wall clock as it was when the record was kept.
    undone_at: BTreeMap<ChangeId, UnixMillis>,
    /// Functions of changes that are under way.
    under_way: BTreeSet<PciAddress>,
    /// Documents of the journal that could not be read.
    unread: Vec<Unread>,
    /// MIG instances that gpuhostd has created, by GPU.
    owned: BTreeMap<GpuUuid, MigOwned>,
    /// GPUs whose driver was loaded again within this boot, with that load: what is recorded of them is to return.
    reloaded: BTreeMap<GpuUuid, DriverLoad>,
    /// Where the MIG instances of a GPU are, from a look that no change has followed.
    places: BTreeMap<GpuUuid, MigPlaced>,
    /// So many changes of MIG have ended, by GPU: a look that was begun before the last one shows nothing that counts.
    mig_changes: BTreeMap<GpuUuid, u64>,
}

impl Records {
    /// The record of a GPU. A change of MIG on trial is none: the GPU is used as before.
    #[must_use]
    pub fn of(&self, gpu: PciAddress) -> Option<&Entry> {
        let is_of = |entry: &&Entry| entry.plan.bounds.target.functions().contains(&gpu) && !entry.is_mig_on_trial();
        self.entries.values().find(is_of)
    }

    /// The change of MIG of a GPU that is not confirmed, or whose confirmation is not closed.
    #[must_use]
    pub fn mig_on_trial(&self, gpu: PciAddress) -> Option<&Entry> {
        self.entries.values().find(|entry| entry.is_mig_on_trial() && entry.subject().gpu() == Some(gpu))
    }

    /// The record of what is within these bounds.
    #[must_use]
    pub fn at(&self, bounds: &Bounds) -> Option<&Entry> {
        let is_of = |entry: &&Entry| {
            let has = |gpu| entry.plan.bounds.target.functions().contains(&gpu);
            entry.subject() == bounds.subject || bounds.subject.gpu().is_some_and(has)
        };
        self.entries.values().filter(|entry| !entry.is_mig_on_trial()).find(is_of)
    }

    /// The record by which a GPU is given away.
    #[must_use]
    pub fn given(&self, gpu: PciAddress) -> Option<&Entry> {
        self.of(gpu).filter(|entry| entry.is_given())
    }

    /// When a GPU is taken back unless somebody confirms before that it is given away.
    #[must_use]
    pub fn confirm_before(&self, gpu: PciAddress) -> Option<UnixMillis> {
        self.undone_at.get(&self.of(gpu).or_else(|| self.mig_on_trial(gpu))?.id).copied()
    }

    /// That entry is of a change of MIG whose time is over.
    #[must_use]
    pub fn is_mig_overdue(&self, id: ChangeId, now: BootMillis) -> bool {
        let entry = self.entries.get(&id).filter(|entry| entry.is_mig_on_trial());
        entry.and_then(Entry::unconfirmed_until).is_some_and(|until| until <= now)
    }

    /// Why a change whose time is over could not be undone yet.
    #[must_use]
    pub fn not_undone(&self, id: ChangeId) -> Option<&str> {
        self.not_undone.get(&id).map(String::as_str)
    }

    /// A change whose time is over could not be undone, for this reason.
    pub fn keep_not_undone(&mut self, id: ChangeId, why: String) {
        self.not_undone.insert(id, why);
    }

    /// Keeps what a change left, in place of what was there.
    pub fn keep(&mut self, id: ChangeId, left: Option<Entry>, now: Now) {
        match left.as_ref().and_then(|entry| entry.unconfirmed_until()) {
            Some(until) => {
                let left_ms = i64::try_from(until.since(now.boot)).unwrap_or(i64::MAX);
                self.undone_at.insert(id, UnixMillis(now.wall.0.saturating_add(left_ms)));
            }
            None => drop(self.undone_at.remove(&id)),
        }
        match left {
            Some(entry) => self.entries.insert(id, entry),
            None => {
                self.not_undone.remove(&id);
                self.entries.remove(&id)
            }
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

    /// The changes that nobody has confirmed, each with the time at which it is undone.
    pub fn unconfirmed(&self) -> impl Iterator<Item = (BootMillis, &Entry)> {
        self.entries.values().filter_map(|entry| Some((entry.unconfirmed_until()?, entry)))
    }

    /// Documents of the journal that could not be read: what they may be about stays as it is until the daemon starts again.
    pub fn keep_unread(&mut self, unread: Vec<Unread>) {
        self.unread = unread;
    }

    /// The unreadable document that keeps everybody from a change within these bounds.
    #[must_use]
    pub fn unread(&self, bounds: &Bounds) -> Option<&Unread> {
        self.unread.iter().find(|unread| unread.held.keeps_from(bounds))
    }

    /// The unreadable document that names what is within these bounds.
    #[must_use]
    pub fn unread_that_names(&self, bounds: &Bounds) -> Option<&Unread> {
        self.unread.iter().find(|unread| unread.held.names(bounds))
    }

    /// The MIG instances of a GPU that gpuhostd has created, those of a change on trial included; `None` = none were recorded.
    #[must_use]
    pub fn owned(&self, gpu: &GpuUuid) -> Option<MigOwned> {
        let settled = self.settled(gpu).cloned();
        let is_of = |entry: &&Entry| {
            let Target::Mig(target) = &entry.plan.bounds.target else { return false };
            entry.is_mig_on_trial() && target.uuid == *gpu
        };
        let Some(entry) = self.entries.values().find(is_of) else { return settled };
        let Postcondition::Mig(on_trial) = &entry.plan.postcondition else { return settled };
        let settled = settled.unwrap_or_else(|| MigOwned::none(gpu.clone(), entry.boot_id.clone()));
        Some(settled.after(on_trial, &entry.boot_id))
    }

    /// The same without a change on trial: what returns after a boot.
    #[must_use]
    pub fn settled(&self, gpu: &GpuUuid) -> Option<&MigOwned> {
        self.owned.get(gpu)
    }

    /// The records of MIG instances that another boot or another load of the driver left and that have not returned yet, with the load.
    pub fn to_return<'a>(&'a self, boot_id: &'a str) -> impl Iterator<Item = (&'a MigOwned, Option<DriverLoad>)> {
        let left = move |owned: &&MigOwned| {
            (owned.boot_id != boot_id || self.reloaded.contains_key(&owned.gpu)) && !owned.instances.is_empty()
        };
        self.owned.values().filter(left).map(|owned| (owned, self.reloaded.get(&owned.gpu).copied()))
    }

    /// Keeps the record of the MIG instances of a GPU.
    pub fn own(&mut self, owned: MigOwned) {
        self.reloaded.remove(&owned.gpu);
        self.owned.insert(owned.gpu.clone(), owned);
    }

    /// The driver of that GPU was loaded again since its record was written.
    pub fn reloaded(&mut self, gpu: GpuUuid, load: DriverLoad) {
        self.reloaded.insert(gpu, load);
    }

    /// Where the MIG instances of a GPU are, from a look that no change of them has followed.
    #[must_use]
    pub fn places(&self, gpu: &GpuUuid) -> Option<&MigPlaced> {
        self.places.get(gpu)
    }

    /// How many changes of MIG of that GPU have ended.
    #[must_use]
    pub fn mig_changes(&self, gpu: &GpuUuid) -> u64 {
        self.mig_changes.get(gpu).copied().unwrap_or_default()
    }

    /// Keeps where the MIG instances of a GPU are, from a look that was begun after so many changes.
    pub fn place(&mut self, gpu: GpuUuid, places: MigPlaced, changes: u64) {
        if self.mig_changes(&gpu) == changes {
            self.places.insert(gpu, places);
        }
    }

    /// MIG of a GPU was changed: an instance that was created again can have the ids of another one elsewhere.
    pub fn mig_changed(&mut self, gpu: GpuUuid) {
        self.places.remove(&gpu);
        let changes = self.mig_changes.entry(gpu).or_default();
        *changes = changes.saturating_add(1);
    }

    /// No change is recorded, under way or unreadable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.under_way.is_empty() && self.unread.is_empty()
    }

    /// Where the MIG instances of some GPU are is known.
    #[must_use]
    pub fn has_places(&self) -> bool {
        !self.places.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}
