//! What kept a request from being answered: a closed list, because each kind is followed by something else.

use serde::{Deserialize, Serialize};

/// Why this host refuses a manager's certificate, or no TLS session comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsError {
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// Its issuer is not trusted.
    UnknownIssuer,
    /// It is for another name.
    WrongName,
    /// It is another one than the pinned one.
    Pin,
    /// Something else.
    Other,
}

/// What is wrong with this host's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCertificate {
    /// The other side reports that it has ended.
    Ended,
    /// The other side reports that it was revoked.
    Revoked,
    /// The other side does not trust its issuer.
    UnknownIssuer,
    /// The other side wants one and got none.
    Wanted,
    /// The other side refuses it for another reason.
    Refused,
    /// It or its key cannot be used here.
    Unusable,
}

/// What kept a request from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The name has no address.
    Dns,
    /// No connection came about: nobody was reached.
    Connect,
    /// The connection broke before a request could be sent over it.
    Handshake,
    /// The connection broke.
    Network,
    /// This host refuses the manager's certificate, or no TLS session comes about.
    Tls(TlsError),
    /// The manager refuses this host's certificate, or it cannot be used here.
    Credential(OwnCertificate),
    /// No answer in time.
    Timeout,
    /// The answer is not what the contract states (too large, not JSON, a credential that is none).
    Garbled,
    /// The request could not even be made here (a file, a key).
    Local,
}

impl FaultKind {
    /// Somebody at the other end may have seen the request.
    #[must_use]
    pub const fn was_heard(self) -> bool {
        match self {
            Self::Dns | Self::Connect | Self::Handshake | Self::Local | Self::Tls(_) => false,
            Self::Network | Self::Credential(_) | Self::Timeout | Self::Garbled => true,
        }
    }

    /// It may be due to the credential that came with the request.
    #[must_use]
    pub const fn may_be_the_credential(self) -> bool {
        match self {
            Self::Dns | Self::Connect => false,
            Self::Tls(fault) => matches!(fault, TlsError::Other),
            Self::Handshake | Self::Network | Self::Credential(_) | Self::Timeout | Self::Garbled | Self::Local => true,
        }
    }
}

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckinError {
    /// What kind of fault.
    pub kind: FaultKind,
    /// What was tried and what was reported, without any secret.
    pub said: String,
}
