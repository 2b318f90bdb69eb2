//! What is shown of the readiness call, and what is recorded of it.

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How far the readiness call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessState {
    /// It is not configured.
    #[default]
    Off,
    /// A gate is not met yet.
    Waiting,
    /// All gates are met, and no call has been accepted yet.
    Reporting,
    /// A call was accepted in this boot.
    Reported,
    /// It was refused, or given up.
    Failed,
}

impl ReadinessState {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Reporting => "reporting",
            Self::Reported => "reported",
            Self::Failed => "failed",
        }
    }
}

/// How far the readiness call is, for everybody. No token is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadinessStatus {
    /// How far it is.
    pub state: ReadinessState,
    /// The gates that are not met, or why a call failed; `None` where there is nothing to add.
    pub detail: Option<String>,
}

/// That a call was accepted, as it is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessRecord {
    /// The form of the file.
    pub schema: u32,
    /// The boot in which it was accepted.
    pub boot_id: String,
    /// When.
    pub accepted_at: UnixMillis,
}

impl ReadinessRecord {
    /// The form of the file that this version writes.
    pub const SCHEMA: u32 = 1;

    /// It was accepted in this boot.
    #[must_use]
    pub fn of(boot_id: &str, accepted_at: UnixMillis) -> Self {
        Self { schema: Self::SCHEMA, boot_id: boot_id.to_owned(), accepted_at }
    }

    /// What a file has; `None` where it is damaged, which costs one more call and nothing else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|record: &Self| record.schema == Self::SCHEMA)
    }
}
