//! The protocol between the front and a hand (a privileged helper process): length-prefixed JSON frames over a Unix stream
//! socket, one request at a time per connection, answered in order.
//!
//! What can be asked is a [`Verb`]: a type that is the request itself, with its reply, its name, its hand, its kind and its
//! deadline. The verbs of each hand stand in a file of their own; what a hand really serves is its registry (the package of the hand).

pub mod containers;
pub mod holders;
pub mod host;
pub mod mig;
mod verb;

pub use verb::{
    ContainersHand, Hand, HoldersHand, HostHand, MigHand, MigModeHand, NoReply, Verb, VerbDeadline, VerbKind, VerbReply,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Largest frame that either side sends or takes, in bytes.
pub const FRAME_MAX_BYTES: u32 = 4 * 1024 * 1024;

/// The name that each hand answers with an [`Introduction`]; its arguments are [`Hello`].
pub const HELLO: &str = "hello";

/// The arguments of [`HELLO`]: none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {}

/// Which hand a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandRole {
    /// uid 0, no capability: sysfs writes and probes.
    Host,
    /// Group docker: typed verbs on Docker.
    Containers,
    /// CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: who has a device open.
    Holders,
    /// uid 0, CAP_MKNOD, the MIG capabilities of NVIDIA's driver: the MIG layout of a GPU.
    Mig,
    /// uid 0, CAP_SYS_ADMIN: the MIG mode of a GPU.
    MigMode,
}

impl HandRole {
    /// Every hand that there is.
    pub const ALL: [Self; 5] = [Self::Host, Self::Containers, Self::Holders, Self::Mig, Self::MigMode];

    /// The name in unit names, socket names and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Containers => "containers",
            Self::Holders => "holders",
            Self::Mig => "mig",
            Self::MigMode => "mig-mode",
        }
    }
}

/// One request of the front.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerbRequest {
    /// Repeated in the response.
    pub id: u64,
    /// The front waits no longer than this; the hand's own deadlines are shorter.
    pub deadline_ms: u64,
    /// [`Verb::NAME`], or [`HELLO`]. A hand refuses every name that is not in its registry.
    pub verb: String,
    /// The verb itself, as JSON. Only its handler's type reads it, so that an unknown field is refused and never passed on.
    pub args: Box<RawValue>,
}

/// One response of a hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerbResponse {
    /// The request's id.
    pub id: u64,
    /// What came of it. A refusal has had this form from the first version on, so that a front and a hand of different
    /// versions can still refuse each other in words.
    #[serde(rename = "said")]
    pub outcome: VerbOutcome,
}

/// What came of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerbOutcome {
    /// The handler's reply ([`Verb::Reply`]), or the [`Introduction`].
    Reply(Box<RawValue>),
    /// The hand does not serve the verb, or the form of the request is wrong.
    Refused {
        /// Why.
        why: String,
    },
}

/// What a hand reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Which hand this is.
    pub hand: HandRole,
    /// Version of its executable.
    pub version: String,
    /// Why it cannot do all of its work, where it cannot: not uid 0, no access to Docker's socket.
    pub degraded: Option<String>,
}
