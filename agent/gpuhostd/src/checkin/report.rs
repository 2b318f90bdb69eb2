//! What a heartbeat of this host reports: taken by value from what is known when it is sent, so that it can be made outside the
//! session task.

use crate::checkin::fault::local;
use model::checkin::{Beat, CheckinError};
use model::condition::Condition;
use model::desired::{DesiredReport, DocumentId};
use model::host_facts::CpuTicks;
use model::observation::HostObservation;
use model::ports::Clock;
use model::settings::ManagerSettings;
use std::sync::Arc;
use wire::manager::report::{CheckinFacts, build};

/// What is known when a heartbeat is sent.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// The newest observation.
    pub(super) seen: Arc<HostObservation>,
    /// Revision of its inventory.
    pub(super) rev: String,
    /// CPU time at the last accepted heartbeat.
    pub(super) cpu_before: Option<CpuTicks>,
    /// Public name, port, provider, zone.
    pub(super) settings: Arc<ManagerSettings>,
    /// The manager has switched this host on.
    pub(super) enabled: bool,
    /// The manager's document that is in force.
    pub(super) in_force: Option<DocumentId>,
    /// What of the wishes is met, and what is in effect.
    pub(super) wishes: Arc<DesiredReport>,
    /// Manager's clock minus ours, in milliseconds.
    pub(super) clock_skew_ms: Option<i64>,
    /// Standing statements of the check-in.
    pub(super) conditions: Vec<Condition>,
}

impl Report {
    /// The body of this heartbeat, sent now.
    ///
    /// # Errors
    /// It has no form in JSON.
    pub(super) fn body<C: Clock>(&self, server_id: &str, beat: &Beat, clock: &C) -> Result<Vec<u8>, CheckinError> {
        let facts = CheckinFacts {
            server_id,
            version: env!("CARGO_PKG_VERSION"),
            seq: beat.seq,
            wall: clock.wall_now(),
            boot: clock.boot_now(),
            clock_skew_ms: self.clock_skew_ms,
            settings: &self.settings,
            enabled: self.enabled,
            cpu_before: self.cpu_before,
            with_inventory: beat.inventory,
            omit: beat.omit,
            conditions: &self.conditions,
            in_force: self.in_force.clone(),
            wishes: &self.wishes,
            inventory_rev: &self.rev,
        };
        serde_json::to_vec(&build(&self.seen, &facts)).map_err(local)
    }
}
