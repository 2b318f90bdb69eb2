//! How others reach the keeper of the documents: they offer one, lift a left epoch, or have the local files read again.

use model::desired::{DesiredState, Epoch};
use model::refusal::Refusal;
use model::time::UnixMillis;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that wait at once. One poll, one heartbeat and one person ask.
const QUEUE: usize = 8;

/// A document as a manager sent it.
pub struct Offer {
    /// The document, JSON, as it came.
    pub body: Vec<u8>,
    /// The id that this host has with the manager that sent it.
    pub server_id: String,
    /// The manager's clock when it answered; `None` = unknown, then the clock of this host counts.
    pub manager_now: Option<UnixMillis>,
}

/// A document may hold passwords of registries: only its length is shown.
impl fmt::Debug for Offer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, server_id, manager_now } = self;
        let mut shown = out.debug_struct("Offer");
        shown.field("body_bytes", &body.len()).field("server_id", server_id).field("manager_now", manager_now).finish()
    }
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// It is another document than the one before and is in force now.
    pub is_news: bool,
    /// Why it is not in force: the code of the refusal, which is also the type of the condition.
    pub refused: Option<&'static str>,
}

/// What can be asked of the keeper.
#[derive(Debug)]
pub(super) enum Ask {
    /// Take this document.
    Offer(Offer, oneshot::Sender<Taken>),
    /// A person accepts a left epoch again.
    AcceptEpoch(Epoch, oneshot::Sender<Result<(), Refusal>>),
    /// This identity is about to be shown.
    Identity(String, oneshot::Sender<()>),
    /// Read the local files again.
    Reload(oneshot::Sender<()>),
}

/// The keeper as others see it.
#[derive(Debug, Clone)]
pub struct DesiredPort {
    asks: mpsc::Sender<Ask>,
    state: watch::Receiver<Arc<DesiredState>>,
}

/// The keeper's end of the port.
#[derive(Debug)]
pub struct DesiredQueue {
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) state: watch::Sender<Arc<DesiredState>>,
}

/// Both ends.
#[must_use]
pub fn channel() -> (DesiredPort, DesiredQueue) {
    let (asks, queue) = mpsc::channel(QUEUE);
    let (publish, state) = watch::channel(Arc::default());
    (DesiredPort { asks, state }, DesiredQueue { asks: queue, state: publish })
}

impl DesiredPort {
    /// What is wished of this host now. Where a manager's document is in force, it is on disk.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Arc<DesiredState>> {
        self.state.clone()
    }

    /// Has a document judged and, where it is accepted, saved; waits until that is done. A daemon that is stopping takes nothing.
    pub async fn offer(&self, offer: Offer) -> Taken {
        self.ask(|reply| Ask::Offer(offer, reply)).await.unwrap_or_default()
    }

    /// Lifts the refusal of a left epoch, on disk when this returns: its documents are judged as if it had never been left.
    ///
    /// # Errors
    /// The epoch was not left, or it could not be saved.
    pub async fn accept_epoch(&self, epoch: Epoch) -> Result<(), Refusal> {
        let stopping =
            || Refusal::Unavailable { what: "the desired state".into(), why: "the daemon is stopping".into() };
        self.ask(|reply| Ask::AcceptEpoch(epoch, reply)).await.unwrap_or_else(|| Err(stopping()))
    }

    /// What is kept for this identity is in force when it returns: before the check-in shows the identity, and reports.
    pub async fn is_about_to_be(&self, server_id: &str) {
        self.ask(|reply| Ask::Identity(server_id.to_owned(), reply)).await;
    }

    /// Has the local files read again; waits until that is done.
    pub async fn reload(&self) {
        self.ask(Ask::Reload).await;
    }

    /// `None` where the daemon is stopping.
    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(make(reply)).await.ok()?;
        answer.await.ok()
    }
}
