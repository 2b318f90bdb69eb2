//! A check-in on a host that is made up, against the real reference manager over real TLS.

use crate::clock::VirtualClock;
use engine::event_keeper::{EventKeeper, EventKeeperParts};
use engine::handle::Handle;
use engine::publish::Publisher;
use engine::reconcile::Reconciled;
use engine::start::EngineParts;
use gpuhostd::checkin::{self, Checkin, CheckinPort, DesiredEnds};
use gpuhostd::desired::{self, DesiredQueue, KeeperParts};
use host::front::{BootClock, FileEventLog, FileLedger};
use manager::{EnrolToken, Manager, Options, Received};
use model::Reading;
use model::checkin::Pins;
use model::checkin::machine::{FRESH_BOOT_MS, START_SPREAD_MS};
use model::desired::DesiredState;
use model::driver::ProbeError;
use model::enrol::{CheckinState, CheckinStatus, EnrolSpec, Secret};
use model::event::Occurrence;
use model::host_facts::{CpuTicks, HostFacts};
use model::observation::HostObservation;
use model::ports::Clock;
use model::refusal::Refusal;
use model::settings::{HostNaming, ManagerSettings, Settings};
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::WorkspacesState;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ten days of uptime: no fresh boot.
pub(crate) const UP: BootMillis = BootMillis(864_000_000);
/// A canary: where it shows up, a secret has leaked.
pub(crate) const TOKEN: &str = "canary-3nr0l-t0k3n";

/// The host, its clock and its folder; a check-in can be started on it again and again.
pub(crate) struct Host {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) state: TempDir,
    pub(crate) settings: ManagerSettings,
    pub(crate) seen: watch::Sender<Arc<HostObservation>>,
    /// Events are kept and delivered.
    pub(crate) keeps_events: bool,
}

/// A running check-in.
pub(crate) struct Running {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) port: CheckinPort,
    pub(crate) status: watch::Receiver<Arc<CheckinStatus>>,
    pub(crate) desired: watch::Receiver<Arc<DesiredState>>,
    pub(crate) reconciler: watch::Sender<Arc<Reconciled>>,
    pub(crate) workspaces: watch::Sender<Arc<WorkspacesState>>,
    /// What happened, for the events.
    pub(crate) occurred: mpsc::Receiver<Occurrence>,
    cancel: CancellationToken,
    tasks: (JoinHandle<()>, Option<JoinHandle<()>>),
    /// Where events are handed in.
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) configured: watch::Sender<Arc<Settings>>,
}

pub(crate) fn real_wall() -> UnixMillis {
    UnixMillis((manager::wall_clock())())
}

/// Nothing of the host is known but what a heartbeat must have.
pub(crate) fn bare_host() -> HostObservation {
    let host = HostFacts {
        hostname: Reading::Known("gpu-01".into()),
        boot_id: Reading::Known("f23a1e49-9ab3-4ede-ba60-c5c4215467a6".into()),
        cores: Reading::Known(16),
        mem_total_bytes: Reading::Known(64 << 30),
        cpu: Reading::Known(CpuTicks { total: 1000, idle: 900 }),
        arch: "x86_64".into(),
        ..HostFacts::default()
    };
    HostObservation {
        sequence: 1,
        observed_at: real_wall(),
        observed_boot: UP,
        gpus: Vec::new(),
        groups: Vec::new(),
        iommu_groups_total: 0,
        scan_problems: Vec::new(),
        gone: Vec::new(),
        nvswitches: Vec::new(),
        driver_version: None,
        cuda_version: None,
        probes: Vec::new(),
        docker: Err(ProbeError::Timeout { what: "Docker".into(), after_ms: 5000 }),
        host,
        conditions: Vec::new(),
    }
}

impl Host {
    pub(crate) fn at(boot: BootMillis) -> Self {
        let state = tempfile::tempdir().unwrap();
        let clock = Arc::new(VirtualClock::new(boot, real_wall()));
        Self {
            clock,
            state,
            settings: ManagerSettings::default(),
            seen: watch::Sender::new(Arc::new(bare_host())),
            keeps_events: false,
        }
    }

    pub(crate) fn new() -> Self {
        Self::at(UP)
    }

