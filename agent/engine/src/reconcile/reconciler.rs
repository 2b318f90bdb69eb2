//! The reconciler's task: waits for news, takes a turn, and follows the jobs that it started.

use super::report::Reconciled;
use crate::command::{Authorized, Command, Wished};
use crate::handle::Handle;
use crate::observer::{Ask, FOR_A_PLAN, look};
use crate::publish::Publisher;
use model::PciAddress;
use model::change::Change;
use model::condition::{Condition, ConditionStatus};
use model::desired::{DesiredState, DocumentId};
use model::enrol::CheckinStatus;
use model::message::Message;
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::policy::Policy;
use model::ports::Clock;
use model::proxy_cert::ProxyState;
use model::reconcile::{
    Applied, AtOnce, Ended, Item, ItemKey, ItemState, MigHeld, Pacer, Shown, Start, Why, WishSource, World, held_alone,
    items, mig_leaves, suspicious,
};
use model::refusal::Refusal;
use model::roster::Known;
use model::settings::Settings;
use model::time::{BootMillis, Now, UnixMillis};
use model::workspace_life::WorkspacesState;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// While a time on the wall clock is waited for it is looked at this often: anybody may step it.
const LOOK_AT_THE_CLOCK_MS: u64 = 60_000;
/// Type of the condition that holds while more is to be reported than the host can have.
const SUSPICIOUS: &str = "override_suspicious";
/// Code of an item that another program works against, and type of the condition that holds meanwhile.
const SECOND_MASTER: &str = "mig_second_master";

/// What the reconciler reads.
#[derive(Debug, Clone)]
pub struct ReconcileInputs {
    /// What is wished.
    pub desired: watch::Receiver<Arc<DesiredState>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// An administrator has frozen what a manager requests.
    pub locked: watch::Receiver<bool>,
    /// The state of the check-in with the manager.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
}

/// How a job of the reconciler ended.
struct ReconcileEnd {
    keys: Vec<ItemKey>,
    /// The GPU whose MIG it was to change.
    mig: Option<PciAddress>,
    done: Result<(), Refusal>,
}

/// The reconciler.
pub struct Reconciler<K> {
    clock: Arc<K>,
    handle: Handle,
    publisher: Arc<Publisher>,
    observer: mpsc::Sender<Ask>,
    inputs: ReconcileInputs,
    known: watch::Receiver<Arc<Vec<Known>>>,
    nvidia: watch::Receiver<Arc<NvidiaState>>,
    workspaces: watch::Receiver<Arc<WorkspacesState>>,
    proxy: watch::Receiver<Arc<ProxyState>>,
    pacer: Pacer,
    applied: Applied,
    jobs: JoinSet<ReconcileEnd>,
    /// What held what had to go at the last attempt to change MIG of each GPU.
    mig_held: MigHeld,
    looks: JoinSet<Option<DocumentId>>,
    /// The reasons that were logged: each is logged once.
    logged: BTreeMap<ItemKey, String>,
    out: watch::Sender<Arc<Reconciled>>,
}

impl<K: Clock> Reconciler<K> {
    /// A reconciler that does nothing until it is run.
    pub(crate) fn new(
        clock: Arc<K>,
        handle: Handle,
        publisher: Arc<Publisher>,
        observer: mpsc::Sender<Ask>,
        (inputs, out): (ReconcileInputs, watch::Sender<Arc<Reconciled>>),
    ) -> Self {
        let (known, nvidia, workspaces) = (publisher.known(), publisher.nvidia(), publisher.workspaces());
        let proxy = publisher.proxy();
        let (pacer, applied) = (Pacer::default(), Applied::default());
        let (jobs, looks) = (JoinSet::new(), JoinSet::new());
        let (logged, mig_held) = (BTreeMap::new(), MigHeld::new());
        Self {
            clock,
            handle,
            publisher,
            observer,
            inputs,
            known,
            nvidia,
            workspaces,
            proxy,
            pacer,
            applied,
            jobs,
            mig_held,
            looks,
            logged,
            out,
        }
    }

