//! The readiness call of an autoscaled host: waits for its gates, makes it once in a boot, and shows how far it is.
//!
//! One task of its own: a call that hangs delays nothing else. That a call was accepted is on disk before it counts as done; a
//! crash between the answer and the record repeats the call, and nothing ever forgets one that is still owed.

mod jwt_source;
mod readiness_record;

use crate::checkin::{Announcement, announce, sha256_hex};
use engine::publish::Publisher;
use engine::reconcile::Reconciled;
use jwt_source::JwtSource;
use model::checkin::slot::stable_hash;
use model::condition::{Condition, ConditionStatus};
use model::desired::DesiredState;
use model::enrol::CheckinStatus;
use model::ports::Clock;
use model::readiness::{
    CallOutcome, ReadinessCaller, ReadinessFacts, ReadinessNext, ReadinessRecord, ReadinessState, ReadinessStatus,
    UnmetGate, unmet_gates,
};
use model::settings::{ManagerSettings, ReadinessSettings, Settings};
use model::time::BootMillis;
use readiness_record::RecordFile;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Gates that are not met for so long are a condition, in milliseconds.
const WAITED_LONG_MS: u64 = 600_000;
/// Another token is looked for so often after a call was refused or given up, in milliseconds.
const TOKEN_AGAIN_MS: u64 = 60_000;
/// A record that could not be written is written again after so long, in milliseconds.
const RECORD_AGAIN_MS: u64 = 30_000;
/// Where nothing is due, the timer is set this far off, in milliseconds (a year).
const FAR_MS: u64 = 365 * 86_400_000;
/// Type of the condition while gates are not met for long.
const WAITING: &str = "readiness_waiting";
/// Type of the condition when the call was refused or given up.
const NOT_REPORTED: &str = "readiness_not_reported";
/// Type of the condition while it cannot be recorded that a call was accepted.
const NOT_RECORDED: &str = "readiness_not_recorded";

/// What the task works with.
#[derive(Debug)]
pub struct ReadinessParts<K> {
    /// The folder of durable state.
    pub state: PathBuf,
    /// The folder of systemd credentials, where the unit has some.
    pub credentials: Option<PathBuf>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where conditions and the status are shown, and where the host is seen.
    pub publisher: Arc<Publisher>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// What is wished.
    pub desired: watch::Receiver<Arc<DesiredState>>,
    /// The state of the check-in.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
    /// How far the host is what is wished.
    pub reconciled: watch::Receiver<Arc<Reconciled>>,
}

/// The task.
struct Task<K> {
    parts: ReadinessParts<K>,
    record: RecordFile,
    /// The boot, once the host has shown it, and its calls.
    boot: Option<(String, ReadinessCaller)>,
    /// The settings that the calls of this boot were made with.
    used: Option<(ReadinessSettings, ManagerSettings)>,
    /// Where the token comes from by them; otherwise why there is no call.
    source: Result<JwtSource, Option<String>>,
    /// Since when gates are not met.
    waits_since: Option<BootMillis>,
    /// The token that was refused or given up, by its digest.
    spent: Option<String>,
    /// When to look for another one, or to write the record.
    again_at: Option<BootMillis>,
    /// What is still to be recorded.
    owed: Option<ReadinessRecord>,
}

/// Works until it is cancelled.
pub async fn run<K: Clock>(parts: ReadinessParts<K>, cancel: CancellationToken) {
    let record = RecordFile::below(&parts.state);
    let task = Task {
        parts,
        record,
        boot: None,
        used: None,
        source: Err(None),
        waits_since: None,
        spent: None,
        again_at: None,
        owed: None,
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = task.work() => {}
    }
}

impl<K: Clock> Task<K> {
    async fn work(mut self) {
        let (mut shown, mut nvidia, mut workspaces) =
            (self.parts.publisher.shown(), self.parts.publisher.nvidia(), self.parts.publisher.workspaces());
        loop {
            let _ = (shown.borrow_and_update(), nvidia.borrow_and_update(), workspaces.borrow_and_update());
            self.parts.settings.mark_unchanged();
            self.parts.desired.mark_unchanged();
            self.parts.checkin.mark_unchanged();
            self.parts.reconciled.mark_unchanged();
            let wake_at = self.turn().await;
            let clock = Arc::clone(&self.parts.clock);
            let alarm = clock.sleep_until(wake_at.unwrap_or_else(|| clock.boot_now().plus(FAR_MS)));
            tokio::select! {
                Ok(()) = shown.changed() => {}
                Ok(()) = nvidia.changed() => {}
                Ok(()) = workspaces.changed() => {}
                Ok(()) = self.parts.settings.changed() => {}
                Ok(()) = self.parts.desired.changed() => {}
                Ok(()) = self.parts.checkin.changed() => {}
                Ok(()) = self.parts.reconciled.changed() => {}
                () = alarm => {}
            }
        }
    }

