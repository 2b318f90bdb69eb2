//! Authorization, at the one gate: which action each member needs, and whether this caller may. A member without an action is
//! denied.

use super::authority::Authority;
use super::limits::locked;
use super::options::Standard;
use engine::command::{Actor, Authorized, Command, Origin, Verdict};
use model::log_limit::LogLimit;
use model::message::Message;
use model::refusal::Refusal;
use std::sync::Mutex;
use std::time::Instant;
use wire::dbus::{GPU_INTERFACE, HOST_INTERFACE};
use zbus::message::{Flags, Header};

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read what the daemon shows.
    Inspect,
    /// Scan the host again.
    Rescan,
    /// Enrol with a manager, or leave it.
    ManageEnrolment,
    /// Give a GPU to a virtual machine, and take it back.
    Passthrough,
    /// Freeze changes from remote, and lift that.
    Lock,
    /// Acknowledge that a GPU is gone.
    Acknowledge,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Inspect, Self::Rescan, Self::ManageEnrolment, Self::Passthrough, Self::Lock, Self::Acknowledge];

    /// The polkit action id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Inspect => "org.gpuhost.agent1.inspect",
            Self::Rescan => "org.gpuhost.agent1.rescan",
            Self::ManageEnrolment => "org.gpuhost.agent1.manage-enrolment",
            Self::Passthrough => "org.gpuhost.agent1.passthrough",
            Self::Lock => "org.gpuhost.agent1.lock",
            Self::Acknowledge => "org.gpuhost.agent1.acknowledge",
        }
    }
}

/// The action that a method needs. Properties are read-only and open to everybody who may talk to us; no method is.
#[must_use]
pub fn action_for(interface: &str, member: &str) -> Option<Action> {
    match (interface, member) {
        (HOST_INTERFACE, "GetObservation" | "Sample") | (GPU_INTERFACE, "GetMetrics") => Some(Action::Inspect),
        (HOST_INTERFACE, "Rescan") => Some(Action::Rescan),
        (HOST_INTERFACE, "Enroll" | "Leave") => Some(Action::ManageEnrolment),
        (HOST_INTERFACE, "Lock" | "Unlock") => Some(Action::Lock),
        (HOST_INTERFACE, "AcknowledgeGoneGpu") => Some(Action::Acknowledge),
        (GPU_INTERFACE, "BindPassthrough" | "ReleasePassthrough" | "ConfirmPassthrough") => Some(Action::Passthrough),
        _ => None,
    }
}

/// A caller that the gate let in.
#[derive(Debug)]
pub(super) struct Admission {
    actor: Actor,
}

impl Admission {
    /// Ties the admission to the command that it was asked for.
    pub(super) fn authorize(self, command: Command) -> Result<Authorized, Refusal> {
        Authorized::by(Verdict::Allowed, command, self.actor)
    }
}

/// The gate of one connection to the bus.
#[derive(Debug)]
pub(super) struct Gate {
    authority: Authority,
    refusals: Mutex<LogLimit>,
}

impl Gate {
    /// A gate that asks this authority.
    pub(super) fn new(authority: Authority) -> Self {
        Self { authority, refusals: Mutex::default() }
    }

    /// Lets the caller of a message in, or says why not. The subject is the sender's unique name on the bus, which cannot be
    /// taken over by another process, unlike a pid.
    pub(super) async fn admit(
        &self,
        header: &Header<'_>,
        interface: &'static str,
        member: &'static str,
        options: Standard,
        details: &[(&str, &str)],
    ) -> Result<Admission, Refusal> {
        let Some(action) = action_for(interface, member) else {
            return Err(denied(
                "none",
                format!("{interface}.{member} has no polkit action, so no caller is authorized"),
            ));
        };
        let uid = match action {
            // The answer is all that this is for, and nobody waits for it.
            Action::Inspect if header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) => {
                return Err(Refusal::Conflict { why: "the caller does not wait for the answer".to_owned() });
            }
            Action::Inspect => None,
            Action::Rescan | Action::ManageEnrolment | Action::Passthrough | Action::Lock | Action::Acknowledge => {
                let asked = self.authority.ask(header, action, member, options, details).await;
                Some(asked.inspect_err(|refusal| self.tell(header, action, member, refusal))?)
            }
        };
        Ok(Admission { actor: Actor { uid, origin: Origin::Bus } })
    }

    fn tell(&self, header: &Header<'_>, action: Action, member: &str, refusal: &Refusal) {
        let Some(left_out) = locked(&self.refusals).one(Instant::now()) else { return };
        let sender = header.sender().map_or("an unknown sender", |name| name.as_str());
        tracing::warn!(
            message_id = Message::BusCallRefused.id(),
            action = action.id(),
            member,
            sender,
            "a call over D-Bus was refused: {member} by {sender}: {refusal}{left_out}"
        );
    }
}

/// [`Refusal::NotAuthorized`].
pub(super) fn denied(action: &str, why: impl Into<String>) -> Refusal {
    Refusal::NotAuthorized { action: action.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_denied() {
        for (interface, member) in [
            (HOST_INTERFACE, "Shutdown"),
            (HOST_INTERFACE, "rescan"),
            ("org.gpuhost.Agent1.Job", "Rescan"),
            ("", "Rescan"),
            ("org.freedesktop.DBus.Properties", "Set"),
        ] {
            assert_eq!(action_for(interface, member), None, "{interface}.{member}");
        }
        assert_eq!(action_for(HOST_INTERFACE, "Enroll"), Some(Action::ManageEnrolment));
    }
}
