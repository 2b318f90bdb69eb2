//! The task of the check-in: asks the machine what to do, does it, and waits for what happens next.

use crate::checkin::http::Wire;
use crate::checkin::identity::IdentityStore;
use crate::checkin::life::Life;
use crate::checkin::port::{Ask, CheckinPort};
use crate::checkin::sight::Sight;
use crate::checkin::status::{Publisher, Stand};
use crate::checkin::token_file::TokenFile;
use engine::handle::Handle;
use model::checkin::condition::Standing;
use model::checkin::{Action, Machine, Trouble};
use model::enrol::CheckinState;
use model::observation::HostObservation;
use model::ports::Clock;
use model::settings::{ManagerSettings, Settings};
use model::time::BootMillis;
use model::{Absence, Reading};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The first heartbeat waits for the first observation with the host's facts, but not longer, in milliseconds.
const FIRST_SIGHT_MS: u64 = 4000;
/// Where nothing is due, the timer is set this far off, in milliseconds (a year).
const FAR_MS: u64 = 365 * 86_400_000;
/// A token file that matters now is looked into so often, in milliseconds.
const FILE_POLL_MS: u64 = 500;

/// What a task is made of.
pub(super) struct Parts<C> {
    pub(super) handle: Handle,
    pub(super) configured: watch::Receiver<Arc<Settings>>,
    pub(super) state_dir: PathBuf,
    pub(super) clock: Arc<C>,
    pub(super) cancel: CancellationToken,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) keep: CheckinPort,
    pub(super) publisher: Publisher,
}

/// The task.
pub(super) struct Task<C> {
    pub(super) settings: ManagerSettings,
    pub(super) store: IdentityStore,
    pub(super) clock: Arc<C>,
    pub(super) publisher: Publisher,
    pub(super) wire: Wire,
    pub(super) life: Life,
    pub(super) machine: Option<Machine>,
    pub(super) token_file: Option<TokenFile>,
    pub(super) standing: Vec<Standing>,
    pub(super) sight: Sight,
    pub(super) enabled: bool,
    pub(super) last_seq: u64,
    pub(super) gzip: HashMap<String, (bool, BootMillis)>,
    pub(super) renew_not_before: BootMillis,
    pub(super) wipe_at: Option<BootMillis>,
    handle: Handle,
    configured: watch::Receiver<Arc<Settings>>,
    /// Nobody can change the settings any more.
    configured_for_good: bool,
    engine_gone: bool,
    cancel: CancellationToken,
    asks: mpsc::Receiver<Ask>,
    /// Keeps the queue open while nobody else holds the port.
    _keep: CheckinPort,
}

impl<C: Clock> Task<C> {
    /// A task that has done nothing yet.
    pub(super) fn new(parts: Parts<C>) -> Self {
        let seen = Arc::clone(&parts.handle.observation.borrow());
        let settings = parts.configured.borrow().manager.clone();
        Self {
            store: IdentityStore::below(&parts.state_dir),
            sight: Sight::new(seen),
            settings,
            configured: parts.configured,
            configured_for_good: false,
            clock: parts.clock,
            publisher: parts.publisher,
            wire: Wire::default(),
            life: Life::Alone(CheckinState::NotEnrolled),
            machine: None,
            token_file: None,
            standing: Vec::new(),
            enabled: true,
            last_seq: 0,
            gzip: HashMap::new(),
            renew_not_before: BootMillis(0),
            wipe_at: None,
            handle: parts.handle,
            engine_gone: false,
            cancel: parts.cancel,
            asks: parts.asks,
            _keep: parts.keep,
        }
    }

    /// Works until cancelled.
    pub(super) async fn run(mut self) {
        let cancel = self.cancel.clone();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        self.first_sight().await;
        self.wake().await;
        loop {
            self.look();
            self.publish();
            let now = self.clock.boot_now();
            let action = match &mut self.machine {
                Some(machine) => machine.next(now, &self.sight.rev),
                None => Action::Wait(None),
            };
            match action {
                Action::Wait(until) => self.idle(now, until).await,
                Action::Beat(beat) => self.beat(beat).await,
                Action::Enrol(manager) => self.enrol_with(&manager).await,
            }
        }
    }

    async fn first_sight(&mut self) {
        let until = self.clock.boot_now().plus(FIRST_SIGHT_MS);
        let clock = Arc::clone(&self.clock);
        tokio::select! {
            _ = self.handle.observation.wait_for(|seen| has_boot_id(seen)) => {}
            () = clock.sleep_until(until) => {}
        }
    }