    /// Reconciles until it is cancelled. Jobs that are then under way are not waited for.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut seen = self.handle.observation.clone();
        loop {
            let next = self.turn();
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = self.inputs.desired.changed() => {}
                Ok(()) = self.inputs.settings.changed() => {}
                Ok(()) = self.inputs.policy.changed() => {}
                Ok(()) = self.inputs.locked.changed() => {}
                Ok(()) = another_state(&mut self.inputs.checkin) => {}
                Ok(()) = self.known.changed() => {}
                Ok(()) = self.nvidia.changed() => {}
                Ok(()) = self.workspaces.changed() => {}
                Ok(()) = self.proxy.changed() => {}
                Ok(()) = seen.changed() => {}
                Some(ended) = self.jobs.join_next(), if !self.jobs.is_empty() => self.ended(ended),
                Some(looked) = self.looks.join_next(), if !self.looks.is_empty() => {
                    if let Ok(Some(id)) = looked {
                        self.applied.looked(&id);
                    }
                }
                () = at(&*clock, next) => {}
            }
        }
    }

    /// One turn over the latest of everything. Returns when the next one is due by itself.
    fn turn(&mut self) -> Option<BootMillis> {
        let host = Arc::clone(&self.handle.observation.borrow());
        // Nothing is known of the host yet, so that nothing is missing either.
        if host.sequence == 0 {
            return None;
        }
        let now = self.now();
        let desired = Arc::clone(&self.inputs.desired.borrow_and_update());
        let in_force = desired.manager.document().map(|document| document.id.clone());
        self.applied.follow(in_force.as_ref());
        let settings = Arc::clone(&self.inputs.settings.borrow_and_update());
        let all = self.items(&desired, &host, &settings, now);
        let turn = self.pacer.turn(now.boot, &all);
        for start in turn.start {
            self.start(start, &desired);
        }
        self.applied.judge(&all);
        if let Some(id) = self.applied.needs_a_look().filter(|_| self.looks.is_empty()) {
            let (observer, id) = (self.observer.clone(), id.clone());
            self.looks.spawn(async move { look(&observer, FOR_A_PLAN).await.ok().map(|()| id) });
        }
        let shown = self.pacer.shown(now, &all);
        self.show(Reconciled { in_force, applied: self.applied.applied().cloned(), items: shown });
        let drain = settings.desired.drain_at.filter(|drain| !drain.has_come);
        let clock = drain.map(|drain| now.boot.plus(until(now.wall, drain.at).min(LOOK_AT_THE_CLOCK_MS)));
        turn.next.into_iter().chain(clock).min()
    }

    fn items(&mut self, desired: &DesiredState, host: &HostObservation, settings: &Settings, now: Now) -> Vec<Item> {
        let policy = Arc::clone(&self.inputs.policy.borrow_and_update());
        let known = Arc::clone(&self.known.borrow_and_update());
        let nvidia = Arc::clone(&self.nvidia.borrow_and_update());
        let workspaces = Arc::clone(&self.workspaces.borrow_and_update());
        let proxy = Arc::clone(&self.proxy.borrow_and_update());
        let world = World {
            proxy: &proxy,
            nvidia: &nvidia,
            workspaces: &workspaces,
            desired,
            host,
            known: &known,
            settings,
            policy: &policy,
            is_locked: *self.inputs.locked.borrow_and_update(),
            checkin: self.inputs.checkin.borrow_and_update().state,
            wall: now.wall,
        };
        match suspicious(&world) {
            Some(message) => self.publisher.stand(Condition {
                kind: SUSPICIOUS.to_owned(),
                status: ConditionStatus::True,
                reason: "beyond_physical".to_owned(),
                message,
                since: self.clock.wall_now(),
            }),
            None => self.publisher.lift(SUSPICIOUS),
        }
        let all = items(&world);
        self.publisher.show_mig_leaves(mig_leaves(&world, &all, &self.mig_held));
        self.show_second_master(&all);
        all
    }

    /// Another program sets MIG of what the desired state is about.
    fn show_second_master(&self, all: &[Item]) {
        let message = |item: &Item| {
            let refused = if let ItemState::Refused(why) = &item.state { Some(why) } else { None };
            refused.filter(|why| why.code == SECOND_MASTER).map(|why| why.message.clone())
        };
        let refused = all.iter().find_map(message);
        match refused {
            Some(message) => self.publisher.stand(Condition {
                kind: SECOND_MASTER.to_owned(),
                status: ConditionStatus::True,
                reason: "not_reconciled".to_owned(),
                message,
                since: self.clock.wall_now(),
            }),
            None => self.publisher.lift(SECOND_MASTER),
        }
    }

    /// Both clocks; the wall clock as the manager has it, as far as that is known.
    fn now(&self) -> Now {
        let skew_ms = self.inputs.checkin.borrow().clock_skew_ms.unwrap_or(0);
        let wall = UnixMillis(self.clock.wall_now().0.saturating_add(skew_ms));
        Now { boot: self.clock.boot_now(), wall }
    }

    fn start(&mut self, start: Start, desired: &DesiredState) {
        let Start { source, paths, deeds, attempt } = start;
        let keys: Vec<ItemKey> = paths.iter().map(|path| (source, path.clone())).collect();
        let mig = match &deeds {
            AtOnce::Change(change @ (Change::MigLayout(_) | Change::MigMode(_))) => change.subject().gpu(),
            AtOnce::Settings(_) | AtOnce::Change(_) => None,
        };
        let command = match deeds {
            AtOnce::Settings(settings) => Command::Configure(settings),
            AtOnce::Change(change) => Command::Change(change),
        };
        let policy = Arc::clone(&self.inputs.policy.borrow());
        let (gated, document) = match source {
            WishSource::Local => (Authorized::by_local_file(&policy, command), None),
            WishSource::Manager => {
                let locked = *self.inputs.locked.borrow();
                let document = desired.manager.document().map(|document| document.id.clone());
                (Authorized::by_manager(&policy, locked, command), document)
            }
        };
        let handle = self.handle.clone();
        self.jobs.spawn(async move {
            let done = match gated {
                Ok(authorized) => handle.run(authorized.wished(Wished { document, paths, attempt })).await.map(drop),
                Err(refusal) => Err(refusal),
            };
            ReconcileEnd { keys, mig, done }
        });
    }

    fn ended(&mut self, ended: Result<ReconcileEnd, tokio::task::JoinError>) {
        match ended {
            Ok(ReconcileEnd { keys, mig, done }) => {
                if let Some(gpu) = mig {
                    self.note_mig(gpu, done.as_ref().err());
                }
                let end: Ended = done.map_err(|refusal| in_words(&refusal));
                self.pacer.ended(self.clock.boot_now(), &keys, &end);
            }
            // A bug of ours: the daemon ends, as after every other panic, and begins anew.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => {}
        }
    }

    /// Keeps who alone prevented a change of MIG.
    fn note_mig(&mut self, gpu: PciAddress, refusal: Option<&Refusal>) {
        let host = self.handle.observation.borrow();
        let uuid = host.gpu(gpu).and_then(|gpu| gpu.driver.as_ref()?.uuid.known());
        let owned = uuid.and_then(|uuid| self.publisher.records().borrow().owned(uuid));
        let owned = owned.map(|owned| owned.places()).unwrap_or_default();
        match refusal.and_then(|refusal| held_alone(refusal, &owned)) {
            Some(held) => self.mig_held.insert(gpu, held),
            None => self.mig_held.remove(&gpu),
        };
    }

    /// Publishes what changed, and logs each reason once.
    fn show(&mut self, reconciled: Reconciled) {
        if **self.out.borrow() == reconciled {
            return;
        }
        let known = std::mem::take(&mut self.logged);
        self.logged = reconciled.items.iter().filter_map(|item| log(item, &known)).collect();
        self.out.send_replace(Arc::new(reconciled));
    }
}

