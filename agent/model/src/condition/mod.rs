//! Conditions: standing statements about the host that a person or a manager should know.

mod changes;

pub use changes::{Changes, ConditionLine, ConditionNow};

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be reported.
    Unknown,
}

/// One standing statement (type, status, reason, message, since).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Stable type in snake_case, as `docker_unavailable`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Stable reason code in snake_case.
    pub reason: String,
    /// For people: the thing, what was tried, what the host reported, what to do next.
    pub message: String,
    /// Since when it has had this status.
    pub since: UnixMillis,
}
