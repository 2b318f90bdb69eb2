//! Changes of the host: what the journal holds of each, how it can end, and the machine that takes it from plan to end.

mod at_start;
mod found;
mod id;
mod journal;
mod machine;
mod request;
mod schema_1;

pub use at_start::{AtStart, UNKNOWN_BOOT, at_start};
pub use found::{Found, Unread, listed, sort_out};
pub use id::{ChangeId, Held, name_of};
pub use journal::{
    Aftermath, BadEntry, Entry, JOURNAL_SCHEMA, OnCommitFailure, OnDone, OnRestored, Phase, decode, encode,
};
pub use machine::{Do, Happened, Machine, RESTORE_ATTEMPTS, Trouble};
pub use request::{Bind, Change, Facts, Planned};

use serde::{Deserialize, Serialize};

/// How a change ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A fresh look shows what was wanted.
    Done,
    /// Nothing was touched.
    Untouched(Trouble),
    /// It failed, and a fresh look shows what was observed before it.
    Restored(Trouble),
    /// It failed and could not be undone, or hangs in the kernel: the journal keeps it, and its lane stays taken.
    Quarantined(Trouble),
}