/// The check-in is in another state, or knows another skew: that a heartbeat was accepted is no news here.
async fn another_state(status: &mut watch::Receiver<Arc<CheckinStatus>>) -> Result<(), watch::error::RecvError> {
    let of = |status: &CheckinStatus| (status.state, status.clock_skew_ms);
    let before = of(&status.borrow_and_update());
    status.wait_for(|status| of(status) != before).await.map(drop)
}

/// One line for each reason why an item is not met, and the reason that is logged by then; what is only on its way is not worth one.
fn log(item: &Shown, known: &BTreeMap<ItemKey, String>) -> Option<(ItemKey, String)> {
    let why = item.why.as_ref()?;
    let key = (item.source, item.path.clone());
    let logged = known.get(&key).cloned();
    if ["pending", "under_way", "transitioning"].contains(&why.code.as_str()) || logged.as_ref() == Some(&why.code) {
        return logged.map(|code| (key, code));
    }
    tracing::warn!(
        message_id = Message::DesiredItemUnmet.id(),
        source = item.source.code(),
        path = item.path.as_str(),
        code = why.code,
        "{} of the desired state ({}) is not met: {}: {}",
        item.path,
        item.source.code(),
        why.code,
        why.message
    );
    Some((key, why.code.clone()))
}

fn in_words(refusal: &Refusal) -> Why {
    Why::new(refusal.code(), refusal.to_string())
}

/// Milliseconds on the wall clock until then; 0 where it has passed.
fn until(now: UnixMillis, then: UnixMillis) -> u64 {
    u64::try_from(then.0.saturating_sub(now.0)).unwrap_or(0)
}

/// Waits until the instant, or for ever where there is none.
async fn at(clock: &impl Clock, when: Option<BootMillis>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}
