//! A look at the manager in use with another trust: it must not be lost by a change of it.

use crate::checkin::transport::Way;
use model::checkin::{CheckinError, FaultKind, ManagerAddress};
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
    /// Why nothing is changed: the manager would not be trusted any more, or that cannot be known now.
    pub(super) lost: Option<Refusal>,
    /// Who waits for it.
    pub(super) reply: EditReply,
}

/// Why a manager would be lost by the change.
async fn distrusted(way: &mut Way, manager: &ManagerAddress, change: &TrustChange) -> Option<Refusal> {
    let path = way.settings().paths.version.clone();
    let lost = way.get(manager, &path).await.err()?;
    refusal(lost.fault, manager, change)
}

/// Why nothing is changed after this fault. Where nothing can be known of the manager now, trust is added and never removed.
fn refusal(fault: CheckinError, manager: &ManagerAddress, change: &TrustChange) -> Option<Refusal> {
    let CheckinError { kind, said } = fault;
    match kind {
        FaultKind::Tls(_) => Some(Refusal::Conflict {
            why: format!("this host would not trust its manager any more: {said}; nothing was changed"),
        }),
        FaultKind::Local => Some(Refusal::HostFault {
            attempted: format!("check whether this host would still trust manager {manager}"),
            said: format!("{said}; nothing was changed"),
        }),
        FaultKind::Dns | FaultKind::Connect | FaultKind::Handshake | FaultKind::Timeout => match change {
            TrustChange::Remove(_) => Some(unknown(&said, manager)),
            TrustChange::AddAuthorities(_) | TrustChange::AddPin(_) => None,
        },
        // TLS came about before, so its certificate was trusted.
        FaultKind::Network | FaultKind::Credential(_) | FaultKind::Garbled => None,
    }
}

fn unknown(said: &str, manager: &ManagerAddress) -> Refusal {
    Refusal::Unavailable {
        what: format!("manager {manager}"),
        why: format!(
            "{said}; nothing was changed, because this host cannot check now whether it would still trust it: try again \
             when it answers; if it stays away: gpuhostctl leave, then gpuhostctl enroll"
        ),
    }
}

/// Looks at the manager.
pub(super) async fn probe(mut way: Way, manager: ManagerAddress, change: TrustChange, reply: EditReply) -> ProbeBack {
    let lost = distrusted(&mut way, &manager, &change).await;
    ProbeBack { change, lost, reply }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::checkin::TlsError;

    fn refused(kind: FaultKind, change: &TrustChange) -> Option<(&'static str, String)> {
        let manager: ManagerAddress = "https://kasm.example:8443".parse().unwrap();
        let fault = CheckinError { kind, said: "the cause".to_owned() };
        refusal(fault, &manager, change).map(|refusal| (refusal.code(), refusal.to_string()))
    }

    #[test]
    fn a_refusal_names_the_manager_the_cause_and_the_ways_out_and_a_fault_of_this_host_is_one() {
        let remove = TrustChange::Remove("ab".repeat(32));
        for kind in [FaultKind::Dns, FaultKind::Connect, FaultKind::Handshake, FaultKind::Timeout] {
            let (code, words) = refused(kind, &remove).unwrap();
            assert_eq!(code, "unavailable");
            for part in ["kasm.example:8443", "the cause", "nothing was changed", "try again", "gpuhostctl leave"] {
                assert!(words.contains(part), "{part}: {words}");
            }
            assert_eq!(refused(kind, &TrustChange::AddPin("ab".repeat(32))), None);
        }
        let (code, words) = refused(FaultKind::Local, &remove).unwrap();
        assert_eq!(code, "host_fault");
        assert!(words.contains("the cause") && words.contains("nothing was changed"), "{words}");
        assert!(words.contains("kasm.example:8443") && !words.contains("would not trust"), "{words}");
        let (code, words) = refused(FaultKind::Tls(TlsError::Other), &remove).unwrap();
        assert!(code == "conflict" && words.contains("would not trust its manager"), "{words}");
        assert_eq!(refused(FaultKind::Garbled, &remove), None);
    }
}