    /// A manager on this host's wall clock.
    pub(crate) async fn manager(&self, options: Options) -> Manager {
        Manager::start(self.by_its_clock(options)).await.unwrap()
    }

    /// A manager at the address of one that was stopped, whose port a connection of this machine can have for a moment.
    pub(crate) async fn manager_at(&self, bind: SocketAddr, options: Options) -> Manager {
        let options = Options { bind, ..self.by_its_clock(options) };
        for _ in 0..100 {
            match Manager::start(options.clone()).await {
                Ok(manager) => return manager,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Manager::start(options).await.unwrap()
    }

    fn by_its_clock(&self, options: Options) -> Options {
        let clock = Arc::clone(&self.clock);
        let now: manager::Clock = Arc::new(move || clock.wall_now().0);
        Options { clock: options.clock.clone().or(Some(now)), ..options }
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.state.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Settings for an unattended enrolment with these managers; the first one's authority is trusted.
    pub(crate) fn unattended(&mut self, managers: &[&Manager], token: &str) {
        self.settings.urls = managers.iter().map(|m| m.url()).collect();
        self.settings.ca_file = Some(self.file("ca.pem", &managers[0].ca_pem()));
        self.settings.enrolment_token_file = Some(self.file("token", token));
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.state.path().join("identity/identity.json")
    }

    pub(crate) fn kept(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.identity()).unwrap()).unwrap()
    }

    /// Starts the check-in and lets it come to its first request, which is spread over four seconds.
    pub(crate) async fn start(&self) -> Running {
        let running = self.start_only().await;
        if self.clock.boot_now().0 >= FRESH_BOOT_MS {
            self.clock.advance(START_SPREAD_MS).await;
        }
        running
    }

    /// Starts the check-in and waits until it rests.
    pub(crate) async fn start_only(&self) -> Running {
        let (_, jobs) = watch::channel(Arc::new(Vec::new()));
        let (commands, _) = mpsc::channel(1);
        let handle = Handle::new(self.seen.subscribe(), jobs, commands);
        let cancel = CancellationToken::new();
        let whole = |manager: &ManagerSettings| Settings { manager: manager.clone(), ..Settings::default() };
        let (configured, settings) = watch::channel(Arc::new(whole(&self.settings)));
        let state = self.state.path().to_owned();
        let (documents, queue) = desired::channel();
        let (reconciler, reconciled) = watch::channel(Arc::default());
        let desired = documents.state();
        let workspaces: watch::Sender<Arc<WorkspacesState>> = watch::Sender::default();
        let publisher = EngineParts::default().publisher();
        let occurred = if self.keeps_events { mpsc::channel(1).1 } else { publisher.take_occurrences().unwrap() };
        let (events, for_credentials) = (publisher.events(), Arc::clone(&publisher));
        let workspaces_seen = workspaces.subscribe();
        let ends = DesiredEnds {
            port: documents,
            reconciled,
            workspaces: workspaces_seen,
            publisher: for_credentials,
            events,
        };
        let Checkin { port, status, under_way, work } =
            checkin::start(handle, settings, state, Arc::clone(&self.clock), ends, cancel.clone());
        self.clock.heed(under_way);
        let clock = Arc::clone(&self.clock);
        self.keep_documents(queue, status.clone(), cancel.clone()).await;
        let keeper = self.keeps_events.then(|| self.keep_events(&publisher, status.clone(), cancel.clone()));
        let task = tokio::spawn(work);
        let tasks = (task, keeper);
        let running = Running {
            clock,
            port,
            status,
            desired,
            reconciler,
            workspaces,
            occurred,
            cancel,
            configured,
            tasks,
            publisher,
        };
        let _ = running.clock.rest().await;
        running
    }

    /// The real keeper of events, over a real file. It takes its looks in real time: what a test waits for is a delivery.
    fn keep_events(
        &self,
        publisher: &Arc<Publisher>,
        checkin: watch::Receiver<Arc<CheckinStatus>>,
        cancel: CancellationToken,
    ) -> JoinHandle<()> {
        publisher.publish(bare_host());
        let keeper = EventKeeper::new(EventKeeperParts {
            log: Arc::new(FileEventLog::below(self.state.path())),
            clock: Arc::new(BootClock),
            publisher: Arc::clone(publisher),
            jobs: watch::channel(Arc::default()).1,
            settings: watch::channel(Arc::default()).1,
            checkin,
            version: "0.1.0".to_owned(),
            new_id: || uuid::Uuid::new_v4().to_string(),
        });
        tokio::spawn(keeper.run(cancel))
    }

    /// The real keeper of the documents, over real files. Its retries are in real time: they are no matter of the check-in.
    async fn keep_documents(
        &self,
        queue: DesiredQueue,
        checkin: watch::Receiver<Arc<CheckinStatus>>,
        cancel: CancellationToken,
    ) {
        let parts = KeeperParts {
            ledger: Arc::new(FileLedger::below(self.state.path())),
            folder: self.state.path().join("desired.d"),
            checkin,
            publisher: EngineParts::default().publisher(),
            clock: Arc::new(BootClock),
            cancel,
        };
        tokio::spawn(desired::start(queue, parts).await);
    }

    /// Shows another observation to the check-in.
    pub(crate) async fn see(&self, change: impl FnOnce(&mut HostObservation)) {
        let mut next = (**self.seen.borrow()).clone();
        next.sequence += 1;
        next.observed_boot = self.clock.boot_now();
        change(&mut next);
        self.clock.wake_by(|| self.seen.send_replace(Arc::new(next))).await;
    }
}

impl Running {
    pub(crate) fn now(&self) -> Arc<CheckinStatus> {
        Arc::clone(&self.status.borrow())
    }

