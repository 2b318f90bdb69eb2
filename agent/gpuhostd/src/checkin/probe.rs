//! A look at the manager in use with another trust: it must not be lost by a change of it.

use crate::checkin::transport::Way;
use model::checkin::{FaultKind, ManagerAddress};
use model::manager_trust::TrustChange;
use model::refusal::Refusal;
use tokio::sync::oneshot;

const UNKNOWN: &str =
    "the manager does not answer now, so that it cannot be checked whether it would still be trusted; try again";

/// Who waits for an edit.
pub(super) type EditReply = oneshot::Sender<Result<(), Refusal>>;

/// The manager in use was looked at with the trust that is to come.
#[derive(Debug)]
pub(super) struct ProbeBack {
    /// What is to be changed.
    pub(super) change: TrustChange,
    /// Why nothing is changed: the manager would not be trusted any more, or that cannot be known now.
    pub(super) lost: Option<Refusal>,
    /// Who waits for it.
    pub(super) reply: EditReply,
}

/// Why a manager would be lost by the change. Where nothing can be known of it now, trust is added and never removed.
async fn distrusted(way: &mut Way, manager: &ManagerAddress, change: &TrustChange) -> Option<Refusal> {
    let path = way.settings().paths.version.clone();
    let lost = way.get(manager, &path).await.err()?;
    match lost.fault.kind {
        FaultKind::Tls(_) | FaultKind::Local => Some(Refusal::Conflict {
            why: format!("this host would not trust its manager any more: {}; nothing was changed", lost.fault.said),
        }),
        FaultKind::Dns | FaultKind::Connect | FaultKind::Handshake | FaultKind::Timeout => match change {
            TrustChange::Remove(_) => Some(Refusal::Busy { why: UNKNOWN.to_owned() }),
            TrustChange::AddAuthorities(_) | TrustChange::AddPin(_) => None,
        },
        // TLS came about before, so its certificate was trusted.
        FaultKind::Network | FaultKind::Credential(_) | FaultKind::Garbled => None,
    }
}

/// Looks at the manager.
pub(super) async fn probe(mut way: Way, manager: ManagerAddress, change: TrustChange, reply: EditReply) -> ProbeBack {
    let lost = distrusted(&mut way, &manager, &change).await;
    ProbeBack { change, lost, reply }
}
