//! What a manager's answer means: the table of the contract, from status and code to what the agent does.

use crate::checkin::code::Code;
use crate::checkin::fault::CheckinError;
use crate::checkin::manager::ManagerAddress;
use crate::printable::printable;

/// Longest `Retry-After` that is honoured, in seconds.
pub const RETRY_AFTER_MAX_S: u64 = 300;
/// So many characters of what a manager reported are repeated.
const SAID_MAX_CHARS: usize = 400;

/// What of an accepted heartbeat's reply steers the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Seconds to the next heartbeat, as sent: not yet clamped.
    pub next_heartbeat_s: Option<u64>,
    /// Least seconds between two early heartbeats, as sent: not yet clamped.
    pub early_gap_s: Option<u64>,
    /// The managers of this host; empty = no news.
    pub managers: Vec<ManagerAddress>,
    /// The manager wants the inventory.
    pub need_inventory: bool,
}

/// An answer that is no acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerRefusal {
    /// HTTP status.
    pub status: u16,
    /// The contract's code, where the body has one that the contract knows.
    pub code: Option<Code>,
    /// What the manager reported, for people.
    pub message: String,
    /// Seconds of `Retry-After`, or of `retry_after_s` in the body.
    pub retry_after_s: Option<u64>,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The heartbeat was accepted.
    Accepted(Reply),
    /// The manager answered otherwise.
    Refused(ManagerRefusal),
    /// Nobody answered, or nothing that can be understood.
    Failed(CheckinError),
}

/// What an answer other than an acceptance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Waiting for an administrator.
    Pending,
    /// The report is not understood.
    BadReport,
    /// The credential is refused.
    Unauthenticated,
    /// This manager does not know this host.
    UnknownAgent,
    /// Another host has this identity, or the enrolment was used; a person decides.
    Duplicate,
    /// This host was deleted.
    Deleted,
    /// The report is too large.
    TooLarge,
    /// The agent is too old.
    UpgradeRequired,
    /// Too many requests.
    RateLimited,
    /// This manager is of no use now, or it was not the manager who answered.
    OutOfOrder,
}

impl Meaning {
    /// The manager speaks of this host, and not of the report or of its own load.
    #[must_use]
    pub const fn is_about_the_host(self) -> bool {
        match self {
            Self::Pending | Self::Unauthenticated | Self::UnknownAgent | Self::Duplicate | Self::Deleted => true,
            Self::BadReport | Self::TooLarge | Self::UpgradeRequired | Self::RateLimited | Self::OutOfOrder => false,
        }
    }
}

impl Answer {
    /// Another manager may answer otherwise: nobody answered here, or nothing that a manager would say of this host.
    #[must_use]
    pub const fn may_differ_elsewhere(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Refused(refused) => matches!(refused.meaning(), Meaning::OutOfOrder),
            Self::Accepted(_) => false,
        }
    }
}

impl ManagerRefusal {
    /// What it means. Most statuses count only with their code: without it a proxy, a gateway or a firewall's page may have
    /// answered in the manager's place.
    #[must_use]
    pub const fn meaning(&self) -> Meaning {
        match (self.status, self.code) {
            (202, _) => Meaning::Pending,
            (400, Some(Code::BadRequest)) => Meaning::BadReport,
            (401, _) => Meaning::Unauthenticated,
            (403, Some(Code::NotApproved)) => Meaning::Pending,
            (404, Some(Code::UnknownAgent)) => Meaning::UnknownAgent,
            (409, Some(Code::DuplicateAgent | Code::EnrolUsed | Code::Conflict)) => Meaning::Duplicate,
            (410, Some(Code::AgentDeleted)) => Meaning::Deleted,
            (413, _) => Meaning::TooLarge,
            (426, Some(Code::UpgradeRequired)) => Meaning::UpgradeRequired,
            (429, _) => Meaning::RateLimited,
            _ => Meaning::OutOfOrder,
        }
    }

    /// The manager does not have the path that was asked for. Only for optional paths: elsewhere this reports nothing.
    #[must_use]
    pub const fn has_no_path(&self) -> bool {
        self.status == 404
    }