    pub(crate) fn state(&self) -> CheckinState {
        self.now().state
    }

    pub(crate) fn conditions(&self) -> Vec<String> {
        self.now().conditions.iter().map(|c| c.kind.clone()).collect()
    }

    pub(crate) fn condition(&self, kind: &str) -> String {
        let now = self.now();
        let found = now.conditions.iter().find(|c| c.kind == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {:?}", now.conditions)).message.clone()
    }

    /// Reads another configuration, as a reload does.
    pub(crate) async fn reload(&self, manager: ManagerSettings) {
        let settings = Settings { manager, ..Settings::default() };
        self.clock.wake_by(|| self.configured.send_replace(Arc::new(settings))).await;
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.tasks.0.await.unwrap();
        if let Some(keeper) = self.tasks.1 {
            keeper.await.unwrap();
        }
    }

    /// Ends it as a crash does: nothing is finished.
    pub(crate) async fn kill(self) {
        if let Some(keeper) = &self.tasks.1 {
            keeper.abort();
        }
        self.tasks.0.abort();
        let _ = self.tasks.0.await;
    }

    pub(crate) async fn enrol(&self, manager: &Manager, token: &str) -> Result<(), Refusal> {
        self.enrol_as(spec(manager, token)).await
    }

    pub(crate) async fn enrol_as(&self, spec: EnrolSpec) -> Result<(), Refusal> {
        let done = self.port.enrol(spec).await;
        let _ = self.clock.rest().await;
        done
    }
}

pub(crate) fn spec(manager: &Manager, token: &str) -> EnrolSpec {
    EnrolSpec {
        urls: vec![manager.url()],
        token: Secret::new(token),
        shared: false,
        ca_pem: Some(manager.ca_pem()),
        pins: Pins::default(),
        named: HostNaming::default(),
        unless_enrolled: false,
    }
}

pub(crate) fn with_token() -> Options {
    Options { enrol_tokens: vec![EnrolToken::new(TOKEN)], ..Options::default() }
}

/// When the heartbeats came, in milliseconds after the first of them.
pub(crate) fn times(beats: &[Received]) -> Vec<i64> {
    beats.iter().map(|b| b.received_at - beats[0].received_at).collect()
}

pub(crate) fn no_violations(manager: &Manager) {
    assert!(manager.violations().is_empty(), "{:#?}", manager.violations());
}

/// Waits until something that a request of the check-in does has happened.
pub(crate) async fn eventually(what: &str, has_happened: impl Fn() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(40);
    while !has_happened() {
        assert!(tokio::time::Instant::now() < patience, "{what} has not happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// No file below the folder but those named holds the text.
pub(crate) fn assert_not_in_files(folder: &Path, text: &str, except: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_not_in_files(&path, text, except);
        } else if !except.iter().any(|name| path.ends_with(name)) {
            let content = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&content).contains(text), "{} holds the secret", path.display());
        }
    }
}
