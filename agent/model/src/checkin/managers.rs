//! Failover between the managers of a host: which one is asked first, which one next, which one is kept, and what becomes of a
//! list that a reply names.
//!
//! A list counts for good only after one of it has accepted a heartbeat: until then it is on trial, and the managers that are
//! known to work stay behind it. The addresses of the enrolment and of the configuration stay behind every list, for good: one
//! wrong list must not lose a host.

use crate::checkin::manager::ManagerAddress;
use crate::time::BootMillis;

/// A manager that failed is behind the others for so long, in milliseconds.
pub const FAILED_FOR_MS: u64 = 60_000;
/// More managers than this are never kept.
pub const MANAGERS_MAX: usize = 32;
/// More last resorts than this are never kept: the rest of the room is the list's.
pub const RESORTS_MAX: usize = 12;
/// A manager that works is left for a list that it is not on at most once in so long, in milliseconds: lists that change with
/// every reply must not make every heartbeat late.
pub const TRIAL_AGAIN_MS: u64 = 600_000;

/// What a list of managers is made of.
#[derive(Debug, Clone, Default)]
pub struct KnownManagers {
    /// The list that counts.
    pub listed: Vec<ManagerAddress>,
    /// The list that a manager named last and none of which has accepted a heartbeat yet.
    pub offered: Vec<ManagerAddress>,
    /// The managers of the configuration: one of them that works stays in use, whatever list it names.
    pub configured: Vec<ManagerAddress>,
    /// The managers that this host enrolled with.
    pub enrolled_with: Vec<ManagerAddress>,
    /// The manager that accepted the last heartbeat.
    pub last_accepted: Option<ManagerAddress>,
}

/// Why a manager is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// The list names it.
    Listed,
    /// It is asked only where the list fails.
    LastResort,
}

#[derive(Debug, Clone)]
struct Entry {
    address: ManagerAddress,
    tier: Tier,
    /// It has accepted a heartbeat of this host.
    accepted: bool,
    failed_at: Option<BootMillis>,
    /// It asked not to be asked before.
    not_before: Option<BootMillis>,
    tried: bool,
}

impl Entry {
    fn may_be_asked(&self, now: BootMillis) -> bool {
        !self.tried && self.not_before.is_none_or(|at| at <= now)
    }
}

/// The managers, with what is known of each: those of the list before the last resorts, same zone first, then priority, then
/// order; one that failed goes behind the others for a minute; the one that works is kept.
#[derive(Debug, Clone)]
pub struct Managers {
    zone: Option<String>,
    /// The list that counts.
    listed: Vec<ManagerAddress>,
    /// The list that was named last and is on trial.
    trial: Option<Vec<ManagerAddress>>,
    /// When the manager in use was last left for a list that it is not on.
    left_at: Option<BootMillis>,
    configured: Vec<ManagerAddress>,
    enrolled_with: Vec<ManagerAddress>,
    last_accepted: Option<ManagerAddress>,
    entries: Vec<Entry>,
    current: Option<ManagerAddress>,
}

impl Managers {
    /// What is known of the managers of a host of that zone.
    #[must_use]
    pub fn new(known: KnownManagers, zone: Option<String>) -> Self {
        let KnownManagers { listed, offered, configured, enrolled_with, last_accepted } = known;
        let (trial, left_at, entries, current) = (None, None, Vec::new(), None);
        let worked = last_accepted.clone();
        let mut managers =
            Self { zone, listed, trial, left_at, configured, enrolled_with, last_accepted, entries, current };
        // A list on trial from before a restart comes behind the one that counts: nobody waits for what may not be there.
        managers.arrange(&offered);
        managers.trial = (!offered.is_empty()).then_some(offered);
        let accepted = |entry: &&mut Entry| worked.as_ref().is_some_and(|last| entry.address.same_place(last));
        managers.entries.iter_mut().filter(accepted).for_each(|entry| entry.accepted = true);
        managers
    }

