//! What happens to a fleet in virtual time: its hosts, and the instants at which a manager, a file or a clock fails them.

use crate::fleet_host::Happening;
use model::checkin::renewal::Rotate;
use model::checkin::slot::mix;
use model::desired::{DesiredDocument, DesiredSections, DocumentId, Epoch};
use std::ops::Range;

/// Longest time between two heartbeats of a host.
pub(crate) const INTERVAL_S: u64 = 30;
/// So many documents belong to one epoch.
const EPOCH_DOCUMENTS: usize = 10;

/// One host of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// When it booted; `None` = long ago.
    pub(crate) boots_at: Option<u64>,
    /// When its daemon starts.
    pub(crate) starts_at: u64,
    /// It has no identity yet.
    pub(crate) enrols: bool,
    /// It has the identity of that host: a clone.
    pub(crate) clone_of: Option<usize>,
}

/// What happens, in milliseconds since the scenario began. Ranges are sorted and apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scenario {
    pub(crate) hosts: Vec<Start>,
    pub(crate) until: u64,
    pub(crate) early_gap_s: Option<u64>,
    /// The manager is down: connections are refused, those that are open break.
    pub(crate) outages: Vec<Range<u64>>,
    /// The manager answers 503 with a Retry-After of so many seconds.
    pub(crate) busy: Vec<(Range<u64>, u64)>,
    /// One heartbeat of so many is lost, or answered by a front in one of its ways; 0 = none.
    pub(crate) flaky: u64,
    /// Every host has something to report.
    pub(crate) changes: Vec<u64>,
    /// Another document for every host; every tenth begins another epoch.
    pub(crate) documents: Vec<u64>,
    /// The manager hands a document out over so many seconds, each host at its own; 0 = to all at once.
    pub(crate) document_spread_s: u64,
    /// One front of twenty has the document before the newest.
    pub(crate) stale: Vec<Range<u64>>,
    /// Replies ask for another credential.
    pub(crate) rotate: Option<(Range<u64>, Rotate)>,
    /// Certificates live so long, in milliseconds, and are of any age when the scenario begins; `None` = longer than it.
    pub(crate) life_ms: Option<u64>,
    /// More enrolments in a second are answered 429 with this Retry-After in seconds.
    pub(crate) enrolments: Option<(u32, u64)>,
    /// The wall clock of each host whose number the last one divides is stepped.
    pub(crate) clock_steps: Vec<(u64, i64, usize)>,
    /// The file of the document in force is lost on one host of so many.
    pub(crate) losses: Vec<(u64, u64)>,
    /// The daemon of one host of so many is restarted.
    pub(crate) restarts: Vec<(u64, u64)>,
}

impl Scenario {
    /// So many hosts that are in their stride: each has started some time in the interval before.
    pub(crate) fn steady(hosts: u64, until: u64) -> Self {
        let host =
            |n| Start { boots_at: None, starts_at: n * 7919 % (INTERVAL_S * 1000), enrols: false, clone_of: None };
        Self { hosts: (0..hosts).map(host).collect(), until, ..Self::default() }
    }

    pub(crate) fn is_down(&self, at: u64) -> bool {
        covering(&self.outages, at, |outage| outage).is_some()
    }

    /// The Retry-After of a manager that is busy then, in seconds.
    pub(crate) fn busy_for(&self, at: u64) -> Option<u64> {
        covering(&self.busy, at, |(busy, _)| busy).map(|(_, retry_after_s)| *retry_after_s)
    }

    /// The front of this host has the document before the newest.
    pub(crate) fn is_stale(&self, n: usize, at: u64) -> bool {
        covering(&self.stale, at, |stale| stale).is_some() && hit(n, at / 3_600_000, 20)
    }

    /// The identity that a host has: its own number, or that of the host that it is a clone of.
    pub(crate) fn identity(&self, n: usize) -> usize {
        self.hosts[n].clone_of.unwrap_or(n)
    }

    /// What happens to one host, the last first.
    pub(crate) fn of_host(&self, n: usize) -> Vec<(u64, Happening)> {
        let own_ms = mix(number(n)) % self.document_spread_s.max(1) * 1000;
        let at_all = self.changes.iter().map(|at| (*at, Happening::Change));
        let documents = self.documents.iter().map(|at| (at + own_ms, Happening::Document));
        let cuts = self.outages.iter().map(|outage| (outage.start, Happening::Cut));
        let steps = self.clock_steps.iter().filter(|(_, _, each)| n.is_multiple_of(*each));
        let steps = steps.map(|(at, by, _)| (*at, Happening::Step(*by)));
        let losses = self.losses.iter().filter(|(at, each)| hit(n, *at, *each)).map(|(at, _)| (*at, Happening::Loss));
        let restarts = self.restarts.iter().filter(|(at, each)| hit(n, at + 1, *each));
        let restarts = restarts.map(|(at, _)| (*at, Happening::Restart));
        let mut all: Vec<_> = at_all.chain(documents).chain(cuts).chain(steps).chain(losses).chain(restarts).collect();
        all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        all
    }

    /// All documents, in the order in which they are published.
    pub(crate) fn all_documents(&self) -> Vec<DesiredDocument> {
        (0..self.documents.len()).map(document).collect()
    }
}

/// The one of these ranges, sorted and apart, that holds the instant.
fn covering<T>(all: &[T], at: u64, range: impl Fn(&T) -> &Range<u64>) -> Option<&T> {
    let before = all.partition_point(|one| range(one).start <= at);
    all.get(before.checked_sub(1)?).filter(|one| range(one).contains(&at))
}

/// One host of `each`, another one for each `salt`.
fn hit(n: usize, salt: u64, each: u64) -> bool {
    mix(number(n) ^ mix(salt)).is_multiple_of(each)
}

pub(crate) fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}

/// The document of that index.
fn document(index: usize) -> DesiredDocument {
    let (epoch, revision) = (index / EPOCH_DOCUMENTS, index % EPOCH_DOCUMENTS + 1);
    DesiredDocument {
        id: DocumentId {
            epoch: Epoch::try_from(format!("e{epoch}")).unwrap(),
            revision: number(revision).try_into().unwrap(),
        },
        issued_at: None,
        server_id: None,
        not_after: None,
        requires: Vec::new(),
        wishes: DesiredSections::default(),
    }
}