    fn look(&mut self) {
        let seen = Arc::clone(&self.handle.observation.borrow_and_update());
        if self.sight.look(seen)
            && let Some(machine) = &mut self.machine
        {
            machine.on_change(self.clock.boot_now());
        }
    }

    async fn idle(&mut self, now: BootMillis, until: Option<BootMillis>) {
        let poll = self.watches_file().then(|| now.plus(FILE_POLL_MS));
        let wake = [until, poll, self.wipe_at].into_iter().flatten().min();
        let clock = Arc::clone(&self.clock);
        let alarm = clock.sleep_until(wake.unwrap_or_else(|| now.plus(FAR_MS)));
        tokio::select! {
            ask = self.asks.recv() => self.asked(ask).await,
            changed = self.handle.observation.changed(), if !self.engine_gone => self.engine_gone = changed.is_err(),
            changed = self.configured.changed(), if !self.configured_for_good => match changed {
                Ok(()) => self.reconfigure().await,
                Err(_) => self.configured_for_good = true,
            },
            () = alarm => self.alarm().await,
        }
    }

    /// Begins anew with the settings of a reload, where they differ; the identity stays.
    async fn reconfigure(&mut self) {
        let settings = self.configured.borrow_and_update().manager.clone();
        if settings == self.settings {
            return;
        }
        tracing::info!("the settings of the manager have changed; the check-in begins anew");
        self.settings = settings;
        self.machine = None;
        self.wire = Wire::default();
        self.life = Life::Alone(CheckinState::NotEnrolled);
        self.standing.clear();
        self.gzip.clear();
        self.wipe_at = None;
        self.wake().await;
    }

    async fn alarm(&mut self) {
        if self.watches_file() {
            self.check_file().await;
        }
        if self.wipe_at.is_some_and(|at| at <= self.clock.boot_now()) {
            self.wipe_forgotten().await;
        }
    }

    async fn asked(&mut self, ask: Option<Ask>) {
        match ask {
            Some(Ask::Enrol(spec, reply)) => {
                let done = self.enrol_now(*spec).await;
                self.publish();
                // Whoever asked may have gone away; the deed stays done.
                let _ = reply.send(done);
            }
            Some(Ask::Leave(reply)) => {
                let done = self.leave().await;
                self.publish();
                let _ = reply.send(done);
            }
            None => {}
        }
    }

    /// Publishes where it stands.
    pub(super) fn publish(&mut self) {
        let now = self.clock.boot_now();
        let wall = self.clock.wall_now();
        let mut standing = self.standing.clone();
        if self.settings.insecure_skip_verify {
            let message =
                "manager.insecure_skip_verify is set: any manager is trusted; remove it and give ca_file or pin_sha256";
            standing.push(Standing { kind: "insecure_tls", message: message.to_owned() });
        }
        if let Some(message) = self.token_file.as_ref().and_then(TokenFile::fault) {
            standing.push(Standing { kind: "credential_unreadable", message });
        }
        let machine = self.machine.as_ref();
        if let Some(machine) = machine {
            standing.extend(machine.standing(now));
        }
        let alone = match self.life {
            Life::Alone(state) => Some(state),
            Life::Enrolling(_) | Life::Enrolled(_) => None,
        };
        if alone == Some(CheckinState::Forgotten) {
            let message = format!("the manager has deleted this host; {}", Trouble::Deleted.remedy());
            standing.push(Standing { kind: Trouble::Deleted.condition(), message });
        }
        let stand = Stand {
            state: alone.or_else(|| machine.map(Machine::state)).unwrap_or_default(),
            manager: machine.and_then(Machine::manager).map(ToString::to_string),
            server_id: self.life.identity().map(|i| i.server_id.clone()),
            interval_s: machine.map_or(self.settings.heartbeat_interval_s, Machine::interval_s),
            standing,
        };
        self.publisher.publish(stand, wall);
    }
}

/// The host's facts have been read. The scan is there before them, and a heartbeat with an unknown boot id between two with the
/// real one is to a manager a boot that came back: a second host with this identity.
fn has_boot_id(seen: &HostObservation) -> bool {
    seen.sequence > 0 && !matches!(seen.host.boot_id, Reading::Absent(Absence::NotReported))
}
