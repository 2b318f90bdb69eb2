//! The only entrance to a change: a command, and the proof that the gate let it pass.

use model::enrol::EnrolSpec;
use model::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Everything that can be asked of the running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Scan the PCI bus and ask all sources anew.
    Rescan,
    /// Enrol with a manager.
    Enrol(Box<EnrolSpec>),
    /// Say goodbye to the manager and wipe the credential.
    Leave,
}

impl Command {
    /// Stable name of the operation, as it stands in jobs, logs and polkit details.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Rescan => "rescan",
            Self::Enrol(_) => "enrol",
            Self::Leave => "leave",
        }
    }
}

/// Where a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// D-Bus.
    Bus,
    /// The manager.
    Manager,
    /// The daemon's own reconcilers.
    Reconciler,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Numeric user id, where the caller is a local user.
    pub uid: Option<u32>,
    /// The way it came.
    pub origin: Origin,
}

/// What the authority (polkit, the manager policy) said of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, and why.
    Denied(Refusal),
}

/// A command that has passed the gate. It cannot be made in another way.
#[derive(Debug)]
pub struct Authorized {
    command: Command,
    actor: Actor,
}

impl Authorized {
    /// The gate: turns a verdict into the token, or into the refusal.
    ///
    /// # Errors
    /// The refusal of the verdict.
    pub fn by(verdict: Verdict, command: Command, actor: Actor) -> Result<Self, Refusal> {
        match verdict {
            Verdict::Allowed => Ok(Self { command, actor }),
            Verdict::Denied(refusal) => Err(refusal),
        }
    }

    /// What was asked.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// What was asked, taken out to be done.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Who asked.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        self.actor
    }
}
