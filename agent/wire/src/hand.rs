//! The protocol between the front and a hand: length-prefixed JSON frames over a Unix stream socket, one request at a time
//! per connection, answered in order.

use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::holders::Holders;
use model::plan::{CloseUp, Scope, Step};
use model::ports::ActFault;
use serde::{Deserialize, Serialize};

/// Largest frame that either side sends or takes, in bytes.
pub const FRAME_MAX_BYTES: u32 = 4 * 1024 * 1024;

/// Which hand a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandRole {
    /// uid 0, no capability: sysfs writes and probes.
    Host,
    /// Group docker: typed verbs on Docker.
    Containers,
    /// CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: who has a device open.
    Holders,
}

impl HandRole {
    /// Every hand that there is.
    pub const ALL: [Self; 3] = [Self::Host, Self::Containers, Self::Holders];

    /// The name as it stands in unit names, socket names and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Containers => "containers",
            Self::Holders => "holders",
        }
    }

    /// The hand of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// One request of the front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// The front waits no longer than this; the hand's own deadlines lie below it.
    pub deadline_ms: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked of a hand. Closed: a hand that gets another verb refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Is anybody there, and with which powers?
    Hello,
    /// Host hand: NVML or nvidia-smi on the host. Container hand: nvidia-smi in the driver container.
    ProbeDriver(DriverSource),
    /// Container hand: `GET /version` and `GET /info`.
    DockerFacts,
    /// Holders hand: who uses a function of the scope, or its VFIO group.
    Holders(Scope),
    /// Host hand: a close look at the functions of a scope, by a child that is given up where the kernel does not respond.
    CloseUp(Scope),
    /// Host hand: one step of a change. The hand checks it again: the step stays in the scope, and its own policy allows it.
    Act {
        /// What may be touched.
        scope: Scope,
        /// What is to be done.
        step: Step,
    },
}

/// One answer of a hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    pub said: Said,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// To `Hello`.
    Hello {
        /// Which hand this is.
        role: HandRole,
        /// Version of its executable.
        version: String,
        /// Why it is powerless, where it is (not uid 0, no access to Docker's socket).
        powerless: Option<String>,
    },
    /// To `ProbeDriver`.
    Driver(Box<Result<DriverReport, ProbeFault>>),
    /// To `DockerFacts`.
    Docker(Box<Result<DockerFacts, ProbeFault>>),
    /// To `Holders`.
    Holders(Result<Holders, ActFault>),
    /// To `CloseUp`.
    CloseUp(Result<Box<CloseUp>, ActFault>),
    /// To `Act`.
    Acted(Result<(), ActFault>),
    /// The request is not for this hand, or its form is wrong.
    Refused {
        /// Why.
        why: String,
    },
}
