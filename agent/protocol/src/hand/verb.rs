//! What a verb is: a request type with its reply, name, hand, kind and deadline.

use super::HandRole;
use model::driver::ProbeError;
use model::os_cause::OsCause;
use model::ports::ActError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// A hand as a type: the registry of one hand does not compile with a verb of another.
pub trait Hand: Send + Sync + 'static {
    /// Which hand it is.
    const ROLE: HandRole;
}

/// [`HandRole::Host`] as a type.
#[derive(Debug)]
pub enum HostHand {}

/// [`HandRole::Containers`] as a type.
#[derive(Debug)]
pub enum ContainersHand {}

/// [`HandRole::Holders`] as a type.
#[derive(Debug)]
pub enum HoldersHand {}

/// [`HandRole::Mig`] as a type.
#[derive(Debug)]
pub enum MigHand {}

/// [`HandRole::MigMode`] as a type.
#[derive(Debug)]
pub enum MigModeHand {}

impl Hand for HostHand {
    const ROLE: HandRole = HandRole::Host;
}

impl Hand for ContainersHand {
    const ROLE: HandRole = HandRole::Containers;
}

impl Hand for HoldersHand {
    const ROLE: HandRole = HandRole::Holders;
}

impl Hand for MigHand {
    const ROLE: HandRole = HandRole::Mig;
}

impl Hand for MigModeHand {
    const ROLE: HandRole = HandRole::MigMode;
}

/// One thing that the front can ask of a hand. The type is the request: its fields are the arguments, and it is written with
/// `#[serde(deny_unknown_fields)]`.
pub trait Verb: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The one hand that serves it.
    type Hand: Hand;
    /// What the verb returns.
    type Reply: VerbReply;
    /// Its name on the wire, unique among all verbs.
    const NAME: &'static str;
    /// What it may do to the host.
    const KIND: VerbKind;
    /// How long the front waits.
    const DEADLINE: VerbDeadline;

    /// What was tried, for the sentence of a failure: "look at 0000:41:00.0".
    fn attempted(&self) -> String;
}

/// What a verb may do to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbKind {
    /// Asks a program, a library or a daemon for facts.
    Probe,
    /// Reads the kernel, and changes nothing.
    Look,
    /// Changes the host.
    Write,
}

impl fmt::Display for VerbKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Look => "look",
            Self::Write => "write",
        })
    }
}

/// How long the front waits for a reply. It covers the hand's own deadline, and what the hand needs to end a child that hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbDeadline {
    /// Always the same.
    Fixed(Duration),
    /// The setting `nvidia.probe_timeout_ms`, and this much more.
    ProbeTimeoutAnd(Duration),
}

impl VerbDeadline {
    /// The deadline where the setting `nvidia.probe_timeout_ms` is `probe_timeout`.
    #[must_use]
    pub const fn within(self, probe_timeout: Duration) -> Duration {
        match self {
            Self::Fixed(within) => within,
            Self::ProbeTimeoutAnd(more) => probe_timeout.saturating_add(more),
        }
    }
}

impl fmt::Display for VerbDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(within) => write!(f, "{} s", within.as_secs()),
            Self::ProbeTimeoutAnd(more) => write!(f, "nvidia.probe_timeout_ms + {} s", more.as_secs()),
        }
    }
}

/// Why there is no reply of a verb's handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReply {
    /// The hand gave the handler up at its deadline.
    HandlerGivenUp {
        /// The deadline in milliseconds.
        after_ms: u64,
    },
    /// The front got no response in time; the handler may still be at work.
    NoResponse {
        /// How long the front waited, in milliseconds.
        after_ms: u64,
        /// The failure in words.
        said: String,
    },
    /// The hand cannot be reached, refused, or broke the protocol.
    Unavailable {
        /// Why.
        cause: OsCause,
    },
}

/// What a verb's reply must be able to say: that there is none of its handler.
pub trait VerbReply: Serialize + DeserializeOwned + Send + 'static {
    /// The reply where the handler gave none.
    fn missing(attempted: String, hand: HandRole, why: NoReply) -> Self;
}

/// A probe that is given up has no effect.
impl<T: Serialize + DeserializeOwned + Send + 'static> VerbReply for Result<T, ProbeError> {
    fn missing(attempted: String, hand: HandRole, why: NoReply) -> Self {
        let name = hand.name();
        Err(match why {
            NoReply::HandlerGivenUp { after_ms } => {
                ProbeError::Timeout { what: format!("{attempted} (asked by the {name} hand)"), after_ms }
            }
            NoReply::NoResponse { said, .. } => {
                ProbeError::HandUnavailable { what: format!("the {name} hand"), cause: OsCause::found(said) }
            }
            NoReply::Unavailable { cause } => ProbeError::HandUnavailable { what: format!("the {name} hand"), cause },
        })
    }
}

/// A step that is given up may still have its effect.
impl<T: Serialize + DeserializeOwned + Send + 'static> VerbReply for Result<T, ActError> {
    fn missing(attempted: String, hand: HandRole, why: NoReply) -> Self {
        Err(match why {
            NoReply::HandlerGivenUp { after_ms } | NoReply::NoResponse { after_ms, .. } => {
                ActError::Hung { attempted, after_ms }
            }
            NoReply::Unavailable { cause } => {
                ActError::Unreachable { what: format!("the {} hand", hand.name()), cause }
            }
        })
    }
}