    /// Looks at everything once, and makes the call where it is due; when to look again by itself.
    async fn turn(&mut self) -> Option<BootMillis> {
        let settings = Arc::clone(&self.parts.settings.borrow());
        let used = (settings.readiness.clone(), settings.manager.clone());
        if self.used.as_ref() != Some(&used) {
            // Another upstream, or another trust: what was given up may go well now.
            self.used = Some(used);
            self.begin_again();
            self.source = JwtSource::find(settings.readiness.clone(), self.parts.credentials.clone()).await;
        }
        let source = match self.source.clone() {
            Ok(source) => source,
            Err(why) => {
                self.lift(&[WAITING, NOT_REPORTED]);
                return self.show(ReadinessState::Off, why, None);
            }
        };
        if !self.knows_boot().await {
            return self.show(ReadinessState::Waiting, Some("the host has not been looked at yet".to_owned()), None);
        }
        let now = self.parts.clock.boot_now();
        if self.owed.is_some() && self.again_at.is_none_or(|at| at <= now) {
            self.keep().await;
        }
        if self.boot.as_ref().is_some_and(|(_, caller)| caller.ended().is_some()) {
            self.look_for_another(&source, now).await;
        }
        let unmet = self.unmet(&settings);
        let Some((_, caller)) = &mut self.boot else { return None };
        if caller.next(now, &unmet) == ReadinessNext::Call {
            self.call(&settings, &source).await;
        }
        self.show_all(&unmet)
    }

    fn begin_again(&mut self) {
        if let Some((_, caller)) = &mut self.boot {
            caller.begin_again();
        }
        (self.spent, self.again_at, self.waits_since) = (None, None, None);
        self.lift(&[WAITING, NOT_REPORTED]);
    }

    /// The boot of the host, with what is recorded of it.
    async fn knows_boot(&mut self) -> bool {
        let seen = Arc::clone(&self.parts.publisher.shown().borrow());
        let Some(boot_id) = seen.host.boot_id.known().filter(|_| seen.sequence > 0) else { return self.boot.is_some() };
        if self.boot.as_ref().is_none_or(|(known, _)| known != boot_id) {
            let mut caller = ReadinessCaller::new(stable_hash(boot_id));
            if self.record.read().await.is_some_and(|record| record.boot_id == *boot_id) {
                caller.accepted_before();
            }
            self.boot = Some((boot_id.clone(), caller));
        }
        true
    }

    fn unmet(&self, settings: &Settings) -> Vec<UnmetGate> {
        let publisher = &self.parts.publisher;
        let (host, nvidia) = (Arc::clone(&publisher.shown().borrow()), Arc::clone(&publisher.nvidia().borrow()));
        let (workspaces, desired) =
            (Arc::clone(&publisher.workspaces().borrow()), Arc::clone(&self.parts.desired.borrow()));
        let (checkin, reconciled) =
            (Arc::clone(&self.parts.checkin.borrow()), Arc::clone(&self.parts.reconciled.borrow()));
        let facts = ReadinessFacts {
            host: &host,
            nvidia: &nvidia,
            deployment: &settings.nvidia.deployment,
            desired: &desired,
            in_force: reconciled.in_force.as_ref(),
            items: &reconciled.items,
            workspaces: &workspaces,
            checkin: &checkin,
        };
        unmet_gates(&settings.readiness.gates, &facts)
    }