    /// A TLS endpoint or proxy refuses the encoding of the body.
    #[must_use]
    pub const fn may_be_the_packing(&self) -> bool {
        matches!((self.status, self.code), (400 | 415, None))
    }

    /// `Retry-After` in milliseconds, capped; at least a second.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_s.map(|s| s.clamp(1, RETRY_AFTER_MAX_S) * 1000)
    }

    /// The answer in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let message: String = printable(&self.message, SAID_MAX_CHARS);
        let message = if message.is_empty() { "no message".to_owned() } else { message };
        let needs_code = matches!(self.status, 400 | 403 | 404 | 409 | 410 | 426);
        match self.code {
            Some(code) => format!("answered HTTP {} ({}): {message}", self.status, code.name()),
            None if needs_code => format!(
                "answered HTTP {} without a code of the manager API, as a proxy or a firewall would: {message}",
                self.status
            ),
            None => format!("answered HTTP {}: {message}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<Code>) -> ManagerRefusal {
        ManagerRefusal { status, code, message: String::new(), retry_after_s: None }
    }

    #[test]
    fn the_table_of_the_contract() {
        let rows = [
            (200, Some(Code::Internal), Meaning::OutOfOrder),
            (202, None, Meaning::Pending),
            (302, None, Meaning::OutOfOrder),
            (400, Some(Code::BadRequest), Meaning::BadReport),
            (401, Some(Code::InvalidToken), Meaning::Unauthenticated),
            (401, Some(Code::TokenExpired), Meaning::Unauthenticated),
            (403, Some(Code::NotApproved), Meaning::Pending),
            (404, Some(Code::UnknownAgent), Meaning::UnknownAgent),
            (409, Some(Code::DuplicateAgent), Meaning::Duplicate),
            (409, Some(Code::EnrolUsed), Meaning::Duplicate),
            (409, Some(Code::Conflict), Meaning::Duplicate),
            (410, Some(Code::AgentDeleted), Meaning::Deleted),
            (413, Some(Code::TooLarge), Meaning::TooLarge),
            (426, Some(Code::UpgradeRequired), Meaning::UpgradeRequired),
            (429, Some(Code::RateLimited), Meaning::RateLimited),
            (500, Some(Code::Internal), Meaning::OutOfOrder),
            (502, None, Meaning::OutOfOrder),
            (503, Some(Code::ManagerDisabled), Meaning::OutOfOrder),
            (504, None, Meaning::OutOfOrder),
        ];
        for (status, code, meaning) in rows {
            assert_eq!(refused(status, code).meaning(), meaning, "{status} {code:?}");
        }
    }

    #[test]
    fn t34_without_its_own_code_a_refusal_of_six_statuses_is_a_fronts() {
        for status in [400, 403, 404, 409, 410, 426] {
            assert_eq!(refused(status, None).meaning(), Meaning::OutOfOrder, "{status}");
            assert_eq!(refused(status, Some(Code::Internal)).meaning(), Meaning::OutOfOrder, "{status}");
            assert!(refused(status, None).words().contains("proxy"), "{status}");
        }
        let counts = [401, 413, 429].map(|status| refused(status, None).meaning());
        assert_eq!(counts, [Meaning::Unauthenticated, Meaning::TooLarge, Meaning::RateLimited]);
    }

    #[test]
    fn every_code_has_one_name() {
        for code in Code::ALL.iter().copied() {
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::from_name("teapot"), None);
    }

    #[test]
    fn retry_after_is_capped() {
        let after = |s| ManagerRefusal { retry_after_s: Some(s), ..refused(429, None) }.retry_after_ms();
        assert_eq!([after(0), after(7), after(9999)], [Some(1000), Some(7000), Some(300_000)]);
    }

    #[test]
    fn words_hold_no_control_characters_and_are_bounded() {
        let long = ManagerRefusal { message: "x\n\u{1b}[31m".repeat(1000), ..refused(500, None) };
        assert!(long.words().len() < 450 && !long.words().contains('\n') && !long.words().contains('\u{1b}'));
    }
}
