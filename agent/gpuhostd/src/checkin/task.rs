//! The session task: asks the machines what is due, starts it beside itself, and takes in what returns. It waits for nothing else.

use crate::checkin::DesiredEnds;
use crate::checkin::cadence::Cadence;
use crate::checkin::deliver::Outbox;
use crate::checkin::keeper::Keeper;
use crate::checkin::lanes::{Back, Lane, Lanes};
use crate::checkin::life::Life;
use crate::checkin::port::{Ask, CheckinPort};
use crate::checkin::report::Report;
use crate::checkin::session::Session;
use crate::checkin::sight::Sight;
use crate::checkin::status::{Publisher, Stand};
use crate::checkin::store::IdentityStore;
use crate::checkin::transport::Transport;
use crate::checkin::wishes::Wishes;
use engine::handle::Handle;
use model::checkin::DeliveryFailure;
use model::checkin::condition::Standing;
use model::enrol::CheckinState;
use model::observation::HostObservation;
use model::ports::Clock;
use model::settings::Settings;
use model::time::{BootMillis, Now, UnixMillis};
use model::{Absence, Reading};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The first heartbeat waits for the first observation with the host's facts, but not longer, in milliseconds.
const FIRST_SIGHT_MS: u64 = 4000;
/// Where nothing is due, the timer is set this far off, in milliseconds (a year).
const FAR_MS: u64 = 365 * 86_400_000;

/// What a task is made of.
pub(super) struct Parts<C> {
    pub(super) handle: Handle,
    pub(super) configured: watch::Receiver<Arc<Settings>>,
    pub(super) state_dir: PathBuf,
    pub(super) clock: Arc<C>,
    pub(super) desired: DesiredEnds,
    pub(super) cancel: CancellationToken,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) keep: CheckinPort,
    pub(super) publisher: Publisher,
    pub(super) lanes: Lanes,
}

