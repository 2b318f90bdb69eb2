//! What the check-in has seen of the host: the newest observation, its inventory revision, and what of it is notable.

use model::checkin::notable::Notable;
use model::host_facts::CpuTicks;
use model::observation::HostObservation;
use std::sync::Arc;
use wire::manager::gpu::{inventory, inventory_rev};

/// The newest observation and what follows from it.
#[derive(Debug)]
pub(super) struct Sight {
    /// The observation.
    pub(super) seen: Arc<HostObservation>,
    /// Revision of its inventory.
    pub(super) rev: String,
    /// CPU time at the last accepted heartbeat.
    pub(super) cpu_before: Option<CpuTicks>,
    notable: Option<Notable>,
}

impl Sight {
    /// From the first observation.
    pub(super) fn new(seen: Arc<HostObservation>) -> Self {
        Self { rev: rev_of(&seen), notable: Notable::of(&seen), cpu_before: None, seen }
    }

    /// Takes another observation; true where a manager should not have to wait for what is new in it.
    pub(super) fn look(&mut self, seen: Arc<HostObservation>) -> bool {
        if seen.sequence == self.seen.sequence {
            return false;
        }
        let notable = Notable::of(&seen);
        let news = notable != self.notable;
        self.rev = rev_of(&seen);
        self.notable = notable;
        self.seen = seen;
        news
    }
}

fn rev_of(seen: &HostObservation) -> String {
    inventory_rev(&inventory(seen))
}
