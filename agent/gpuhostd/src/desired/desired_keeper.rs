//! The keeper: the one task that decides which documents are in force, and the one writer of the ledger.

use super::desired_port::{Ask, DesiredQueue, Offer, Taken};
use super::desired_shown::{NOT_SAVED, Shown};
use super::local_files::{self, LocalRead};
use super::on_disk::{Kept, OnDisk};
use crate::checkin::sha256_hex;
use engine::publish::Publisher;
use files::{USUAL_TIME, in_time};
use host::front::FileWatch;
use model::desired::{
    Accepted, DesiredState, DocumentError, DocumentId, DocumentRefusal, Epoch, HeldDocument, Ledger, LocalDocuments,
    accept,
};
use model::enrol::CheckinStatus;
use model::ports::{Clock, LedgerPort};
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::manager::desired::{read, same_json};

/// The first and the longest wait before a document is saved once more, in milliseconds.
const SAVE_AGAIN_MS: u64 = 1_000;
const SAVE_AGAIN_MOST_MS: u64 = 300_000;
/// An editor writes a file in several steps: so long after the first the folder is read, in milliseconds.
const SETTLE_MS: u64 = 300;
/// A folder that cannot be watched is read and tried again after so long, in milliseconds.
const WATCH_AGAIN_MS: u64 = 30_000;

/// What the keeper works with.
pub struct KeeperParts<L, K> {
    /// Where the manager's document is kept.
    pub ledger: Arc<L>,
    /// The folder of the local files, `/etc/gpuhostd/desired.d`.
    pub folder: PathBuf,
    /// Shows which identity this host has.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
    /// Where conditions are shown.
    pub publisher: Arc<Publisher>,
    /// The clock.
    pub clock: Arc<K>,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// Reads what is kept and the local files, publishes that, and returns the task that keeps it until it is cancelled.
pub async fn start<L: LedgerPort, K: Clock>(
    queue: DesiredQueue,
    parts: KeeperParts<L, K>,
) -> impl Future<Output = ()> + Send {
    let DesiredQueue { asks, state } = queue;
    let cancel = parts.cancel.clone();
    let on_disk = OnDisk::read(&parts.ledger.place(), parts.ledger.read().await);
    let shown = Shown::new(parts.publisher.clone(), state);
    let local = LocalDocuments::default();
    let mut keeper =
        Keeper { parts, identity: None, announced: None, on_disk, shown, local, refused: None, unsaved: None };
    keeper.identify();
    keeper.read_local().await;
    async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = keeper.run(asks) => {}
        }
    }
}

struct Keeper<L, K> {
    parts: KeeperParts<L, K>,
    /// The identity for which everything below counts.
    identity: Option<String>,
    /// An identity that the check-in has read and does not show yet.
    announced: Option<String>,
    on_disk: OnDisk,
    shown: Shown,
    local: LocalDocuments,
    refused: Option<Refused>,
    unsaved: Option<Unsaved>,
}

/// The last document that was refused. The same bytes are not read again.
struct Refused {
    sha256: String,
    refusal: DocumentRefusal,
}

