//! What the check-in has seen of the host: the newest observation, its inventory revision, and what of it is notable.

use crate::checkin::report::Report;
use model::Reading;
use model::checkin::notable::Notable;
use model::desired::{DesiredReport, DocumentId};
use model::enrol::CheckinStatus;
use model::host_facts::CpuTicks;
use model::observation::HostObservation;
use model::settings::ManagerSettings;
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
    boot_id: Option<String>,
}

impl Sight {
    /// From the first observation.
    pub(super) fn new(seen: Arc<HostObservation>) -> Self {
        let boot_id = seen.host.boot_id.known().cloned();
        Self { rev: rev_of(&seen), notable: Notable::of(&seen), cpu_before: None, boot_id, seen }
    }

    /// What a heartbeat of now would say.
    pub(super) fn report(
        &self,
        settings: &Arc<ManagerSettings>,
        enabled: bool,
        (in_force, wishes): (Option<DocumentId>, Arc<DesiredReport>),
        status: &CheckinStatus,
    ) -> Report {
        Report {
            seen: self.with_boot_id(),
            rev: self.rev.clone(),
            cpu_before: self.cpu_before,
            settings: Arc::clone(settings),
            enabled,
            in_force,
            wishes,
            clock_skew_ms: status.clock_skew_ms,
            conditions: status.conditions.clone(),
        }
    }

    /// The observation, with the boot id of an earlier one where this one could not read it: it is the same boot.
    fn with_boot_id(&self) -> Arc<HostObservation> {
        match (&self.boot_id, self.seen.host.boot_id.known()) {
            (Some(known), None) => {
                let mut seen = (*self.seen).clone();
                seen.host.boot_id = Reading::Known(known.clone());
                Arc::new(seen)
            }
            (_, Some(_)) | (None, None) => Arc::clone(&self.seen),
        }
    }

    /// The boot that this host runs in, where it is known.
    pub(super) fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// Takes another observation; true where a manager should not have to wait for what is new in it.
    pub(super) fn look(&mut self, seen: Arc<HostObservation>) -> bool {
        if seen.sequence == self.seen.sequence {
            return false;
        }
        let notable = Notable::of(&seen);
        let news = notable != self.notable;
        self.rev = rev_of(&seen);
        self.boot_id = seen.host.boot_id.known().cloned().or(self.boot_id.take());
        self.notable = notable;
        self.seen = seen;
        news
    }
}

fn rev_of(seen: &HostObservation) -> String {
    inventory_rev(&inventory(seen))
}
