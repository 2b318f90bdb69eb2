//! Refusals: considered answers of "no", with one stable code that D-Bus, JSON, heartbeats and exit codes share.

use crate::blocker::{Blocked, Blocker};
use crate::daemon_json;
use crate::mig::{MigBlocked, MigRefusal};
use serde::{Deserialize, Serialize};

/// Why a request was not done. The same code is in D-Bus error names, JSON, heartbeats and exit codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The caller may not do this.
    #[error("not authorized for {action}: {why}")]
    NotAuthorized {
        /// The polkit action.
        action: String,
        /// What the authority reported, and what to do.
        why: String,
    },
    /// An argument has no meaning here.
    #[error("{argument}: {why}")]
    InvalidArgument {
        /// Name of the argument or option.
        argument: String,
        /// What was expected and what came.
        why: String,
    },
    /// There is no such object.
    #[error("there is no {what} {name}")]
    NotFound {
        /// "GPU", "job", …
        what: String,
        /// What was asked for.
        name: String,
    },
    /// Another change of the same thing is under way, or the queue is full.
    #[error("busy: {why}")]
    Busy {
        /// Who holds it, and when to try again.
        why: String,
    },
    /// The state of the host or of the enrolment does not allow it.
    #[error("{why}")]
    Conflict {
        /// What prevents it, and what to do.
        why: String,
    },
    /// A part that this needs does not answer.
    #[error("{what} is unavailable: {why}")]
    Unavailable {
        /// The part: "Docker", "host hand", "manager".
        what: String,
        /// What it reported, and what to do.
        why: String,
    },
    /// It did not answer in its time.
    #[error("{what} did not answer within {after_ms} ms")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        after_ms: u64,
    },
    /// The kernel or a tool refused.
    #[error("{attempted}: {said}")]
    HostFault {
        /// What was tried, on what.
        attempted: String,
        /// What the host reported, and what to do.
        said: String,
    },
    /// Something prevents a change of a GPU; the code is that of the first thing that does.
    #[error("{0}")]
    #[serde(untagged)]
    Blocked(Blocked),
    /// A MIG layout cannot be had; the code is that of the reason.
    #[error("{0}")]
    #[serde(untagged)]
    Mig(MigBlocked),
    /// Docker's configuration is left as it is; the code is that of the reason.
    #[error("daemon.json: {0}")]
    #[serde(untagged)]
    DaemonJson(daemon_json::Refused),
}

/// Exit status of everything that prevents a change.
const BLOCKED: u8 = 11;

impl Refusal {
    /// Every code with its exit status, in the order of the enum. The one table that the others are held to.
    pub fn codes() -> impl Iterator<Item = (&'static str, u8)> {
        let blocking = Blocker::CODES.iter().chain(MigRefusal::CODES).chain(daemon_json::Refused::CODES).copied();
        Self::OWN_CODES.into_iter().chain(blocking.map(|code| (code, BLOCKED)))
    }

    const OWN_CODES: [(&'static str, u8); 8] = [
        ("not_authorized", 4),
        ("invalid_argument", 2),
        ("not_found", 5),
        ("busy", 6),
        ("conflict", 7),
        ("unavailable", 8),
        ("timeout", 9),
        ("host_fault", 10),
    ];

    fn row(&self) -> (&'static str, u8) {
        match self {
            Self::NotAuthorized { .. } => ("not_authorized", 4),
            Self::InvalidArgument { .. } => ("invalid_argument", 2),
            Self::NotFound { .. } => ("not_found", 5),
            Self::Busy { .. } => ("busy", 6),
            Self::Conflict { .. } => ("conflict", 7),
            Self::Unavailable { .. } => ("unavailable", 8),
            Self::Timeout { .. } => ("timeout", 9),
            Self::HostFault { .. } => ("host_fault", 10),
            Self::Blocked(blocked) => (blocked.first.code(), BLOCKED),
            Self::Mig(blocked) => (blocked.why.code(), BLOCKED),
            Self::DaemonJson(refused) => (refused.code(), BLOCKED),
        }
    }

    /// The daemon is stopping, and this part of it answers no more.
    #[must_use]
    pub fn stopping(part: &str) -> Self {
        Self::Unavailable { what: part.to_owned(), why: "the daemon is stopping".to_owned() }
    }

    /// The stable code, snake_case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// The exit status of the command line for this refusal.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.row().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Refusal> {
        let s = String::new;
        vec![
            Refusal::NotAuthorized { action: s(), why: s() },
            Refusal::InvalidArgument { argument: s(), why: s() },
            Refusal::NotFound { what: s(), name: s() },
            Refusal::Busy { why: s() },
            Refusal::Conflict { why: s() },
            Refusal::Unavailable { what: s(), why: s() },
            Refusal::Timeout { what: s(), after_ms: 0 },
            Refusal::HostFault { attempted: s(), said: s() },
        ]
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut codes: Vec<_> = Refusal::codes().map(|(code, _)| code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn a_refusal_of_another_part_keeps_its_code_over_json() {
        let refusal = Refusal::DaemonJson(daemon_json::Refused::TooLarge { most: 7 });
        assert_eq!((refusal.code(), refusal.exit_status()), ("too_large", 11));
        let text = serde_json::to_string(&refusal).unwrap();
        assert_eq!(text, r#"{"code":"too_large","most":7}"#);
        assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
    }

    #[test]
    fn code_json_and_table_agree() {
        let rows: Vec<_> = one_of_each().iter().map(|r| (r.code(), r.exit_status())).collect();
        assert_eq!(rows, Refusal::OWN_CODES);
        for refusal in one_of_each() {
            let json = serde_json::to_value(&refusal).unwrap();
            assert_eq!(json["code"], refusal.code());
        }
    }
}
