//! What came of a scenario: requests of each kind in each second, and when heartbeats were accepted.

use crate::fleet_scenario::Scenario;
use std::ops::Range;

/// What is asked of a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Beat,
    Poll,
    Renewal,
    Enrolment,
}

/// What came of a scenario, or of a part of its hosts.
pub(crate) struct Outcome {
    /// Requests of each kind in each second.
    per_second: [Vec<u32>; 4],
    /// When each host's heartbeats were accepted, in milliseconds; nothing where that is not kept.
    pub(crate) accepted: Vec<Vec<u64>>,
    /// How many hosts hold the newest document.
    pub(crate) up_to_date: usize,
    /// Identities that were given.
    pub(crate) identities: usize,
    /// Requests that were made.
    pub(crate) requests: u64,
}

impl Outcome {
    pub(crate) fn new(scenario: &Scenario, keep: bool) -> Self {
        let seconds = usize::try_from(scenario.until / 1000 + 1).unwrap();
        let accepted = vec![Vec::new(); if keep { scenario.hosts.len() } else { 0 }];
        let per_second = std::array::from_fn(|_| vec![0; seconds]);
        Self { per_second, accepted, up_to_date: 0, identities: 0, requests: 0 }
    }

    /// Both parts together.
    pub(crate) fn with(mut self, other: Self) -> Self {
        let counts = self.per_second.iter_mut().flatten().zip(other.per_second.iter().flatten());
        counts.for_each(|(ours, theirs)| *ours += theirs);
        self.accepted.iter_mut().zip(other.accepted).for_each(|(ours, theirs)| ours.extend(theirs));
        self.up_to_date += other.up_to_date;
        self.identities += other.identities;
        self.requests += other.requests;
        self
    }

    pub(crate) fn count(&mut self, kind: Kind, at: u64) {
        self.per_second[place(kind)][usize::try_from(at / 1000).unwrap()] += 1;
        self.requests += 1;
    }

    pub(crate) fn accepted(&mut self, n: usize, at: u64) {
        if let Some(beats) = self.accepted.get_mut(n) {
            beats.push(at);
        }
    }

    /// The most requests of a kind in one second of that time.
    pub(crate) fn peak(&self, kind: Kind, seconds: Range<usize>) -> f64 {
        f64::from(self.per_second[place(kind)][seconds].iter().copied().max().unwrap_or(0))
    }

    /// The second of that peak.
    pub(crate) fn peak_second(&self, kind: Kind, seconds: Range<usize>) -> usize {
        seconds.max_by_key(|second| self.per_second[place(kind)][*second]).unwrap_or(0)
    }

    /// All requests of a kind in that time.
    pub(crate) fn sum(&self, kind: Kind, seconds: Range<usize>) -> u32 {
        self.per_second[place(kind)][seconds].iter().sum()
    }

    /// The first accepted heartbeat of each host from that instant on, sorted, as the time since.
    pub(crate) fn back_after(&self, at: u64) -> Vec<u64> {
        let first = |beats: &Vec<u64>| beats.iter().find(|beat| **beat >= at).map(|beat| beat - at);
        let mut all: Vec<u64> = self.accepted.iter().map(|beats| first(beats).unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        all
    }
}

const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Beat => 0,
        Kind::Poll => 1,
        Kind::Renewal => 2,
        Kind::Enrolment => 3,
    }
}