    /// Puts the entries together again: the list on trial, else the one that counts, then all last resorts.
    fn arrange(&mut self, more: &[ManagerAddress]) {
        let old = std::mem::take(&mut self.entries);
        let first = self.trial.as_ref().unwrap_or(&self.listed);
        let resorts: [&[ManagerAddress]; 3] = [more, &self.enrolled_with, &self.configured];
        let resorts = self.last_accepted.iter().chain(resorts.into_iter().flatten()).take(RESORTS_MAX);
        // The list that counts stays behind one on trial.
        let behind = self.trial.iter().flat_map(|_| self.listed.iter());
        let room = MANAGERS_MAX - RESORTS_MAX;
        let all = first.iter().take(room).map(|address| (address, Tier::Listed));
        let all = all.chain(resorts.chain(behind).map(|address| (address, Tier::LastResort)));
        let mut entries: Vec<Entry> = Vec::new();
        for (address, tier) in all {
            let twice = entries.iter().any(|entry| entry.address.same_place(address));
            if twice || entries.len() >= MANAGERS_MAX {
                continue;
            }
            let known = old.iter().find(|entry| entry.address.same_place(address));
            entries.push(Entry {
                address: address.clone(),
                tier,
                accepted: known.is_some_and(|entry| entry.accepted),
                failed_at: known.and_then(|entry| entry.failed_at),
                not_before: known.and_then(|entry| entry.not_before),
                tried: known.is_some_and(|entry| entry.tried),
            });
        }
        let stays = |current: &ManagerAddress| entries.iter().any(|entry| entry.address.same_place(current));
        self.current = self.current.take().filter(stays);
        self.entries = entries;
    }

    /// The manager in use names this list in an accepted reply.
    pub fn named(&mut self, now: BootMillis, list: Vec<ManagerAddress>) {
        let Some(current) = self.current.clone().filter(|_| !list.is_empty()) else { return };
        let holds = |list: &[ManagerAddress]| list.iter().any(|address| address.same_place(&current));
        if holds(&list) {
            // The one that names it is on it, and has just accepted a heartbeat.
            if self.listed != list || self.trial.is_some() {
                self.listed = list;
                self.trial = None;
                self.arrange(&[]);
            }
            return;
        }
        // A list that is known already is no reason to leave a manager that works, even where it was only the last resort.
        let known = self.trial.as_ref().unwrap_or(&self.listed);
        let is_news = !same_places(known, &list);
        if *known == list {
            return;
        }
        if self.trial.is_none() && !is_news {
            self.listed = list;
            return self.arrange(&[]);
        }
        self.trial = Some(list);
        self.arrange(&[]);
        let lately = self.left_at.is_some_and(|at| now.since(at) < TRIAL_AGAIN_MS);
        if is_news && !lately && !holds(&self.configured) {
            self.left_at = Some(now);
            self.current = None;
        }
    }

    /// The list that counts: for good only where one of it has accepted a heartbeat.
    #[must_use]
    pub fn listed(&self) -> &[ManagerAddress] {
        &self.listed
    }

    /// The list on trial.
    #[must_use]
    pub fn offered(&self) -> &[ManagerAddress] {
        self.trial.as_deref().unwrap_or_default()
    }

    /// The one that accepted the last heartbeat: a last resort until another one has.
    #[must_use]
    pub const fn last_accepted(&self) -> Option<&ManagerAddress> {
        self.last_accepted.as_ref()
    }

    /// All of them, those of the list first.
    #[must_use]
    pub fn addresses(&self) -> Vec<ManagerAddress> {
        self.entries.iter().map(|entry| entry.address.clone()).collect()
    }

    /// Those that may be trusted with more than a heartbeat: the one in use, then all but those of a list on trial.
    #[must_use]
    pub fn known(&self) -> Vec<ManagerAddress> {
        let mut known: Vec<ManagerAddress> = Vec::new();
        let all = [self.listed.as_slice(), &self.enrolled_with, &self.configured];
        for address in self.current.iter().chain(all.into_iter().flatten()) {
            if !known.iter().any(|other| other.same_place(address)) && known.len() < MANAGERS_MAX {
                known.push(address.clone());
            }
        }
        known
    }

