//! A keeper on a ledger and a clock of the test's own; it can be killed and started again.

use engine::start::EngineParts;
use gpuhostd::desired::{self, DesiredPort, KeeperParts, Offer, Taken};
use model::condition::Condition;
use model::desired::DesiredState;
use model::enrol::CheckinStatus;
use model::ports::{Clock, LedgerPort};
use model::time::{BootMillis, UnixMillis};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come: it says that something is wrong, never how fast it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const HOST: &str = "5f0c2f0e-7f4e-4d0b-9d0a-0d5a1a6c1b11";
pub(crate) const OTHER: &str = "6f0c2f0e-7f4e-4d0b-9d0a-0d5a1a6c1b11";
pub(crate) const WALL: UnixMillis = UnixMillis(1_774_962_793_000);

/// A clock that stands still until the test moves it.
pub(crate) struct ManualClock(watch::Sender<u64>);

impl ManualClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.0.send_modify(|now| *now += millis);
    }
}

impl Clock for ManualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(*self.0.borrow())
    }

    fn wall_now(&self) -> UnixMillis {
        WALL
    }

    async fn sleep_until(&self, when: BootMillis) {
        let mut now = self.0.subscribe();
        let _ended = now.wait_for(|now| *now >= when.0).await;
    }
}

/// A running keeper.
pub(crate) struct Rig<L> {
    pub(crate) ledger: L,
    pub(crate) folder: PathBuf,
    pub(crate) port: DesiredPort,
    pub(crate) clock: Arc<ManualClock>,
    identity: watch::Sender<Arc<CheckinStatus>>,
    ends: EngineParts,
    task: JoinHandle<()>,
    _dir: Option<TempDir>,
}

impl<L: LedgerPort + Clone> Rig<L> {
    /// A keeper on this ledger, of a host with the identity [`HOST`], without local files.
    pub(crate) async fn on(ledger: L) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("desired.d");
        Self { _dir: Some(dir), ..Self::start(ledger, folder, Some(HOST)).await }
    }

    pub(crate) async fn start(ledger: L, folder: PathBuf, server_id: Option<&str>) -> Self {
        let ends = EngineParts::default();
        let clock = Arc::new(ManualClock(watch::Sender::new(1_000_000)));
        let (identity, checkin) = watch::channel(Arc::new(status(server_id)));
        let (port, queue) = desired::channel();
        let parts = KeeperParts {
            ledger: Arc::new(ledger.clone()),
            folder: folder.clone(),
            checkin,
            publisher: ends.publisher(),
            clock: Arc::clone(&clock),
            cancel: CancellationToken::new(),
        };
        let task = tokio::spawn(desired::start(queue, parts).await);
        let rig = Self { ledger, folder, port, clock, identity, ends, task, _dir: None };
        // Once it answers it has read everything, the identity too.
        rig.port.reload().await;
        rig
    }

    /// The daemon is killed, and starts again on the same disk.
    pub(crate) async fn restart(mut self) -> Self {
        self.task.abort();
        let _killed = (&mut self.task).await;
        let server_id = self.identity.borrow().server_id.clone();
        let dir = self._dir.take();
        Self { _dir: dir, ..Self::start(self.ledger, self.folder, server_id.as_deref()).await }
    }

    pub(crate) async fn offer(&self, body: &[u8]) -> Taken {
        let server_id = self.identity.borrow().server_id.clone().unwrap_or_default();
        self.port.offer(Offer { body: body.to_vec(), server_id, manager_now: Some(WALL) }).await
    }

    /// Another identity from now on.
    pub(crate) async fn is_now(&self, server_id: Option<&str>) {
        self.identity.send_replace(Arc::new(status(server_id)));
        self.port.reload().await;
    }

    pub(crate) fn state(&self) -> Arc<DesiredState> {
        self.port.state().borrow().clone()
    }

    /// The document in force, `e.1`.
    pub(crate) fn in_force(&self) -> Option<String> {
        self.state().manager.document().map(|document| document.id.to_string())
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<Condition> {
        let shown = self.ends.handle().observation;
        shown.borrow().conditions.iter().find(|one| one.kind == kind).cloned()
    }

    /// The types of all conditions.
    pub(crate) fn conditions(&self) -> Vec<String> {
        self.ends.handle().observation.borrow().conditions.iter().map(|one| one.kind.clone()).collect()
    }

    /// Waits until the state is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&DesiredState) -> bool) {
        let mut state = self.port.state();
        let waited = tokio::time::timeout(PATIENCE, state.wait_for(|state| is_so(state))).await;
        waited.unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}")).expect("the keeper is there");
    }
}

fn status(server_id: Option<&str>) -> CheckinStatus {
    CheckinStatus { server_id: server_id.map(str::to_owned), ..CheckinStatus::default() }
}

pub(crate) fn document(epoch: &str, revision: u64, members: &Value) -> Vec<u8> {
    let mut document = json!({"epoch": epoch, "revision": revision});
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document.to_string().into_bytes()
}

pub(crate) fn plain(epoch: &str, revision: u64) -> Vec<u8> {
    document(epoch, revision, &json!({"agent": {"zone": format!("{epoch}-{revision}")}}))
}

pub(crate) const NEWS: Taken = Taken { is_news: true, refused: None };
pub(crate) const NO_NEWS: Taken = Taken { is_news: false, refused: None };

pub(crate) fn refused(code: &'static str) -> Taken {
    Taken { is_news: false, refused: Some(code) }
}

pub(crate) fn put(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
