//! What a manager's answer means: the table of the contract, from status and code to what the agent does.

use crate::checkin::manager::ManagerAddress;

/// Longest `Retry-After` that is honoured, in seconds.
pub const RETRY_AFTER_MAX_S: u64 = 300;

/// What of an accepted heartbeat's reply steers the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Seconds to the next heartbeat, as sent: not yet clamped.
    pub next_heartbeat_s: Option<u64>,
    /// The managers of this host; empty = no news.
    pub managers: Vec<ManagerAddress>,
    /// The manager wants the inventory.
    pub need_inventory: bool,
}

/// An answer that is no acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The contract's code, where the body has one.
    pub code: Option<String>,
    /// What the manager said, for people.
    pub message: String,
    /// Seconds of `Retry-After`, or of `retry_after_s` in the body.
    pub retry_after_s: Option<u64>,
}

/// What kept a request from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The name has no address.
    Dns,
    /// No connection, or it broke.
    Network,
    /// The certificate or the handshake was refused, by either side.
    Tls,
    /// No answer in time.
    Timeout,
    /// The answer is not what the contract says (too large, not JSON).
    Garbled,
    /// The request could not even be made here (a file, a key).
    Local,
}

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// What was tried and what was said, without any secret.
    pub said: String,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The heartbeat was accepted.
    Accepted(Reply),
    /// The manager answered otherwise.
    Refused(Refused),
    /// Nobody answered, or nothing that can be understood.
    Failed(Fault),
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
    /// This manager is of no use now.
    OutOfOrder,
}

impl Refused {
    /// What it means.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        let code = self.code.as_deref();
        match self.status {
            202 => Meaning::Pending,
            400 => Meaning::BadReport,
            401 => Meaning::Unauthenticated,
            403 => Meaning::Pending,
            404 => Meaning::UnknownAgent,
            409 => Meaning::Duplicate,
            410 if code == Some("agent_deleted") => Meaning::Deleted,
            413 => Meaning::TooLarge,
            426 => Meaning::UpgradeRequired,
            429 => Meaning::RateLimited,
            _ => Meaning::OutOfOrder,
        }
    }

    /// `Retry-After` in milliseconds, capped; at least a second.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_s.map(|s| s.clamp(1, RETRY_AFTER_MAX_S) * 1000)
    }

    /// The answer in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let code = self.code.as_deref().unwrap_or("no code");
        let message: String = self.message.chars().filter(|c| !c.is_control()).take(400).collect();
        let message = if message.is_empty() { "no message".to_owned() } else { message };
        format!("answered HTTP {} ({code}): {message}", self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Refused {
        Refused { status, code: code.map(str::to_owned), message: String::new(), retry_after_s: None }
    }

    #[test]
    fn the_table_of_the_contract() {
        let rows = [
            (200, Some("internal"), Meaning::OutOfOrder),
            (202, None, Meaning::Pending),
            (302, None, Meaning::OutOfOrder),
            (400, Some("bad_request"), Meaning::BadReport),
            (401, Some("invalid_token"), Meaning::Unauthenticated),
            (401, Some("token_expired"), Meaning::Unauthenticated),
            (403, Some("not_approved"), Meaning::Pending),
            (404, Some("unknown_agent"), Meaning::UnknownAgent),
            (409, Some("duplicate_agent"), Meaning::Duplicate),
            (409, Some("enrol_used"), Meaning::Duplicate),
            (409, Some("conflict"), Meaning::Duplicate),
            (410, Some("agent_deleted"), Meaning::Deleted),
            (410, None, Meaning::OutOfOrder),
            (413, Some("too_large"), Meaning::TooLarge),
            (426, Some("upgrade_required"), Meaning::UpgradeRequired),
            (429, Some("rate_limited"), Meaning::RateLimited),
            (500, Some("internal"), Meaning::OutOfOrder),
            (502, None, Meaning::OutOfOrder),
            (503, Some("manager_disabled"), Meaning::OutOfOrder),
            (504, None, Meaning::OutOfOrder),
        ];
        for (status, code, meaning) in rows {
            assert_eq!(refused(status, code).meaning(), meaning, "{status} {code:?}");
        }
    }

    #[test]
    fn retry_after_is_capped() {
        let after = |s| Refused { retry_after_s: Some(s), ..refused(429, None) }.retry_after_ms();
        assert_eq!([after(0), after(7), after(9999)], [Some(1000), Some(7000), Some(300_000)]);
    }

    #[test]
    fn words_hold_no_control_characters_and_are_bounded() {
        let long = Refused { message: "x\n\u{1b}[31m".repeat(1000), ..refused(500, None) };
        assert!(long.words().len() < 450 && !long.words().contains('\n') && !long.words().contains('\u{1b}'));
    }
}
