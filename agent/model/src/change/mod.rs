//! Changes of the host: what the journal holds of each, how it can end, and the machine that takes it from plan to end.

mod aftermath;
mod at_start;
mod entry;
mod found;
mod id;
mod journal_document;
mod machine;
mod request;
mod schema_1;

pub use aftermath::{Aftermath, OnCommitFailure, OnDone, OnRestored};
pub use at_start::{AtStart, UNKNOWN_BOOT, at_start};
pub use entry::{Entry, Phase};
pub use found::{JournalContents, Unread, listed, sort_out};
pub use id::{ChangeId, Held, name_of};
pub use journal_document::{BadJournalEntry, JOURNAL_SCHEMA, decode, encode};
pub use machine::{ChangeMachine, Effect, Event, FailureCause, RESTORE_ATTEMPTS};
pub use request::{Bind, Change, ChangeFacts, PlannedChange};

use serde::{Deserialize, Serialize};

/// How a change ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A fresh look shows what was wanted.
    Done,
    /// Nothing was touched.
    Untouched(FailureCause),
    /// It failed, and a fresh look shows what was observed before it.
    Restored(FailureCause),
    /// It failed and could not be undone, or hangs in the kernel: the journal keeps it, and its lane stays taken.
    Quarantined(FailureCause),
}
