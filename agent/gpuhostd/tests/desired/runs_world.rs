//! The daemon's own parts together in virtual time: the keeper of the documents on a simulated disk, the reconciler and the change engine
//! on a simulated host. It can be killed and started again, and can be built wrong on purpose.

use crate::rig::HOST;
use engine::change::ChangePorts;
use engine::reconcile::{ReconcileInputs, Reconciled};
use engine::start::{EngineParts, EnginePorts};
use gpuhostd::desired::{self, DesiredPort, KeeperParts, Offer, Taken};
use model::PciAddress;
use model::desired::{DesiredState, InForceDocument};
use model::enrol::{CheckinState, CheckinStatus, EnrolSpec, EnrolmentEdit, Farewell};
use model::policy::{Policy, read};
use model::ports::{Clock, JournalDocument, JournalError, JournalPort, ManagerPort};
use model::refusal::Refusal;
use model::settings::{HostSetting, Settings, SettingsOverlay};
use model::time::{BootMillis, UnixMillis};
use sim::{SimHost, SimLedger};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// What the daemon could do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing.
    Nothing,
    /// A document is in force before it is on disk.
    ApplyBeforeSave,
    /// A ledger that cannot be read is no document.
    EmptyOnMissing,
    /// What a manager wishes is held to no policy and no lock.
    LocalAuthority,
    /// What fails is tried again at once.
    NoBackOff,
    /// An item that fails holds up the others.
    OneItemBlocks,
}

/// Time of the runtime, which goes on by itself where everything waits; the reconciler of one mutant lives twenty times faster.
pub(crate) struct RunClock {
    began: Instant,
    faster: u64,
}

impl Clock for RunClock {
    fn boot_now(&self) -> BootMillis {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        BootMillis(1_000 + passed * self.faster)
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(1_774_962_793_000)
    }

    async fn sleep_until(&self, when: BootMillis) {
        // A timer of the runtime has a resolution of 1 ms.
        sleep(Duration::from_millis(when.since(self.boot_now()).div_ceil(self.faster).max(1))).await;
    }
}

