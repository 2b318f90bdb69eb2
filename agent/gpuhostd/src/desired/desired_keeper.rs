//! The keeper: the one task that decides what is in force.

use super::desired_port::{Ask, DesiredQueue, Taken};
use model::refusal::Refusal;
use tokio_util::sync::CancellationToken;

/// What the keeper works with.
#[derive(Debug)]
pub struct KeeperParts {
    /// Ends it.
    pub cancel: CancellationToken,
}

/// Keeps what is wished until it is cancelled. Without a ledger nothing can be saved, so nothing is accepted.
pub async fn keep(mut queue: DesiredQueue, parts: KeeperParts) {
    loop {
        let ask = tokio::select! {
            () = parts.cancel.cancelled() => return,
            Some(ask) = queue.asks.recv() => ask,
            else => return,
        };
        match ask {
            Ask::Offer(offer, reply) => {
                tracing::debug!(?offer, "a document cannot be saved: there is no ledger");
                let _caller_gone = reply.send(Taken { is_news: false, refused: Some("desired_state_not_saved") });
            }
            Ask::AcceptEpoch(epoch, reply) => {
                let was_left = queue.state.borrow().epochs_left.contains(&epoch);
                let unknown = Refusal::NotFound { what: "left epoch".to_owned(), name: epoch.to_string() };
                let _caller_gone = reply.send(if was_left { Ok(()) } else { Err(unknown) });
            }
            Ask::Reload(reply) => {
                let _caller_gone = reply.send(());
            }
        }
    }
}