/// The task. Each part of it is its own master; what they have to do with each other is in `begin`, `due` and `took`.
pub(super) struct Task<C> {
    pub(super) session: Session,
    pub(super) cadence: Cadence,
    pub(super) transport: Transport,
    /// Requests for desired state have connections of their own: one that is held never delays a heartbeat.
    pub(super) poll_transport: Transport,
    pub(super) wishes: Wishes,
    pub(super) outbox: Outbox,
    pub(super) keeper: Keeper,
    pub(super) lanes: Lanes,
    pub(super) sight: Sight,
    pub(super) publisher: Publisher,
    pub(super) store: IdentityStore,
    pub(super) clock: Arc<C>,
    /// When the daemon began: the first request is counted from there.
    pub(super) began: BootMillis,
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

/// What woke the task.
enum Woken {
    Asked(Option<Ask>),
    Back(Box<Back>),
    Seen(bool),
    Configured(bool),
    Wished,
    Alarm,
}

impl<C: Clock> Task<C> {
    /// A task that has done nothing yet.
    pub(super) fn new(parts: Parts<C>) -> Self {
        let seen = Arc::clone(&parts.handle.observation.borrow());
        let settings = parts.configured.borrow().manager.clone();
        let outbox = Outbox::new(parts.desired.events.clone());
        let wishes = Wishes::new(parts.desired, &parts.configured.borrow());
        Self {
            session: Session::new(settings),
            cadence: Cadence::default(),
            transport: Transport::default(),
            poll_transport: Transport::default(),
            wishes,
            outbox,
            keeper: Keeper::default(),
            lanes: parts.lanes,
            sight: Sight::new(seen),
            publisher: parts.publisher,
            store: IdentityStore::below(&parts.state_dir),
            began: parts.clock.boot_now(),
            clock: parts.clock,
            handle: parts.handle,
            configured: parts.configured,
            configured_for_good: false,
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
        self.wake();
        loop {
            self.look();
            let wake_at = self.start_what_is_due();
            self.publish();
            self.lanes.show();
            match self.wait(wake_at).await {
                Woken::Asked(ask) => self.asked(ask),
                Woken::Back(back) => self.took(*back),
                Woken::Seen(still_there) => self.engine_gone = !still_there,
                Woken::Configured(still_there) => self.reconfigure(still_there),
                Woken::Wished | Woken::Alarm => {}
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
        let news = [self.sight.look(seen), self.wishes.look(&self.configured.borrow())];
        let (now, own_interval_s, zone) = (self.clock.boot_now(), self.own_interval_s(), self.zone());
        if let Some(machine) = self.cadence.machine_mut() {
            machine.on_own_interval(now, own_interval_s);
            machine.on_zone(zone.as_deref());
            if news.contains(&true) {
                machine.on_change(now);
            }
        }
        let (held, refused) = (self.wishes.in_force(), self.wishes.refused());
        self.cadence.poll().on_held(held.as_ref(), refused.as_ref());
        let waiting = self.outbox.has_waiting();
        self.cadence.delivery().on_waiting(waiting);
        let taker = self.event_taker();
        self.outbox.note_taker(taker);
    }

    /// Seconds between heartbeats where no reply has asked for others: as the desired state has them, else the files.
    pub(super) fn own_interval_s(&self) -> u64 {
        let desired = self.configured.borrow().desired.heartbeat_interval_s;
        desired.unwrap_or(self.session.settings.heartbeat_interval_s)
    }

    /// The zone of this host, which decides whose managers come first: as the desired state has it, else the files.
    pub(super) fn zone(&self) -> Option<String> {
        let desired = self.configured.borrow().desired.zone.clone();
        desired.or_else(|| self.session.settings.zone.clone())
    }

    /// Waits for the first of: an ask, the end of something that runs beside, another observation, other settings,
    /// other wishes, events, the instant.
    async fn wait(&mut self, wake_at: Option<BootMillis>) -> Woken {
        let clock = Arc::clone(&self.clock);
        let alarm = clock.sleep_until(wake_at.unwrap_or_else(|| clock.boot_now().plus(FAR_MS)));
        // What a person asks for is done with, before anything of it is changed.
        let at_rest = self.lanes.are_free(&[Lane::ByHand, Lane::Goodbye]);
        tokio::select! {
            ask = self.asks.recv(), if at_rest => Woken::Asked(ask),
            back = self.lanes.next() => Woken::Back(Box::new(back)),
            changed = self.handle.observation.changed(), if !self.engine_gone => Woken::Seen(changed.is_ok()),
            changed = self.configured.changed(), if at_rest && !self.configured_for_good => Woken::Configured(changed.is_ok()),
            () = self.wishes.changed() => Woken::Wished,
            () = self.outbox.changed() => Woken::Wished,
            () = alarm => Woken::Alarm,
        }
    }

    /// Begins again with the settings of a reload, where they differ, or where the identity could not be used; the identity stays.
    fn reconfigure(&mut self, still_there: bool) {
        self.configured_for_good = !still_there;
        let settings = self.configured.borrow_and_update().manager.clone();
        if !still_there || (settings == *self.session.settings && self.session.broken.is_none()) {
            return;
        }
        tracing::info!("the manager settings have changed; the check-in starts again");
        self.stop_requests();
        self.cadence.forget();
        self.transport.forget();
        self.poll_transport.forget();
        self.session.begin_anew(settings);
        self.began = self.clock.boot_now();
        self.wake();
    }

    /// Whatever is under way to a manager comes to nothing: this host is another one now.
    pub(super) fn stop_requests(&mut self) {
        self.lanes.stop(&[
            Lane::Wake,
            Lane::Prepare,
            Lane::TokenFile,
            Lane::TokenWatch,
            Lane::Beat,
            Lane::Version,
            Lane::Poll,
            Lane::Fetch,
            Lane::Offer,
            Lane::Events,
            Lane::Renewal,
            Lane::Enrolment,
            Lane::Probe,
        ]);
    }

    /// The instant, with the wall clock as well as it is known.
    pub(super) fn now(&self) -> Now {
        let boot = self.clock.boot_now();
        Now { boot, wall: self.session.wall(boot, self.clock.wall_now()) }
    }

    /// What a heartbeat of now reports.
    pub(super) fn report(&self) -> Report {
        let wished = (self.wishes.in_force(), self.wishes.report());
        self.sight.report(&self.named_settings(), self.session.enabled, wished, self.publisher.now())
    }

    /// Publishes the present state.
    pub(super) fn publish(&mut self) {
        let (now, wall) = (self.now(), self.clock.wall_now());
        let mut standing = self.session.standing();
        let machine = self.cadence.machine();
        if let Some(machine) = machine {
            standing.extend(machine.standing(now));
        }
        if let Some(fault) = self.keeper.fault() {
            let message = format!("{fault}; the credentials stay in use, but a restart now may lose the new ones");
            standing.push(Standing { kind: "identity_not_kept", message });
        }
        let alone = match self.session.life {
            Life::Alone(state) => Some(state),
            Life::Enrolling(_) | Life::Enrolled(_) => None,
        };
        if alone == Some(CheckinState::Forgotten) {
            let message = format!("the manager has deleted this host; {}", DeliveryFailure::Deleted.remedy());
            standing.push(Standing { kind: DeliveryFailure::Deleted.condition(), message });
        }
        let pause = machine.and_then(|machine| machine.asked_to_wait_until(now.boot));
        let on_the_wall =
            |at: BootMillis| UnixMillis(wall.0.saturating_add(i64::try_from(at.since(now.boot)).unwrap_or(i64::MAX)));
        let stand = Stand {
            state: alone.or_else(|| machine.map(|machine| machine.state())).unwrap_or_default(),
            manager: machine.and_then(|machine| machine.manager()).map(ToString::to_string),
            server_id: self.session.life.enrolled().map(|enrolled| enrolled.identity().server_id.clone()),
            interval_s: machine.map_or(self.session.settings.heartbeat_interval_s, |machine| machine.interval_s()),
            wait_until: pause.map(on_the_wall),
            desired: self.fetch_status(now.boot, on_the_wall),
            trust: self.session.shown_trust(),
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
