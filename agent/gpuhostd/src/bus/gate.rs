//! Authorization, at the one gate: which action each member needs, and whether this caller may. A member without an action is
//! denied.

use super::action::{PolkitAction, action_for, denied};
use super::authority::Authority;
use super::limits::locked;
use super::options::Standard;
use engine::command::{Authorized, Command, Verdict};
use model::log_limit::LogLimit;
use model::message::Message;
use model::refusal::Refusal;
use std::sync::Mutex;
use std::time::Instant;
use zbus::message::{Flags, Header};

/// A caller that the gate let in.
#[derive(Debug)]
pub(super) struct Admission {
    uid: Option<u32>,
}

impl Admission {
    /// Ties the admission to the command that it was asked for.
    pub(super) fn authorize(self, command: Command) -> Result<Authorized, Refusal> {
        Authorized::by_local_user(Verdict::Allowed, command, self.uid)
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

    /// Lets the caller of a message in, or gives the reason. The subject is the sender's unique name on the bus, which cannot be
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
            PolkitAction::Inspect if header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) => {
                return Err(Refusal::Conflict { why: "the caller does not wait for the answer".to_owned() });
            }
            PolkitAction::Inspect => None,
            PolkitAction::Rescan
            | PolkitAction::ManageEnrolment
            | PolkitAction::Passthrough
            | PolkitAction::MigLayout
            | PolkitAction::MigMode
            | PolkitAction::NvidiaContainers
            | PolkitAction::Workspaces
            | PolkitAction::Lock
            | PolkitAction::Acknowledge
            | PolkitAction::AcceptEpoch => {
                let asked = self.authority.ask(header, action, member, options, details).await;
                Some(asked.inspect_err(|refusal| self.tell(header, action, member, refusal))?)
            }
        };
        Ok(Admission { uid })
    }

    fn tell(&self, header: &Header<'_>, action: PolkitAction, member: &str, refusal: &Refusal) {
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
