//! Leaving: the manager is notified if it answers, and everything that is stored is wiped.

use crate::checkin::answers::{accepted, words};
use crate::checkin::fault::local;
use crate::checkin::http::Post;
use crate::checkin::store::IdentityStore;
use crate::checkin::transport::Way;
use model::checkin::{Answer, ManagerAddress};
use model::enrol::Farewell;
use model::message::Message;
use model::refusal::Refusal;
use model::time::UnixMillis;
use tokio::sync::oneshot;
use wire::manager::enroll::Deregister;

/// What is reported to whom.
#[derive(Debug)]
pub(super) struct Addressee {
    /// The way to the manager.
    pub(super) way: Way,
    /// Which manager is notified.
    pub(super) manager: ManagerAddress,
    /// This host's id.
    pub(super) server_id: String,
}

/// This host has left, or could not be wiped.
#[derive(Debug)]
pub(super) struct GoodbyeBack {
    /// What came of it.
    pub(super) done: Result<Farewell, Refusal>,
    /// Who waits for it.
    pub(super) reply: oneshot::Sender<Result<Farewell, Refusal>>,
}

/// Notifies the manager that the host leaves, with one try: the wipe does not wait for a manager.
pub(super) async fn leave(
    to: Option<Addressee>,
    store: IdentityStore,
    reply: oneshot::Sender<Result<Farewell, Refusal>>,
) -> GoodbyeBack {
    // Once the manager knows, this host must not come back with what is still here: a crash from now on ends in the wipe.
    if let Err(fault) = store.begin_to_leave().await {
        tracing::debug!(%fault, "that this host leaves could not be written down; it leaves all the same");
    }
    let farewell = match to {
        None => Farewell::NotEnrolled,
        Some(to) => tell(to).await,
    };
    let fault = |said: String| Refusal::HostFault { attempted: "wipe the credentials".to_owned(), said };
    let done = store.wipe().await.map_err(|said| fault(said.to_string())).map(|()| farewell);
    GoodbyeBack { done, reply }
}

async fn tell(to: Addressee) -> Farewell {
    let (address, server_id) = (to.manager.clone(), to.server_id.clone());
    let manager = address.to_string();
    let Err(answer) = deregister(to).await else { return Farewell::Told { manager } };
    let why = words(&answer);
    tracing::warn!(
        message_id = Message::GoodbyeNotHeard.id(),
        manager,
        server_id,
        "the manager {manager} could not be notified that this host ({server_id}) leaves: {why}"
    );
    Farewell::NotTold { manager, why }
}

async fn deregister(to: Addressee) -> Result<(), Answer> {
    let Addressee { mut way, manager, server_id } = to;
    let goodbye = Deregister { server_id, reason: "the host leaves its manager".to_owned() };
    let body = serde_json::to_vec(&goodbye).map_err(|fault| Answer::Failed(local(fault)))?;
    let path = way.settings().paths.deregister.clone();
    let post = Post { path: &path, body: &body, gzip: false, bearer: None, idempotency_key: None };
    let exchange = way.post(&manager, post).await.map_err(|lost| Answer::Failed(lost.fault))?;
    accepted(&manager, exchange, UnixMillis(0)).map(|_| ())
}
