//! What keeps a heartbeat from being accepted, as it is until one is: a state and a condition for each.

use crate::enrol::CheckinState;

/// Why the last request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryFailure {
    /// A whole round over the managers failed.
    Unreachable,
    /// The report was refused as wrong or as too large.
    RejectedReport,
    /// The credential was refused.
    Unauthenticated,
    /// The certificate of this host is refused by an alert of TLS, or cannot be used here.
    CredentialRefused,
    /// An administrator must approve this host.
    PendingApproval,
    /// The manager does not know this host.
    UnknownAgent,
    /// Another host has this identity.
    DuplicateIdentity,
    /// The manager wants a newer agent.
    UpgradeRequired,
    /// The manager asked for a pause.
    RateLimited,
    /// The manager reported once that this host is deleted: it counts only when it shows it again.
    PerhapsDeleted,
    /// The manager has deleted this host.
    Deleted,
}

impl DeliveryFailure {
    /// The stable condition type.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Unreachable => "manager_unreachable",
            Self::RejectedReport => "rejected_report",
            Self::Unauthenticated | Self::CredentialRefused => "unauthenticated",
            Self::PendingApproval => "pending_approval",
            Self::UnknownAgent => "unknown_agent",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::UpgradeRequired => "upgrade_required",
            Self::RateLimited => "rate_limited",
            Self::PerhapsDeleted => "deletion_unconfirmed",
            Self::Deleted => "agent_deleted",
        }
    }

    /// The state that it puts the check-in into; `None` = the state stays what it was.
    #[must_use]
    pub const fn state(self) -> Option<CheckinState> {
        match self {
            Self::Unreachable => Some(CheckinState::Unreachable),
            Self::Unauthenticated | Self::CredentialRefused | Self::UnknownAgent => Some(CheckinState::Unauthenticated),
            Self::PendingApproval => Some(CheckinState::PendingApproval),
            Self::DuplicateIdentity => Some(CheckinState::DuplicateIdentity),
            Self::UpgradeRequired => Some(CheckinState::UpgradeRequired),
            Self::Deleted => Some(CheckinState::Forgotten),
            Self::RejectedReport | Self::RateLimited | Self::PerhapsDeleted => None,
        }
    }

    /// The manager speaks of this host, and not of the report, its own load or the network.
    #[must_use]
    pub const fn is_about_the_host(self) -> bool {
        match self {
            Self::Unauthenticated
            | Self::CredentialRefused
            | Self::PendingApproval
            | Self::UnknownAgent
            | Self::DuplicateIdentity
            | Self::UpgradeRequired
            | Self::PerhapsDeleted
            | Self::Deleted => true,
            Self::Unreachable | Self::RejectedReport | Self::RateLimited => false,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "check network, DNS, proxy and the manager; this host retries in its own slot",
            Self::RejectedReport => {
                "agent and manager disagree about the report; optional blocks are left out for an hour; report it with the log of both"
            }
            Self::Unauthenticated => {
                "renew the token file, or `gpuhostctl leave` and `gpuhostctl enroll` with a new enrolment token"
            }
            Self::CredentialRefused => {
                "this host retries in its own slot; check the manager's log, and whether its reverse proxy trusts the \
                 authority that signs host certificates"
            }
            Self::PendingApproval => "approve this host at the manager",
            Self::UnknownAgent => {
                "enrol again: `gpuhostctl leave`, then `gpuhostctl enroll` with a new enrolment token"
            }
            Self::DuplicateIdentity => {
                "another host uses this identity (a cloned disk?): on the clone `gpuhostctl leave` and `gpuhostctl enroll`"
            }
            Self::UpgradeRequired => "install the version of gpuhostd that the manager asks for",
            Self::RateLimited => "nothing: this host waits as long as the manager requested",
            Self::PerhapsDeleted => "nothing yet: the manager is asked again before this takes effect",
            Self::Deleted => "enrol again with `gpuhostctl enroll` if this host is to return",
        }
    }
}
