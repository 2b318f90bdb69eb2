//! A look at the manager in use with another trust: it must not be lost by a change of it.

use crate::checkin::transport::Way;
use model::checkin::{FaultKind, ManagerAddress};
use model::manager_trust::TrustChange;
use model::refusal::Refusal;
use tokio::sync::oneshot;

/// Who waits for an edit.
pub(super) type EditReply = oneshot::Sender<Result<(), Refusal>>;

/// The manager in use was looked at with the trust that is to come.
#[derive(Debug)]
pub(super) struct ProbeBack {
    /// What is to be changed.
    pub(super) change: TrustChange,
    /// Why the manager would not be trusted any more.
    pub(super) lost: Option<String>,
    /// Who waits for it.
    pub(super) reply: EditReply,
}

/// Why a manager is not trusted; `None` where it is, or where nothing can be known of it now.
async fn distrusted(way: &mut Way, manager: &ManagerAddress) -> Option<String> {
    let path = way.settings().paths.version.clone();
    let lost = way.get(manager, &path).await.err()?;
    matches!(lost.fault.kind, FaultKind::Tls(_) | FaultKind::Local).then_some(lost.fault.said)
}

/// Looks at the manager.
pub(super) async fn probe(mut way: Way, manager: ManagerAddress, change: TrustChange, reply: EditReply) -> ProbeBack {
    let lost = distrusted(&mut way, &manager).await;
    ProbeBack { change, lost, reply }
}
