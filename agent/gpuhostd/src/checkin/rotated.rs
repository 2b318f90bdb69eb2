//! The event of a credential that took the place of another one: when it has worked, and never with a secret in it.

use crate::checkin::identity::Credential;
use jiff::Timestamp;
use model::event::{EventKind, EventSeverity, Occurrence};
use std::collections::BTreeMap;

/// The event.
pub(super) fn rotated(credential: &Credential) -> Occurrence {
    let kind = match credential {
        Credential::Certificate { .. } => "certificate",
        Credential::Secret { .. } => "secret",
        Credential::SharedToken { .. } => "shared_token",
    };
    let until = credential.life().and_then(|(_, until)| Timestamp::from_millisecond(until.0).ok());
    let mut data = BTreeMap::from([("kind".to_owned(), kind.to_owned())]);
    data.extend(until.map(|until| ("not_after".to_owned(), until.to_string())));
    let ends = until.map(|until| format!(", valid until {until}")).unwrap_or_default();
    Occurrence {
        kind: EventKind::CredentialRotated,
        subject: String::new(),
        severity: EventSeverity::Info,
        code: None,
        message: format!("a new credential of this host ({kind}{ends}) has worked; the one before is removed"),
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::enrol::Secret;
    use model::time::UnixMillis;

    #[test]
    fn it_names_kind_and_end_and_no_secret() {
        let secret = Secret::new("canary");
        let (from, until) = (UnixMillis(0), Some(UnixMillis(1_790_000_000_000)));
        let event = rotated(&Credential::Secret { secret: secret.clone(), from, until });
        assert_eq!(event.data["kind"], "secret");
        assert_eq!(event.data["not_after"], "2026-09-21T14:13:20Z");
        let shared = rotated(&Credential::SharedToken { token: secret });
        assert!(!shared.data.contains_key("not_after"));
        assert!(!format!("{event:?}{shared:?}").contains("canary"));
    }
}
