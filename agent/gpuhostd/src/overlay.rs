//! Keeps what the desired state has set over the settings of the files: on disk before it is in force, bound to the identity of this
//! host with its manager. Nobody else writes the file.

use engine::publish::Publisher;
use host::front::{StoreError, read_bounded, write_atomic};
use model::condition::{Condition, ConditionStatus};
use model::enrol::CheckinStatus;
use model::message::Message;
use model::refusal::Refusal;
use model::settings::{HostSetting, SettingsOverlay};
use model::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The file, in the folder of durable state.
const FILE: &str = "settings-set.json";
/// What a damaged one is kept as.
const DAMAGED: &str = "settings-set.json.damaged";
/// The form of the file.
const SCHEMA: u32 = 1;
/// More than any settings need: 64 labels, and some features of 256 GPUs.
const MAX_BYTES: usize = 1024 * 1024;
/// Callers that wait at once.
const QUEUE: usize = 8;
/// Type of the condition that holds where the file could not be used.
const UNREADABLE: &str = "settings_set_unreadable";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    /// The identity under which it was set; `None` = without a manager.
    server_id: Option<String>,
    set: SettingsOverlay,
}

#[derive(Deserialize)]
struct Head {
    schema: u32,
}

/// What can be asked of the keeper.
enum Ask {
    /// Set all of these.
    Configure(Vec<HostSetting>),
    /// The host leaves its manager.
    Forget,
}

type Reply = oneshot::Sender<Result<(), Refusal>>;

/// The keeper, as others see it.
#[derive(Clone)]
pub(crate) struct Overlay {
    asks: mpsc::Sender<(Ask, Reply)>,
    set: watch::Receiver<Arc<SettingsOverlay>>,
}

/// The keeper itself.
struct Keeper {
    state: PathBuf,
    /// What is on disk.
    kept: Document,
    set: watch::Sender<Arc<SettingsOverlay>>,
}

/// Reads what was set. A file that cannot be used is kept beside, and its loss is shown: what is still wished is set again. The future
/// keeps the file until it is cancelled; whatever was set under another identity is forgotten as soon as `status` has a new one.
pub(crate) async fn start(
    state: PathBuf,
    publisher: &Publisher,
    now: UnixMillis,
) -> (Overlay, impl FnOnce(watch::Receiver<Arc<CheckinStatus>>, CancellationToken) -> OverlayTask + use<>) {
    let folder = state.clone();
    let read = tokio::task::spawn_blocking(move || read(&folder)).await;
    let kept = read.unwrap_or_else(|broken| Err(broken.to_string())).unwrap_or_else(|fault| {
        let file = state.join(FILE).display().to_string();
        tracing::error!(
            message_id = Message::SettingsSetUnreadable.id(),
            file,
            "what the desired state had set in {file} is lost: {fault}"
        );
        publisher.stand(unreadable(&fault, now));
        Document::default()
    });
    let (asks, asked) = mpsc::channel(QUEUE);
    let (publish, set) = watch::channel(Arc::new(kept.set.clone()));
    let keeper = Keeper { state, kept, set: publish };
    (Overlay { asks, set }, move |status, cancel| Box::pin(keeper.run(asked, status, cancel)))
}