    /// Makes the call. The token is read at this moment.
    async fn call(&mut self, settings: &Settings, source: &JwtSource) {
        let (outcome, digest) = match source.read().await {
            Err(why) => (CallOutcome::Failed { why, not_before_ms: None }, None),
            Ok(token) => {
                let call = Announcement {
                    settings: &settings.readiness,
                    manager: &settings.manager,
                    state: &self.parts.state,
                    token: &token,
                    wall: self.parts.clock.wall_now(),
                };
                (announce(call).await, Some(sha256_hex(token.expose().as_bytes())))
            }
        };
        let (now, wall) = (self.parts.clock.boot_now(), self.parts.clock.wall_now());
        let upstream = settings.readiness.upstream.clone().unwrap_or_default();
        match &outcome {
            CallOutcome::Accepted => tracing::info!("{upstream} has accepted that this host is ready"),
            CallOutcome::Refused(why) | CallOutcome::Failed { why, .. } => {
                tracing::info!("the readiness call failed: {why}");
            }
        }
        let is_accepted = outcome == CallOutcome::Accepted;
        let Some((boot_id, caller)) = &mut self.boot else { return };
        caller.on_outcome(now, outcome);
        if caller.ended().is_some() {
            (self.spent, self.again_at) = (digest, Some(now.plus(TOKEN_AGAIN_MS)));
        }
        if is_accepted {
            self.owed = Some(ReadinessRecord::of(boot_id, wall));
            self.keep().await;
        }
    }

    /// Records that a call was accepted.
    async fn keep(&mut self) {
        let Some(record) = self.owed.take() else { return };
        match self.record.write(&record).await {
            Ok(()) => {
                self.again_at = None;
                self.lift(&[NOT_RECORDED]);
            }
            Err(fault) => {
                self.owed = Some(record);
                self.again_at = Some(self.parts.clock.boot_now().plus(RECORD_AGAIN_MS));
                let message =
                    format!("{fault}; the readiness call was accepted, and a restart of the daemon repeats it");
                self.stand(NOT_RECORDED, "not_written", message);
            }
        }
    }

    /// Another token takes a refusal back.
    async fn look_for_another(&mut self, source: &JwtSource, now: BootMillis) {
        if self.again_at.is_some_and(|at| at > now) {
            return;
        }
        let found = source.read().await.ok().map(|token| sha256_hex(token.expose().as_bytes()));
        if found.is_some() && found != self.spent {
            self.begin_again();
        } else {
            self.again_at = Some(now.plus(TOKEN_AGAIN_MS));
        }
    }

    fn show_all(&mut self, unmet: &[UnmetGate]) -> Option<BootMillis> {
        let now = self.parts.clock.boot_now();
        let Some((_, caller)) = &mut self.boot else { return None };
        if caller.is_accepted() {
            self.lift(&[WAITING, NOT_REPORTED]);
            let again_at = self.again_at.filter(|_| self.owed.is_some());
            return self.show(ReadinessState::Reported, None, again_at);
        }
        if let Some((code, why)) = caller.ended() {
            let (code, why) = (code.to_owned(), why.to_owned());
            self.lift(&[WAITING]);
            self.stand(NOT_REPORTED, &code, format!("this host could not report that it is ready: {why}"));
            return self.show(ReadinessState::Failed, Some(why), self.again_at);
        }
        let ReadinessNext::Wait(due) = caller.next(now, unmet) else { return Some(now) };
        let tried = caller.tried().map(|(calls, why)| format!("{calls} calls failed: {why}"));
        let Some(first) = unmet.first() else {
            self.waits_since = None;
            self.lift(&[WAITING]);
            return self.show(ReadinessState::Reporting, tried, due);
        };
        let code = first.gate.code();
        let words = unmet.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let long = self.waits_since.get_or_insert(now).plus(WAITED_LONG_MS);
        if now >= long {
            let minutes = WAITED_LONG_MS / 60_000;
            let message = format!(
                "this host has not reported for more than {minutes} minutes that it is ready, because of {words}; \
                 readiness.gates in the configuration lists what is waited for"
            );
            self.stand(WAITING, code, message);
        }
        self.show(ReadinessState::Waiting, Some(words), Some(long).filter(|long| *long > now))
    }

    fn show(&self, state: ReadinessState, detail: Option<String>, wake_at: Option<BootMillis>) -> Option<BootMillis> {
        self.parts.publisher.show_readiness(ReadinessStatus { state, detail });
        wake_at
    }

    fn stand(&self, kind: &str, reason: &str, message: String) {
        let (kind, reason) = (kind.to_owned(), reason.to_owned());
        let since = self.parts.clock.wall_now();
        self.parts.publisher.stand(Condition { kind, status: ConditionStatus::True, reason, message, since });
    }

    fn lift(&self, kinds: &[&str]) {
        kinds.iter().for_each(|kind| self.parts.publisher.lift(kind));
    }
}
