//! What an enrolment needs, and the state of the check-in.

use crate::checkin::{FetchStatus, Pins};
use crate::condition::Condition;
use crate::manager_trust::{TrustChange, TrustedBy};
use crate::settings::HostNaming;
use crate::time::UnixMillis;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest secret of a manager, in bytes.
const SECRET_MAX_BYTES: usize = 4096;

/// A secret: it is never printed, never serialised, read only by [`Secret::expose`], and its memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret; surrounding white space of a file is cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim()))
    }

    /// The same, and wipes the text that it came in.
    #[must_use]
    pub fn take(mut text: String) -> Self {
        let secret = Self::new(&text);
        text.zeroize();
        secret
    }

    /// The text of a manager as a secret; `None` where it is not 1 to 4096 characters of graphic ASCII, which is all that an HTTP
    /// header can carry unchanged.
    #[must_use]
    pub fn of_manager(text: &str) -> Option<Self> {
        let fits = (1..=SECRET_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(SecretString::from(text)))
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// True where there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A wish to enrol with a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolSpec {
    /// `https://manager.example:443`, one or more.
    pub urls: Vec<String>,
    /// One-use enrolment token, or the shared manager token.
    pub token: Secret,
    /// The token is a shared one: nothing is enrolled, it is kept and sent with each heartbeat.
    pub shared: bool,
    /// PEM of the only authorities that are trusted.
    pub ca_pem: Option<String>,
    /// SHA-256 of the manager's certificates (64 hexadecimal digits) that are trusted instead.
    pub pins: Pins,
    /// Who this host is, as far as it was given.
    pub named: HostNaming,
    /// A host that is enrolled already with one of these managers, under this id if one is given, is left as it is.
    pub unless_enrolled: bool,
}

/// What an administrator changes of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolmentEdit {
    /// The trust in managers.
    Trust(TrustChange),
    /// The token: the shared one, or the one with which this host asks for an identity.
    Token(Secret),
}

impl EnrolmentEdit {
    /// Stable name of the operation.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Trust(TrustChange::AddAuthorities(_) | TrustChange::AddPin(_)) => "trust-add",
            Self::Trust(TrustChange::Remove(_)) => "trust-remove",
            Self::Token(_) => "set-token",
        }
    }

    /// What is done, in words.
    #[must_use]
    pub const fn step(&self) -> &'static str {
        match self {
            Self::Trust(TrustChange::AddAuthorities(_) | TrustChange::AddPin(_)) => {
                "add to what the manager's certificate is verified by"
            }
            Self::Trust(TrustChange::Remove(_)) => "remove from what the manager's certificate is verified by",
            Self::Token(_) => "take another token for the manager",
        }
    }
}

/// State of the check-in with the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckinState {
    /// No manager is configured and none was enrolled with.
    #[default]
    NotEnrolled,
    /// The manager waits for an administrator to approve this host.
    PendingApproval,
    /// Enrolled; no heartbeat has been accepted since the daemon started.
    Connecting,
    /// The last heartbeat was accepted.
    Ok,
    /// No manager answers.
    Unreachable,
    /// The manager refuses the credential.
    Unauthenticated,
    /// The manager knows another host under this identity; a person must decide.
    DuplicateIdentity,
    /// The manager wants a newer agent.
    UpgradeRequired,
    /// The manager has deleted this host.
    Forgotten,
}

impl CheckinState {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotEnrolled => "not_enrolled",
            Self::PendingApproval => "pending_approval",
            Self::Connecting => "connecting",
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Unauthenticated => "unauthenticated",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::UpgradeRequired => "upgrade_required",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What the check-in publishes by itself. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckinStatus {
    /// Its state.
    pub state: CheckinState,
    /// The manager that is used now, `host:port`.
    pub manager: Option<String>,
    /// This host's id with the manager.
    pub server_id: Option<String>,
    /// When the manager last accepted a heartbeat.
    pub last_accepted: Option<UnixMillis>,
    /// Heartbeats accepted since the daemon started.
    pub accepted: u64,
    /// Heartbeats that failed since the daemon started.
    pub failed: u64,
    /// Why the last one failed: the thing, what came, what to do.
    pub last_error: Option<String>,
    /// Wall clock of the manager minus ours, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Seconds between heartbeats now.
    pub interval_s: u64,
    /// Until when the manager asked not to be asked; `None` where it did not.
    #[serde(default)]
    pub wait_until: Option<UnixMillis>,
    /// How documents of the desired state reach this host.
    #[serde(default)]
    pub desired: FetchStatus,
    /// What a certificate of a manager is judged by.
    #[serde(default)]
    pub trust: Vec<TrustedBy>,
    /// Standing statements of the check-in (`unauthenticated`, `duplicate_identity`, …).
    pub conditions: Vec<Condition>,
}
/// What came of leaving a manager. The credential is wiped in each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// There was no manager to leave.
    NotEnrolled,
    /// The manager knows.
    Told {
        /// Its address.
        manager: String,
    },
    /// The manager does not know.
    NotTold {
        /// Its address.
        manager: String,
        /// What kept it from knowing.
        why: String,
    },
}

impl std::fmt::Display for Farewell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotEnrolled => out.write_str(
                "this host was not enrolled: there was no manager to leave, and any remains of an enrolment are wiped",
            ),
            Self::Told { manager } => {
                write!(out, "this host has left its manager {manager}, and its credential is wiped")
            }
            Self::NotTold { manager, why } => write!(
                out,
                "the credential of this host is wiped, but its manager {manager} could not be notified ({why}): remove the \
                 host there too"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_a_manager_is_graphic_ascii_of_a_sensible_length() {
        let most = "x".repeat(SECRET_MAX_BYTES);
        for good in ["x", "a-b_c.d/e+f=", &most] {
            assert_eq!(Secret::of_manager(good).as_ref().map(Secret::expose), Some(good));
        }
        let more = "x".repeat(SECRET_MAX_BYTES + 1);
        for bad in ["", " ", "a b", "a\n", "\ta", "a\r\nX-Evil: 1", "ä", "\u{0}", &more] {
            assert_eq!(Secret::of_manager(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed_and_what_it_was_taken_from_is_cut_of_white_space() {
        assert_eq!(Secret::take(" word\n".to_owned()).expose(), "word");
        assert!(!format!("{:?}", Secret::new("hidden")).contains("hidden"));
        assert!(Secret::new("a") != Secret::new("b") && Secret::new("a") == Secret::new("a"));
    }
}