/// A journal that outlives the daemon.
#[derive(Clone, Default)]
struct RunJournal(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl JournalPort for RunJournal {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
        let all = self.0.lock().unwrap();
        let document = |(name, bytes): (&String, &Vec<u8>)| JournalDocument {
            name: name.clone(),
            place: format!("/journal/{name}"),
            content: Ok(bytes.clone()),
        };
        Ok(all.iter().map(document).collect())
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalError> {
        self.0.lock().unwrap().insert(name.to_owned(), document);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

/// Something that must never be.
type Violations = Arc<Mutex<Vec<String>>>;

/// Sets what is wished over the settings, and holds each call against what may be.
struct Setter {
    settings: watch::Sender<Arc<Settings>>,
    refuses: watch::Receiver<bool>,
    /// Since when a manager may set nothing.
    denied_since: watch::Receiver<Option<Instant>>,
    ledger: SimLedger,
    violations: Violations,
    last: Mutex<Option<(Vec<HostSetting>, Instant)>>,
}

impl ManagerPort for Setter {
    async fn configure(&self, settings: Vec<HostSetting>) -> Result<(), Refusal> {
        let now = Instant::now();
        let wrong = |what: &str| self.violations.lock().unwrap().push(format!("{what}: {settings:?}"));
        if self.denied_since.borrow().is_some_and(|since| since < now) {
            wrong("a manager's wish is done that is denied");
        }
        let on_disk = self.ledger.disk(|disk| disk.content.clone()).and_then(Result::ok).unwrap_or_default();
        let on_disk = String::from_utf8_lossy(&on_disk).into_owned();
        for setting in &settings {
            if let HostSetting::Zone(Some(zone)) = setting
                && !on_disk.contains(zone)
            {
                wrong("what a document wishes is done before it is on disk");
            }
        }
        let earlier = self.last.lock().unwrap().replace((settings.clone(), now));
        let is_again = earlier.is_some_and(|(same, at)| same == settings && now - at < Duration::from_millis(500));
        if is_again && *self.refuses.borrow() {
            wrong("an item is tried again without a pause");
        }
        if *self.refuses.borrow() {
            return Err(Refusal::Conflict { why: "the disk is full".to_owned() });
        }
        self.settings.send_modify(|now| {
            let mut overlay: SettingsOverlay = now.desired.clone();
            settings.into_iter().for_each(|setting| overlay.set(setting));
            *now = Arc::new(overlay.over(&Settings::default()));
        });
        Ok(())
    }

    async fn accept_epoch(&self, _: model::desired::Epoch) -> Result<(), Refusal> {
        Ok(())
    }

    async fn enrol(&self, _: EnrolSpec) -> Result<(), Refusal> {
        Ok(())
    }

    async fn leave(&self) -> Result<Farewell, Refusal> {
        Ok(Farewell::NotEnrolled)
    }

    async fn edit_enrolment(&self, _: EnrolmentEdit) -> Result<(), Refusal> {
        Ok(())
    }

    async fn lock(&self, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    async fn acknowledge_gone(&self, _: PciAddress) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The host with its disk, and the daemon on it.
pub(crate) struct RunWorld {
    pub(crate) host: SimHost,
    pub(crate) ledger: SimLedger,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) refuses: watch::Sender<bool>,
    pub(crate) violations: Violations,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    pub(crate) locked: watch::Sender<bool>,
    pub(crate) checkin: watch::Sender<Arc<CheckinStatus>>,
    denied_since: watch::Sender<Option<Instant>>,
    journal: RunJournal,
    began: Instant,
    wrong: Wrong,
    daemon: Option<RunDaemon>,
}

struct RunDaemon {
    port: DesiredPort,
    /// What the reconciler is given.
    given: watch::Sender<Arc<DesiredState>>,
    reconciled: watch::Receiver<Arc<Reconciled>>,
    tasks: Vec<JoinHandle<()>>,
}

pub(crate) fn open() -> Policy {
    read("p", "[manager]\npassthrough = true\nchanges_per_minute = 60\n[host.passthrough]\nchanges_per_minute = 60")
        .unwrap()
}

impl RunWorld {
    pub(crate) async fn new(wrong: Wrong) -> Self {
        let mut description = sim::load("dgx-a100").unwrap();
        for gpu in &mut description.gpus {
            gpu.processes.clear();
            gpu.persistence = false;
        }
        let status =
            CheckinStatus { state: CheckinState::Ok, server_id: Some(HOST.to_owned()), ..CheckinStatus::default() };
        let mut world = Self {
            host: SimHost::new(description).unwrap(),
            ledger: SimLedger::default(),
            settings: watch::Sender::new(Arc::default()),
            refuses: watch::Sender::new(false),
            violations: Violations::default(),
            policy: watch::Sender::new(Arc::new(open())),
            locked: watch::Sender::new(false),
            checkin: watch::Sender::new(Arc::new(status)),
            denied_since: watch::Sender::new(None),
            journal: RunJournal::default(),
            began: Instant::now(),
            wrong,
            daemon: None,
        };
        world.start().await;
        world
    }

    /// Notes whether a manager may set anything from now on.
    pub(crate) fn judge_denial(&self) {
        let is_gone = self.checkin.borrow().state == CheckinState::Forgotten;
        let is_denied = *self.locked.borrow() || !self.policy.borrow().manager.labels || is_gone;
        let since = *self.denied_since.borrow();
        self.denied_since.send_replace(is_denied.then(|| since.unwrap_or_else(Instant::now)));
    }

    async fn start(&mut self) {
        let parts = EngineParts::default();
        let (port, queue) = desired::channel();
        let slow = Arc::new(RunClock { began: self.began, faster: 1 });
        let keeper = desired::start(
            queue,
            KeeperParts {
                ledger: Arc::new(self.ledger.clone()),
                folder: PathBuf::from("/nonexistent/gpuhostd/desired.d"),
                checkin: self.checkin.subscribe(),
                publisher: parts.publisher(),
                clock: Arc::clone(&slow),
                cancel: CancellationToken::new(),
            },
        )
        .await;
        let mut tasks = vec![tokio::spawn(keeper)];
        port.reload().await;
        let given = watch::Sender::new(self.given_of(&port.state().borrow()));
        tasks.push(tokio::spawn(relay(port.state(), given.clone(), self.wrong)));
        let (trusted, unlocked) = (watch::Sender::new(Arc::new(open())), watch::Sender::new(false));
        let is_trusted = self.wrong == Wrong::LocalAuthority;
        let policy = if is_trusted { trusted.subscribe() } else { self.policy.subscribe() };
        let inputs = ReconcileInputs {
            desired: given.subscribe(),
            settings: self.settings.subscribe(),
            policy: policy.clone(),
            locked: if is_trusted { unlocked.subscribe() } else { self.locked.subscribe() },
            checkin: self.checkin.subscribe(),
        };
        let parts = parts.with_desired_state(inputs);
        let reconciled = parts.reconciled();
        let faster = if self.wrong == Wrong::NoBackOff { 20 } else { 1 };
        let clock = Arc::new(RunClock { began: self.began, faster });
        let setter = Setter {
            settings: self.settings.clone(),
            refuses: self.refuses.subscribe(),
            denied_since: self.denied_since.subscribe(),
            ledger: self.ledger.clone(),
            violations: Arc::clone(&self.violations),
            last: Mutex::new(None),
        };
        let change = ChangePorts {
            act: Arc::new(self.host.clone()),
            journal: Arc::new(self.journal.clone()),
            clock,
            boot_id: "boot".to_owned(),
        };
        let ports = EnginePorts {
            host: Arc::new(self.host.clone()),
            announced: self.host.changes(),
            manager: Arc::new(setter),
            settings: self.settings.subscribe(),
            policy,
            change,
        };
        let engine = parts.engine(ports, CancellationToken::new()).await;
        let run = engine.run;
        tasks.push(tokio::spawn(async move {
            let _kept = (trusted, unlocked);
            run.await;
        }));
        self.daemon = Some(RunDaemon { port, given, reconciled, tasks });
    }

    fn given_of(&self, state: &DesiredState) -> Arc<DesiredState> {
        match (self.wrong, &state.manager) {
            (Wrong::EmptyOnMissing, InForceDocument::Unreadable { .. }) => Arc::default(),
            _ => Arc::new(state.clone()),
        }
    }

    /// The daemon is killed, and starts again on the same disk.
    pub(crate) async fn crash(&mut self) {
        for task in self.daemon.take().into_iter().flat_map(|daemon| daemon.tasks) {
            task.abort();
            let _killed = task.await;
        }
        self.start().await;
    }

    fn daemon(&self) -> &RunDaemon {
        self.daemon.as_ref().expect("it runs")
    }

    pub(crate) async fn offer(&self, body: Vec<u8>) -> Taken {
        if self.wrong == Wrong::ApplyBeforeSave
            && let Ok(document) = wire::manager::desired::read(&body)
        {
            let manager = InForceDocument::InForce(Box::new(document));
            self.daemon().given.send_replace(Arc::new(DesiredState { manager, ..DesiredState::default() }));
            sleep(Duration::from_millis(10)).await;
        }
        self.daemon().port.offer(Offer { body, server_id: HOST.to_owned(), manager_now: None }).await
    }

    /// What the reconciler was given last.
    pub(crate) fn given(&self) -> Arc<DesiredState> {
        self.daemon().given.borrow().clone()
    }

    /// The revision that the keeper has in force.
    pub(crate) fn in_force(&self) -> Option<u64> {
        let state = self.daemon().port.state().borrow().clone();
        state.manager.document().map(|document| document.id.revision.to_string().parse().unwrap())
    }

    pub(crate) fn reconciled(&self) -> Arc<Reconciled> {
        self.daemon().reconciled.borrow().clone()
    }
}

/// Hands on what the keeper has in force; a daemon that is built wrong gets something else.
async fn relay(mut from: watch::Receiver<Arc<DesiredState>>, to: watch::Sender<Arc<DesiredState>>, wrong: Wrong) {
    while from.changed().await.is_ok() {
        let state = from.borrow_and_update().clone();
        let is_missing = matches!(state.manager, InForceDocument::Unreadable { .. });
        to.send_replace(match wrong {
            Wrong::EmptyOnMissing if is_missing => Arc::default(),
            Wrong::OneItemBlocks => only_the_first_gpu(&state),
            Wrong::Nothing
            | Wrong::ApplyBeforeSave
            | Wrong::EmptyOnMissing
            | Wrong::LocalAuthority
            | Wrong::NoBackOff => state,
        });
    }
}

/// What a reconciler does that waits for its first item.
fn only_the_first_gpu(state: &DesiredState) -> Arc<DesiredState> {
    let mut state = state.clone();
    if let InForceDocument::InForce(document) = &mut state.manager {
        document.wishes.agent = Default::default();
        document.wishes.gpus.truncate(1);
    }
    Arc::new(state)
}
