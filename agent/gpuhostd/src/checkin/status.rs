//! What the check-in publishes by itself; a line in the log for each change of state.

use model::checkin::condition::{Standing, conditions};
use model::checkin::{FetchStatus, skew};
use model::enrol::{CheckinState, CheckinStatus};
use model::manager_trust::TrustedBy;
use model::message::Message;
use model::time::UnixMillis;
use std::sync::Arc;
use tokio::sync::watch;

/// Publishes the status, and nothing where nothing changed.
#[derive(Debug)]
pub(super) struct Publisher {
    out: watch::Sender<Arc<CheckinStatus>>,
    now: CheckinStatus,
}

impl Publisher {
    /// A publisher with its first status, and where to read it.
    #[must_use]
    pub(super) fn new(interval_s: u64) -> (Self, watch::Receiver<Arc<CheckinStatus>>) {
        let now = CheckinStatus { interval_s, ..CheckinStatus::default() };
        let (out, reader) = watch::channel(Arc::new(now.clone()));
        (Self { out, now }, reader)
    }

    /// The status as last set.
    #[must_use]
    pub(super) const fn now(&self) -> &CheckinStatus {
        &self.now
    }

    /// Counts an accepted heartbeat.
    pub(super) fn accepted(&mut self, wall: UnixMillis, clock_skew_ms: Option<i64>) {
        self.now.accepted += 1;
        self.now.last_accepted = Some(wall);
        self.now.last_error = None;
        self.skew(clock_skew_ms);
    }

    /// Keeps the skew, where one could be determined.
    pub(super) fn skew(&mut self, clock_skew_ms: Option<i64>) {
        self.now.clock_skew_ms = clock_skew_ms.or(self.now.clock_skew_ms);
    }

    /// Counts a heartbeat that failed.
    pub(super) fn failed(&mut self, why: &str) {
        self.now.failed += 1;
        self.now.last_error = Some(why.to_owned());
    }

    /// Shows why without counting (enrolment, files).
    pub(super) fn error(&mut self, why: &str) {
        self.now.last_error = Some(why.to_owned());
    }

    /// Another identity: nothing of the one before is true of it.
    pub(super) fn anew(&mut self) {
        self.now = CheckinStatus { interval_s: self.now.interval_s, ..CheckinStatus::default() };
    }

    /// Publishes the present state.
    pub(super) fn publish(&mut self, stand: Stand, wall: UnixMillis) {
        let mut standing = stand.standing;
        if let Some(ms) = self.now.clock_skew_ms.filter(|ms| skew::matters(*ms)) {
            let way = if ms > 0 { "behind" } else { "ahead of" };
            let message = format!(
                "this host's clock is {} s {way} the manager's; set it (chrony, systemd-timesyncd)",
                ms.abs() / 1000
            );
            standing.push(Standing { kind: "clock_skew", message });
        }
        let before = self.now.state;
        self.now.conditions = conditions(standing, &self.now.conditions, wall);
        self.now.state = stand.state;
        self.now.manager = stand.manager;
        self.now.server_id = stand.server_id;
        self.now.interval_s = stand.interval_s;
        self.now.wait_until = stand.wait_until;
        self.now.desired = stand.desired;
        self.now.trust = stand.trust;
        if before != stand.state {
            self.log(before);
        }
        let now = &self.now;
        self.out.send_if_modified(|shown| {
            let changed = **shown != *now;
            if changed {
                *shown = Arc::new(now.clone());
            }
            changed
        });
    }

    fn log(&self, before: CheckinState) {
        let manager = self.now.manager.as_deref().unwrap_or("none");
        let server_id = self.now.server_id.as_deref().unwrap_or("none");
        let why = self.now.last_error.as_deref().unwrap_or("");
        let (state, before) = (self.now.state.code(), before.code());
        tracing::info!(
            message_id = Message::CheckinChanged.id(),
            manager,
            server_id,
            state,
            before,
            why,
            "check-in is {state}, was {before} (manager {manager}, server id {server_id}){}{why}",
            if why.is_empty() { "" } else { ": " }
        );
    }
}

/// The state of the check-in at one instant.
#[derive(Debug)]
pub(super) struct Stand {
    /// State.
    pub(super) state: CheckinState,
    /// Manager in use.
    pub(super) manager: Option<String>,
    /// This host's id.
    pub(super) server_id: Option<String>,
    /// Seconds between heartbeats.
    pub(super) interval_s: u64,
    /// Until when the manager asked not to be asked.
    pub(super) wait_until: Option<UnixMillis>,
    /// How documents of the desired state reach this host.
    pub(super) desired: FetchStatus,
    /// What a certificate of a manager is judged by.
    pub(super) trust: Vec<TrustedBy>,
    /// What prevents it.
    pub(super) standing: Vec<Standing>,
}