/// A document that is accepted and could not be saved, so that it is not in force.
struct Unsaved {
    sha256: String,
    kept: Box<Kept>,
    /// A damaged ledger was kept beside already.
    set_aside: bool,
    wait_ms: u64,
    try_at: BootMillis,
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl<L: LedgerPort, K: Clock> Keeper<L, K> {
    async fn run(&mut self, mut asks: tokio::sync::mpsc::Receiver<Ask>) {
        let mut checkin = self.parts.checkin.clone();
        let mut waiting = self.look_again().await;
        let mut settled: Option<BootMillis> = None;
        loop {
            let clock = Arc::clone(&self.parts.clock);
            let retry = self.unsaved.as_ref().map(|unsaved| unsaved.try_at);
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(Ask::Identity(server_id, reply)) => {
                        self.announced = Some(server_id);
                        self.identify();
                        let _caller_gone = reply.send(());
                    }
                    Some(Ask::Reload(reply)) => {
                        self.identify();
                        self.read_ledger_again().await;
                        (waiting, settled) = (self.look_again().await, None);
                        let _caller_gone = reply.send(());
                    }
                    Some(Ask::Offer(offer, reply)) => {
                        let _caller_gone = reply.send(self.offered(offer).await);
                    }
                    Some(Ask::AcceptEpoch(epoch, reply)) => {
                        let _caller_gone = reply.send(self.accept_epoch(&epoch).await);
                    }
                    None => return,
                },
                Ok(()) = checkin.changed() => {
                    checkin.mark_unchanged();
                    self.identify();
                }
                () = until(&*clock, retry) => {
                    self.identify();
                    self.save_again().await;
                }
                _ = &mut waiting => {
                    waiting = Box::pin(pending());
                    settled = Some(clock.boot_now().plus(SETTLE_MS));
                }
                () = until(&*clock, settled) => (waiting, settled) = (self.look_again().await, None),
            }
        }
    }

    /// Which identity this host has now.
    fn server_id(&mut self) -> Option<String> {
        let shown = self.parts.checkin.borrow().server_id.clone();
        if shown.is_some() {
            self.announced = None;
        }
        shown.or_else(|| self.announced.clone())
    }

    /// Takes notice of another identity: what the one before was sent is nothing to it.
    fn identify(&mut self) {
        let now = self.server_id();
        if now != self.identity {
            (self.identity, self.refused, self.unsaved) = (now, None, None);
            self.shown.saved();
            self.publish();
        }
    }

    fn publish(&mut self) {
        let server_id = &self.identity;
        let kept = server_id.as_ref().and_then(|server_id| self.on_disk.kept_for(server_id));
        let state = DesiredState {
            epochs_left: kept.map(|kept| kept.ledger.epochs_left.clone()).unwrap_or_default(),
            manager: self.on_disk.in_force(&self.parts.ledger.place(), server_id.as_deref()),
            refused: self.refused.as_ref().map(|refused| refused.refusal.clone()),
            local: self.local.clone(),
        };
        self.shown.publish(state, self.parts.clock.wall_now());
    }

    /// A watch of the folder is made before it is read, so that no change between the two is lost.
    async fn look_again(&mut self) -> Waiting {
        let folder = self.parts.folder.clone();
        let made = tokio::task::spawn_blocking(move || {
            // A watch of a file system that hangs is not asked for: it would hold this task, and with it every offer.
            let answers = in_time(&folder, USUAL_TIME, {
                let folder = folder.clone();
                move || Ok(folder.symlink_metadata().is_ok())
            });
            answers.map_err(io::Error::other).and_then(|_| FileWatch::of_folder(&folder))
        })
        .await;
        self.read_local().await;
        match made {
            Ok(Ok(watch)) => Box::pin(watch.changed()),
            // Without a watch the folder is read from time to time.
            Ok(Err(_)) | Err(_) => {
                let clock = Arc::clone(&self.parts.clock);
                let again = clock.boot_now().plus(WATCH_AGAIN_MS);
                Box::pin(async move {
                    clock.sleep_until(again).await;
                    Ok(())
                })
            }
        }
    }

    async fn read_local(&mut self) {
        let folder = self.parts.folder.clone();
        let read = tokio::task::spawn_blocking(move || local_files::read(&folder)).await;
        let Ok(LocalRead { files, wishes, faults }) = read else { return };
        if faults.is_empty() {
            self.local = LocalDocuments { wishes, files, faults };
        } else {
            // The last set that was right stays.
            self.local.faults = faults;
        }
        self.publish();
    }

    /// Somebody may have mended it.
    async fn read_ledger_again(&mut self) {
        if matches!(self.on_disk, OnDisk::Kept(_))
            && self.server_id().is_some_and(|id| !self.on_disk.is_foreign_to(&id))
        {
            return;
        }
        self.on_disk = OnDisk::read(&self.parts.ledger.place(), self.parts.ledger.read().await);
        self.publish();
    }

    async fn offered(&mut self, offer: Offer) -> Taken {
        let Offer { body, server_id, manager_now } = offer;
        self.identify();
        if self.identity.as_ref() != Some(&server_id) {
            tracing::debug!(server_id, "a document for an identity that this host no longer has is not read");
            return Taken::default();
        }
        let sha256 = sha256_hex(&body);
        if let Some(refused) = self.refused.as_ref().filter(|refused| refused.sha256 == sha256) {
            return Taken { is_news: false, refused: Some(refused.refusal.code) };
        }
        if self.unsaved.as_ref().is_some_and(|unsaved| unsaved.sha256 == sha256) {
            return Taken { is_news: false, refused: Some(NOT_SAVED) };
        }
        let document = match read(&body) {
            Ok(document) => document,
            Err(fault) => {
                let id = fault.id.clone();
                return self.refuse(sha256, id, &DocumentError::Invalid(fault.to_string()));
            }
        };
        // It was read, so that it is text.
        let Ok(text) = String::from_utf8(body) else { return Taken::default() };
        let kept = self.on_disk.kept_for(&server_id);
        let held = HeldDocument {
            server_id: &server_id,
            in_force: kept.map(|kept| &kept.document),
            epochs_left: kept.map(|kept| kept.ledger.epochs_left.as_slice()).unwrap_or_default(),
            now: manager_now.unwrap_or_else(|| self.manager_now()),
        };
        let is_same = || kept.is_some_and(|kept| same_json(&kept.ledger.document, &text));
        match accept(&document, held, is_same) {
            Err(refused) => self.refuse(sha256, Some(document.id), &refused),
            Ok(Accepted::Same) => {
                // The manager has come back to what is in force: nothing else is to be saved or is refused.
                (self.refused, self.unsaved) = (None, None);
                self.shown.saved();
                self.publish();
                Taken::default()
            }
            Ok(Accepted::New { epochs_left }) => {
                let ledger = Ledger { server_id, epochs_left, document: text };
                let kept = Box::new(Kept { ledger, document });
                let try_at = self.parts.clock.boot_now();
                self.unsaved = Some(Unsaved { sha256, kept, set_aside: false, wait_ms: SAVE_AGAIN_MS, try_at });
                self.save_again().await;
                let refused = self.unsaved.as_ref().map(|_| NOT_SAVED);
                Taken { is_news: refused.is_none(), refused }
            }
        }
    }

    /// The manager's clock, as far as it is known.
    fn manager_now(&self) -> UnixMillis {
        let skew = self.parts.checkin.borrow().clock_skew_ms.unwrap_or(0);
        UnixMillis(self.parts.clock.wall_now().0.saturating_add(skew))
    }

    fn refuse(&mut self, sha256: String, id: Option<DocumentId>, fault: &DocumentError) -> Taken {
        let (code, now) = (fault.code(), self.parts.clock.wall_now());
        let before = self.refused.as_ref().map(|refused| &refused.refusal).filter(|before| before.code == code);
        let since = before.map_or(now, |before| before.since);
        let refusal = DocumentRefusal { code, id, message: fault.to_string(), since };
        self.refused = Some(Refused { sha256, refusal });
        self.publish();
        Taken { is_news: false, refused: Some(code) }
    }

    /// Saves the document that waits for it, and has it come into force.
    async fn save_again(&mut self) {
        let Some(mut unsaved) = self.unsaved.take() else { return };
        match self.save(&mut unsaved).await {
            Ok(()) => {
                let id = unsaved.kept.document.id.clone();
                tracing::info!(epoch = %id.epoch, revision = %id.revision, "the manager's document {id} is in force");
                self.on_disk = OnDisk::Kept(unsaved.kept);
                self.refused = None;
                self.shown.saved();
                self.publish();
            }
            Err(why) => {
                self.shown.not_saved(&unsaved.kept.document.id, &why, self.parts.clock.wall_now());
                unsaved.try_at = self.parts.clock.boot_now().plus(unsaved.wait_ms);
                unsaved.wait_ms = unsaved.wait_ms.saturating_mul(2).min(SAVE_AGAIN_MOST_MS);
                self.unsaved = Some(unsaved);
            }
        }
    }

    async fn save(&self, unsaved: &mut Unsaved) -> Result<(), String> {
        let ledger = &unsaved.kept.ledger;
        let bytes = ledger.encode().map_err(|fault| fault.to_string())?;
        if !unsaved.set_aside && self.on_disk.is_foreign_to(&ledger.server_id) {
            let kept = self.parts.ledger.set_aside().await.map_err(|fault| fault.to_string())?;
            unsaved.set_aside = true;
            if let Some(kept) = kept {
                tracing::info!("what could not be used of the desired state is kept as {kept}");
            }
        }
        self.parts.ledger.write(bytes).await.map_err(|fault| fault.to_string())
    }

    async fn accept_epoch(&mut self, epoch: &Epoch) -> Result<(), Refusal> {
        self.identify();
        let server_id = self.identity.clone().unwrap_or_default();
        let kept = self.on_disk.kept_for(&server_id).filter(|kept| kept.ledger.epochs_left.contains(epoch));
        let Some(kept) = kept else {
            return Err(Refusal::NotFound { what: "left epoch".to_owned(), name: epoch.to_string() });
        };
        let mut kept = kept.clone();
        kept.ledger.epochs_left.retain(|left| left != epoch);
        let fault = |said: String| Refusal::HostFault {
            attempted: format!("record that the epoch {epoch} is accepted in {}", self.parts.ledger.place()),
            said,
        };
        let bytes = kept.ledger.encode().map_err(|said| fault(said.to_string()))?;
        self.parts.ledger.write(bytes).await.map_err(|said| fault(said.to_string()))?;
        self.on_disk = OnDisk::Kept(Box::new(kept));
        // A document of it that was refused is to be read again.
        if let Some(refused) = &mut self.refused {
            refused.sha256.clear();
        }
        self.publish();
        Ok(())
    }
}

/// Never where there is no such instant.
async fn until<K: Clock>(clock: &K, when: Option<BootMillis>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => pending().await,
    }
}
