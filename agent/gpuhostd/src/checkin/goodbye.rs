//! Goodbye: the manager is told as far as it listens, and everything that is kept is wiped.

use crate::checkin::answers::{accepted, words};
use crate::checkin::http::Post;
use crate::checkin::store::IdentityStore;
use crate::checkin::transport::{Way, local};
use model::checkin::{Answer, ManagerAddress};
use model::message::Message;
use model::refusal::Refusal;
use model::time::UnixMillis;
use tokio::sync::oneshot;
use wire::manager::enroll::Deregister;

/// What is said to whom.
#[derive(Debug)]
pub(super) struct Farewell {
    /// The way to the manager.
    pub(super) way: Way,
    /// Who is told.
    pub(super) manager: ManagerAddress,
    /// This host's id.
    pub(super) server_id: String,
}

/// This host has left, or could not be wiped.
#[derive(Debug)]
pub(super) struct GoodbyeBack {
    /// What came of it.
    pub(super) done: Result<(), Refusal>,
    /// Who waits for it.
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// Says goodbye, with one try: the wipe does not wait for a manager.
pub(super) async fn leave(
    farewell: Option<Farewell>,
    store: IdentityStore,
    reply: oneshot::Sender<Result<(), Refusal>>,
) -> GoodbyeBack {
    if let Some(farewell) = farewell {
        let (manager, server_id) = (farewell.manager.clone(), farewell.server_id.clone());
        if let Err(answer) = deregister(farewell).await {
            let why = words(&answer);
            tracing::warn!(
                message_id = Message::GoodbyeNotHeard.id(),
                manager = %manager,
                server_id,
                why,
                "the manager could not be told that this host leaves: {why}"
            );
        }
    }
    let fault = |said: String| Refusal::HostFault { attempted: "wipe the credentials".to_owned(), said };
    let done = store.wipe().await.map_err(|said| fault(said.to_string()));
    GoodbyeBack { done, reply }
}

async fn deregister(farewell: Farewell) -> Result<(), Answer> {
    let Farewell { mut way, manager, server_id } = farewell;
    let goodbye = Deregister { server_id, reason: "the host leaves".to_owned() };
    let body = serde_json::to_vec(&goodbye).map_err(|fault| Answer::Failed(local(fault)))?;
    let path = way.settings().paths.deregister.clone();
    let post = Post { path: &path, body: &body, gzip: false, bearer: None, idempotency_key: None };
    let exchange = way.post(&manager, post).await.map_err(|lost| Answer::Failed(lost.fault))?;
    accepted(&manager, exchange, UnixMillis(0)).map(|_| ())
}