/// The work of the keeper.
pub(crate) type OverlayTask = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Overlay {
    /// What is set.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<SettingsOverlay>> {
        self.set.clone()
    }

    /// Sets them all, on disk and in force when it returns.
    ///
    /// # Errors
    /// They could not be written down: then everything is as it was.
    pub(crate) async fn configure(&self, settings: Vec<HostSetting>) -> Result<(), Refusal> {
        self.ask(Ask::Configure(settings)).await
    }

    /// Forgets everything: the host leaves its manager.
    ///
    /// # Errors
    /// As [`Overlay::configure`].
    pub(crate) async fn forget(&self) -> Result<(), Refusal> {
        self.ask(Ask::Forget).await
    }

    async fn ask(&self, ask: Ask) -> Result<(), Refusal> {
        let stopping =
            || Refusal::Unavailable { what: "the desired state".into(), why: "the daemon is stopping".into() };
        let (reply, answered) = oneshot::channel();
        self.asks.send((ask, reply)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

impl Keeper {
    async fn run(
        mut self,
        mut asked: mpsc::Receiver<(Ask, Reply)>,
        mut status: watch::Receiver<Arc<CheckinStatus>>,
        cancel: CancellationToken,
    ) {
        loop {
            let server_id = status.borrow_and_update().server_id.clone();
            if let Some(server_id) = server_id
                && let Err(refusal) = self.bind(server_id).await
            {
                tracing::warn!(message_id = Message::SettingsSetNotKept.id(), "{refusal}");
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                Some((ask, reply)) = asked.recv() => {
                    let _caller_gone = reply.send(self.take(ask).await);
                }
                Ok(()) = status.changed() => {}
                else => return,
            }
        }
    }

    async fn take(&mut self, ask: Ask) -> Result<(), Refusal> {
        let mut after = self.kept.clone();
        match ask {
            Ask::Configure(settings) => settings.into_iter().for_each(|setting| after.set.set(setting)),
            Ask::Forget => after = Document::default(),
        }
        self.keep(after).await
    }

    async fn bind(&mut self, server_id: String) -> Result<(), Refusal> {
        let is_other = self.kept.server_id.as_ref().is_some_and(|known| *known != server_id);
        let set = if is_other { SettingsOverlay::default() } else { self.kept.set.clone() };
        self.keep(Document { schema: SCHEMA, server_id: Some(server_id), set }).await
    }

    async fn keep(&mut self, after: Document) -> Result<(), Refusal> {
        if after.set == self.kept.set && after.server_id == self.kept.server_id {
            return Ok(());
        }
        let after = Document { schema: SCHEMA, ..after };
        let (state, document) = (self.state.clone(), after.clone());
        let written = tokio::task::spawn_blocking(move || write(&state, &document)).await;
        let attempted = || format!("save the settings of the desired state in {}", self.state.join(FILE).display());
        written
            .unwrap_or_else(|broken| Err(broken.to_string()))
            .map_err(|said| Refusal::HostFault { attempted: attempted(), said })?;
        if after.set != self.kept.set {
            self.set.send_replace(Arc::new(after.set.clone()));
        }
        self.kept = after;
        Ok(())
    }
}

fn write(state: &Path, document: &Document) -> Result<(), String> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(|fault| fault.to_string())?;
    bytes.push(b'\n');
    write_atomic(state, FILE, &bytes, 0o600).map_err(|fault| fault.to_string())
}

/// What was set; nothing where there is no file.
fn read(state: &Path) -> Result<Document, String> {
    let bytes = match read_bounded(&state.join(FILE), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(StoreError::Missing { .. }) => return Ok(Document::default()),
        Err(fault) => return Err(fault.to_string()),
    };
    let parsed = serde_json::from_slice::<Head>(&bytes).map_err(|fault| fault.to_string()).and_then(|head| {
        if head.schema > SCHEMA {
            let found = head.schema;
            return Err(format!("its schema is {found}, and this version knows {SCHEMA}: a later version wrote it"));
        }
        serde_json::from_slice(&bytes).map_err(|fault| fault.to_string())
    });
    parsed.map_err(|fault| match write_atomic(state, DAMAGED, &bytes, 0o600) {
        Ok(()) => format!("{FILE}: {fault}; it is kept as {DAMAGED}"),
        Err(said) => format!("{FILE}: {fault}; it could not be kept: {said}"),
    })
}

fn unreadable(fault: &str, since: UnixMillis) -> Condition {
    Condition {
        kind: UNREADABLE.to_owned(),
        status: ConditionStatus::True,
        reason: "host_fault".to_owned(),
        message: format!(
            "{fault}. Settings that an earlier desired state had set and the present one does not name are lost, and the \
             configuration files apply: set them again at the manager or in /etc/gpuhostd/desired.d, then \
             `systemctl restart gpuhostd`"
        ),
        since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::start::EngineParts;
    use std::os::unix::fs::PermissionsExt;

    /// The keeper at work, who its host is, and whether something is lost.
    async fn overlay(state: &Path) -> (Overlay, watch::Sender<Arc<CheckinStatus>>, bool) {
        let ends = EngineParts::default();
        let (overlay, keep) = start(state.to_owned(), &ends.publisher(), UnixMillis(1)).await;
        let told = ends.handle().observation.borrow().conditions.iter().any(|one| one.kind == UNREADABLE);
        let (identity, status) = watch::channel(Arc::default());
        tokio::spawn(keep(status, CancellationToken::new()));
        (overlay, identity, told)
    }

    fn is(server_id: &str) -> Arc<CheckinStatus> {
        Arc::new(CheckinStatus { server_id: Some(server_id.to_owned()), ..CheckinStatus::default() })
    }

    fn zone(name: &str) -> Vec<HostSetting> {
        vec![HostSetting::Zone(Some(name.to_owned())), HostSetting::Draining(Some(true))]
    }

    #[tokio::test]
    async fn what_is_set_outlives_the_daemon_and_no_other_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _id, told) = overlay(folder.path()).await;
        first.configure(zone("a")).await.unwrap();
        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!((told, mode & 0o777), (false, 0o600));
        let (second, _id, told) = overlay(folder.path()).await;
        assert_eq!((second.watch().borrow().zone.as_deref(), told), (Some("a"), false));
        assert!(second.watch().borrow().is_draining());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let (nowhere, _id, _) = overlay(&folder.path().join("none")).await;
        assert_eq!(nowhere.configure(zone("a")).await.unwrap_err().code(), "host_fault");
        assert_eq!(**nowhere.watch().borrow(), SettingsOverlay::default());
    }

    #[tokio::test]
    async fn a_damaged_file_is_kept_and_told_and_a_later_one_too() {
        for text in ["", "{", "[]", r#"{"schema":2,"new":1}"#, r#"{"schema":1,"server_id":null,"set":{"zone":1}}"#] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let (damaged, _id, told) = overlay(folder.path()).await;
            assert_eq!((told, std::fs::read_to_string(folder.path().join(DAMAGED)).unwrap()), (true, text.to_owned()));
            assert_eq!(**damaged.watch().borrow(), SettingsOverlay::default());
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(FILE)).unwrap();
        let (blocked, _id, told) = overlay(folder.path()).await;
        assert!(told && blocked.configure(zone("a")).await.is_err());
    }

    #[tokio::test]
    async fn another_identity_inherits_nothing_and_who_leaves_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, identity, _) = overlay(folder.path()).await;
        kept.configure(zone("a")).await.unwrap();
        identity.send_replace(is("one"));
        kept.configure(vec![HostSetting::Pool(Some("p".to_owned()))]).await.unwrap();
        assert_eq!(
            kept.watch().borrow().zone.as_deref(),
            Some("a"),
            "what was set without a manager is this host's own"
        );
        identity.send_replace(is("other"));
        kept.watch().wait_for(|set| **set == SettingsOverlay::default()).await.unwrap();
        assert_eq!(**overlay(folder.path()).await.0.watch().borrow(), SettingsOverlay::default());
        kept.configure(zone("b")).await.unwrap();
        kept.forget().await.unwrap();
        assert_eq!(**overlay(folder.path()).await.0.watch().borrow(), SettingsOverlay::default());
    }
}
