//! The only entrance to a change: a command, and the proof that the gate let it pass.

use crate::change::Change;
use model::PciAddress;
use model::blocker::{Blocked, Blocker};
use model::enrol::EnrolSpec;
use model::policy::{Policy, Requester};
use model::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Everything that can be asked of the running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Scan the PCI bus and ask all sources anew.
    Rescan,
    /// Enrol with a manager.
    Enrol(Box<EnrolSpec>),
    /// Leave the manager and wipe the credential.
    Leave,
    /// Give a GPU to a virtual machine, or take it back.
    Change(Change),
    /// Let a binding stand that would be undone otherwise.
    Confirm(PciAddress),
    /// Freeze what a manager asks for, or lift that.
    Lock(bool),
    /// Somebody knows of a GPU that is gone.
    AcknowledgeGone(PciAddress),
}

impl Command {
    /// Stable name of the operation, as it stands in jobs, logs and polkit details.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Rescan => "rescan",
            Self::Enrol(_) => "enrol",
            Self::Leave => "leave",
            Self::Change(change) => change.operation.code(),
            Self::Confirm(_) => "passthrough-confirm",
            Self::Lock(true) => "lock",
            Self::Lock(false) => "unlock",
            Self::AcknowledgeGone(_) => "acknowledge-gone-gpu",
        }
    }

    /// The GPU that it is about.
    #[must_use]
    pub const fn gpu(&self) -> Option<PciAddress> {
        match self {
            Self::Change(change) => Some(change.gpu),
            Self::Confirm(gpu) | Self::AcknowledgeGone(gpu) => Some(*gpu),
            Self::Rescan | Self::Enrol(_) | Self::Leave | Self::Lock(_) => None,
        }
    }

    /// Only the plan is asked for: nothing is changed.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        match self {
            Self::Change(change) => change.dry_run,
            Self::Rescan
            | Self::Enrol(_)
            | Self::Leave
            | Self::Confirm(_)
            | Self::Lock(_)
            | Self::AcknowledgeGone(_) => false,
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

    /// The gate for a manager: its commands pass where the policy allows them and no administrator has frozen changes.
    ///
    /// # Errors
    /// What stands in the way. A manager may neither rescan, enrol, leave, confirm, lock nor acknowledge: those are for this host.
    pub fn by_manager(policy: &Policy, locked: bool, command: Command) -> Result<Self, Refusal> {
        let change = match &command {
            Command::Change(change) => *change,
            Command::Rescan
            | Command::Enrol(_)
            | Command::Leave
            | Command::Confirm(_)
            | Command::Lock(_)
            | Command::AcknowledgeGone(_) => {
                let action = command.operation().to_owned();
                return Err(Refusal::NotAuthorized { action, why: "a manager may not do this".to_owned() });
            }
        };
        let explained = policy.explain(change.operation, Requester::Manager, Some(change.gpu));
        let blockers: Vec<Blocker> =
            locked.then_some(Blocker::RemoteLocked).into_iter().chain(explained.blocker()).collect();
        match Blocked::by(change.gpu, blockers) {
            Some(blocked) => Err(Refusal::Blocked(blocked)),
            None => Ok(Self { command, actor: Actor { uid: None, origin: Origin::Manager } }),
        }
    }

    /// The gate for the daemon's own reconcilers, which bring the host to what was authorized before.
    #[must_use]
    pub const fn by_reconciler(command: Command) -> Self {
        Self { command, actor: Actor { uid: None, origin: Origin::Reconciler } }
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::policy::{Operation, read};

    fn bind() -> Command {
        let gpu = "0000:41:00.0".parse().unwrap();
        let operation = Operation::PassthroughBind;
        Command::Change(Change { operation, gpu, dry_run: false, confirm_within_ms: None, guest_memory_mib: None })
    }

    #[test]
    fn a_manager_may_what_the_policy_says_and_nothing_while_locked() {
        let code = |policy: &Policy, locked, command| {
            Authorized::by_manager(policy, locked, command).map(|token| token.actor().origin).map_err(|r| r.code())
        };
        let open = read("p", "[manager]\npassthrough = true\nchanges_per_minute = 1").unwrap();
        assert_eq!(code(&Policy::default(), false, bind()), Err("denied_by_policy"));
        assert_eq!(code(&open, false, bind()), Ok(Origin::Manager));
        assert_eq!(code(&open, true, bind()), Err("remote_locked"));
        let gpu = "0000:41:00.0".parse().unwrap();
        for command in [
            Command::Rescan,
            Command::Leave,
            Command::Confirm(gpu),
            Command::Lock(false),
            Command::AcknowledgeGone(gpu),
        ] {
            assert_eq!(code(&open, false, command), Err("not_authorized"));
        }
    }
}
