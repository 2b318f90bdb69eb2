//! What a change leaves in the journal, as data, so that the machine of a change has to know no kind of change.

use crate::policy::Act;
use serde::{Deserialize, Serialize};

/// What the journal holds after a change that is done.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDone {
    /// The entry stays: it is the record of the way back.
    Stand,
    /// Nothing: there is no way back to be remembered.
    Forget,
}

/// What the journal holds after a change that was undone, or was never begun.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRestored {
    /// Nothing, as before the change.
    Forget,
    /// The record that stood before the change, which this operation made.
    StandAgain(Act),
}

/// What becomes of a change that is done and whose end could not be written to the journal.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCommitFailure {
    /// It is undone: without a record nobody would know the way back.
    Undo,
    /// It is done all the same: the next start finds the entry open, sees on the host that it is done, and closes it.
    Accept,
}

/// What a change leaves in the journal. It is data of the entry, so that the machine has to know no kind of change.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aftermath {
    /// After it is done.
    pub on_done: OnDone,
    /// After it was undone.
    pub on_restored: OnRestored,
    /// Where its end could not be written.
    pub on_commit_failure: OnCommitFailure,
}

impl Aftermath {
    /// Of a change of MIG that has to be confirmed: its entry is the record of the way back.
    pub const MIG_ON_TRIAL: Self =
        Self { on_done: OnDone::Stand, on_restored: OnRestored::Forget, on_commit_failure: OnCommitFailure::Undo };

    /// Of undoing a change of MIG that was not confirmed. Where that fails the change is on trial again.
    #[must_use]
    pub const fn of_taking_back(operation: Act) -> Self {
        Self {
            on_done: OnDone::Forget,
            on_restored: OnRestored::StandAgain(operation),
            on_commit_failure: OnCommitFailure::Accept,
        }
    }

    /// What each operation leaves. Schema 1 did not write it down: there the operation has it.
    #[must_use]
    pub const fn of(operation: Act) -> Self {
        match operation {
            Act::PassthroughBind => Self {
                on_done: OnDone::Stand,
                on_restored: OnRestored::Forget,
                on_commit_failure: OnCommitFailure::Undo,
            },
            // The next start finds an open entry, sees on the host that it is done, and closes it.
            Act::MigLayout | Act::MigMode => Self {
                on_done: OnDone::Forget,
                on_restored: OnRestored::Forget,
                on_commit_failure: OnCommitFailure::Accept,
            },
            Act::PassthroughRelease => Self {
                on_done: OnDone::Forget,
                on_restored: OnRestored::StandAgain(Act::PassthroughBind),
                on_commit_failure: OnCommitFailure::Accept,
            },
        }
    }
}