    /// The zone of this host is another one now: it decides who is asked next, and the manager that works is kept.
    pub fn set_zone(&mut self, zone: Option<String>) {
        self.zone = zone;
    }

    /// The one in use.
    #[must_use]
    pub const fn current(&self) -> Option<&ManagerAddress> {
        self.current.as_ref()
    }

    /// A new round: each may be tried once more.
    pub fn begin_round(&mut self) {
        for entry in &mut self.entries {
            entry.tried = false;
        }
    }

    /// The one to ask now, which becomes the one in use; `None` where none may be asked.
    pub fn pick(&mut self, now: BootMillis) -> Option<ManagerAddress> {
        let may = |entry: &&Entry| entry.may_be_asked(now);
        let kept = self
            .current
            .as_ref()
            .and_then(|current| self.entries.iter().filter(may).find(|entry| entry.address.same_place(current)));
        let next = kept.or_else(|| {
            let rank = |(order, entry): &(usize, &Entry)| {
                let resting = entry.failed_at.is_some_and(|at| now.since(at) < FAILED_FOR_MS);
                let elsewhere = self.zone.is_some() && entry.address.zone != self.zone;
                (entry.tier, resting, elsewhere, entry.address.priority.unwrap_or(i64::MAX), *order)
            };
            self.entries.iter().enumerate().filter(|(_, entry)| may(entry)).min_by_key(rank).map(|(_, entry)| entry)
        });
        self.current = next.map(|entry| entry.address.clone());
        self.current.clone()
    }

    /// When the first of them may be asked again, where each has asked for a pause; `None` where one may be asked before.
    #[must_use]
    pub fn all_pause_until(&self, now: BootMillis) -> Option<BootMillis> {
        let pauses = |entry: &Entry| entry.not_before.filter(|at| *at > now);
        let ends: Option<Vec<_>> = self.entries.iter().map(pauses).collect();
        ends?.into_iter().min()
    }

    /// The one in use failed; `until` where it asked not to be asked before. True where another one may be asked in this round.
    pub fn failed(&mut self, now: BootMillis, until: Option<BootMillis>) -> bool {
        if let Some(current) = self.current.take() {
            for entry in self.entries.iter_mut().filter(|entry| entry.address.same_place(&current)) {
                entry.failed_at = Some(now);
                entry.not_before = until;
                entry.tried = true;
            }
        }
        self.entries.iter().any(|entry| entry.may_be_asked(now))
    }

    /// The one in use answered as a manager does.
    pub fn answered(&mut self) {
        if let Some(entry) = self.entry_in_use() {
            entry.failed_at = None;
            entry.not_before = None;
        }
        self.begin_round();
    }

    /// The one in use accepted a heartbeat: where it is on the list on trial, that list counts from now on.
    pub fn accepted(&mut self) {
        self.answered();
        let Some(entry) = self.entry_in_use() else { return };
        entry.accepted = true;
        let place = entry.address.clone();
        self.last_accepted = Some(place.clone());
        if let Some(list) = self.trial.take_if(|list| list.iter().any(|address| address.same_place(&place))) {
            self.listed = list;
            self.arrange(&[]);
        }
    }

    /// What the one in use reports about this host counts: it has accepted a heartbeat before, or none has. Of another one it could
    /// be the word of a stranger that a wrong list names.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        let in_use = |entry: &&Entry| self.current.as_ref().is_some_and(|current| entry.address.same_place(current));
        let known = self.entries.iter().find(in_use).is_some_and(|entry| entry.accepted);
        known || !self.entries.iter().any(|entry| entry.accepted)
    }

    fn entry_in_use(&mut self) -> Option<&mut Entry> {
        let current = self.current.as_ref()?;
        self.entries.iter_mut().find(|entry| entry.address.same_place(current))
    }
}

/// The same managers, in whatever order.
fn same_places(one: &[ManagerAddress], other: &[ManagerAddress]) -> bool {
    let within = |these: &[ManagerAddress], those: &[ManagerAddress]| {
        these.iter().all(|address| those.iter().any(|known| known.same_place(address)))
    };
    within(one, other) && within(other, one)
}
