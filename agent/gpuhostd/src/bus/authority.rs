//! Asks polkit about every caller but root. What is not a clear yes is a no; where there is no polkit, root alone may.

use super::action::{PolkitAction, denied};
use super::limits::Seats;
use super::options::Standard;
use model::refusal::Refusal;
use std::collections::HashMap;
use std::time::Duration;
use zbus::Connection;
use zbus::message::{Flags, Header};
use zbus_polkit::policykit1::{AuthorityProxy, AuthorizationResult, CheckAuthorizationFlags, Subject};

/// polkit's time without a dialogue, and the bus's own time for saying who a sender is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// polkit's time with a dialogue: a person types a password.
const DIALOGUE_DEADLINE: Duration = Duration::from_secs(120);

/// What a caller reads where there is no polkit.
const ABSENT: &str =
    "polkit is not on the bus, and without it only root is authorized; run it as root or install polkitd";

/// polkit and the bus, asked over a connection of our own: no caller can keep their answers from us.
#[derive(Debug)]
pub(super) struct Authority {
    connection: Connection,
    seats: Seats,
}

impl Authority {
    /// An authority that is asked over this connection, at which nothing is served.
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, seats: Seats::default() }
    }

    /// The caller's user id, where it may do this.
    pub(super) async fn ask(
        &self,
        header: &Header<'_>,
        action: PolkitAction,
        member: &str,
        options: Standard,
        details: &[(&str, &str)],
    ) -> Result<u32, Refusal> {
        let uid = self.caller_uid(header, action).await?;
        if uid == 0 {
            // As with systemd: root can do all of it without us, and must not be locked out by a polkit that is broken or absent.
            return Ok(uid);
        }
        let many = || Refusal::Busy { why: "polkit is still deciding about other calls; try again later".to_owned() };
        let _seat = self.seats.take(uid).ok_or_else(many)?;
        let dialogue = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) && !options.no_user_interaction;
        let deadline = if dialogue { DIALOGUE_DEADLINE } else { ANSWER_DEADLINE };
        let check = self.check(header, action, member, dialogue, details);
        match tokio::time::timeout(deadline, check).await {
            Ok(Ok(answer)) => {
                judge(&answer, action)?;
                // A yes for a caller that left meanwhile is a yes for nobody. The bus never gives a name a second time.
                self.caller_uid(header, action).await
            }
            Ok(Err(error)) if is_absent(&error) => Err(denied(action.id(), ABSENT)),
            Ok(Err(error)) => Err(denied(action.id(), format!("polkit did not decide: {error}"))),
            Err(_) => Err(denied(action.id(), format!("polkit did not decide within {} s", deadline.as_secs()))),
        }
    }

    async fn caller_uid(&self, header: &Header<'_>, action: PolkitAction) -> Result<u32, Refusal> {
        let unknown = |why: String| denied(action.id(), format!("the bus does not report who the caller is: {why}"));
        let sender = header.sender().ok_or_else(|| unknown("the message has no sender".into()))?;
        let bus = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        let question = self.connection.call_method(Some(bus), path, Some(bus), "GetConnectionUnixUser", sender);
        match tokio::time::timeout(ANSWER_DEADLINE, question).await {
            Ok(Ok(reply)) => reply.body().deserialize().map_err(|e| unknown(e.to_string())),
            Ok(Err(error)) => Err(unknown(error.to_string())),
            Err(_) => Err(unknown(format!("no answer in {} s", ANSWER_DEADLINE.as_secs()))),
        }
    }

    async fn check(
        &self,
        header: &Header<'_>,
        action: PolkitAction,
        member: &str,
        dialogue: bool,
        details: &[(&str, &str)],
    ) -> zbus::Result<AuthorizationResult> {
        let subject = Subject::new_for_message_header(header).map_err(|e| zbus::Error::Failure(e.to_string()))?;
        let mut shown: HashMap<&str, &str> = details.iter().copied().collect();
        shown.insert("operation", member);
        let flags =
            if dialogue { CheckAuthorizationFlags::ALLOW_USER_INTERACTION } else { CheckAuthorizationFlags::empty() };
        let builder = AuthorityProxy::builder(&self.connection).cache_properties(zbus::proxy::CacheProperties::No);
        builder.build().await?.check_authorization(&subject, action.id(), &shown, flags, "").await
    }
}

fn judge(answer: &AuthorizationResult, action: PolkitAction) -> Result<(), Refusal> {
    if answer.is_authorized {
        return Ok(());
    }
    let why = if answer.is_challenge {
        "polkit requires a password; call it from a session with an authentication agent, or as root"
    } else {
        "polkit denied it; an administrator can allow it by a rule in /etc/polkit-1/rules.d"
    };
    Err(denied(action.id(), why))
}

/// Nobody owns polkit's name and nothing can start it.
fn is_absent(error: &zbus::Error) -> bool {
    let zbus::Error::FDO(error) = error else { return false };
    matches!(**error, zbus::fdo::Error::ServiceUnknown(_) | zbus::fdo::Error::NameHasNoOwner(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_authorized: bool, is_challenge: bool) -> AuthorizationResult {
        AuthorizationResult { is_authorized, is_challenge, details: HashMap::new() }
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert!(judge(&answer(true, false), PolkitAction::Rescan).is_ok());
        assert_eq!(judge(&answer(false, true), PolkitAction::Rescan).unwrap_err().code(), "not_authorized");
        assert_eq!(judge(&answer(false, false), PolkitAction::Rescan).unwrap_err().code(), "not_authorized");
    }

    #[test]
    fn an_error_of_polkit_is_not_taken_for_its_absence() {
        let fdo = |error| zbus::Error::FDO(Box::new(error));
        assert!(is_absent(&fdo(zbus::fdo::Error::ServiceUnknown(String::new()))));
        assert!(!is_absent(&fdo(zbus::fdo::Error::NoReply(String::new()))));
        assert!(!is_absent(&fdo(zbus::fdo::Error::AccessDenied(String::new()))));
        assert!(!is_absent(&zbus::Error::InvalidReply));
    }
}
