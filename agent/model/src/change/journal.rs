//! A journal entry: what is on disk of a change before its first effect, so that whoever comes after a crash can undo it.

use super::id::{ChangeId, name_of};
use super::schema_1::EntryOfSchema1;
use crate::ids::JobId;
use crate::plan::{Former, Plan, Subject};
use crate::policy::Act;
use crate::time::{BootMillis, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Version of the document. Each version ever shipped has a golden copy in the tests, and can be read for ever.
pub const JOURNAL_SCHEMA: u32 = 2;

/// How far a change is.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Steps may have been taken. After a crash: restore.
    Open,
    /// The GPU is given away, and is taken back unless somebody confirms it in time.
    Unconfirmed {
        /// On CLOCK_BOOTTIME of the boot of the entry.
        until: BootMillis,
    },
    /// The GPU is given away. This is the record of what it comes back to.
    Standing,
    /// It could not be undone.
    Quarantined {
        /// What happened.
        why: String,
    },
}

/// What the journal holds after a change that is done.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDone {
    /// The entry stands: it is the record of the way back.
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
    /// What each operation leaves. Schema 1 did not write it down: there the operation says it.
    #[must_use]
    pub const fn of(operation: Act) -> Self {
        match operation {
            Act::PassthroughBind => Self {
                on_done: OnDone::Stand,
                on_restored: OnRestored::Forget,
                on_commit_failure: OnCommitFailure::Undo,
            },
            Act::PassthroughRelease => Self {
                on_done: OnDone::Forget,
                on_restored: OnRestored::StandAgain(Act::PassthroughBind),
                on_commit_failure: OnCommitFailure::Accept,
            },
        }
    }
}

/// One document of the journal.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which change.
    pub id: ChangeId,
    /// What is being done.
    pub operation: Act,
    /// The job that does it.
    pub job: JobId,
    /// User id of the requester, if it was a local user.
    pub actor_uid: Option<u32>,
    /// When it began, on the wall clock: for people.
    pub began_at: UnixMillis,
    /// The boot in which it began, or [`super::UNKNOWN_BOOT`]: another boot has forgotten every override and binding.
    pub boot_id: String,
    /// What is to be done.
    pub plan: Plan,
    /// What was observed before the first step. Restoring plans from what is then to this.
    pub before: Former,
    /// What was observed before the GPU was given away: a release goes back to it. The same as `before` for a binding.
    pub home: Former,
    /// `confirm-within` of the binding, in milliseconds.
    pub confirm_within_ms: Option<u64>,
    /// What remains of it in the journal.
    pub aftermath: Aftermath,
    /// How far it is.
    pub phase: Phase,
}

impl Entry {
    /// Name of its document.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.id, &self.plan.bounds.lanes)
    }

    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        self.plan.bounds.subject
    }

    /// The GPU is given away, confirmed or not.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        matches!(self.phase, Phase::Standing | Phase::Unconfirmed { .. })
    }

    /// When it is undone unless somebody confirms before that the GPU is given away.
    #[must_use]
    pub const fn unconfirmed_until(&self) -> Option<BootMillis> {
        match self.phase {
            Phase::Unconfirmed { until } => Some(until),
            Phase::Open | Phase::Standing | Phase::Quarantined { .. } => None,
        }
    }

    /// The same entry in another phase.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self { phase, ..self.clone() }
    }

    /// The record that stood before this change, made by that operation: what the entry becomes where the change was undone.
    #[must_use]
    pub fn standing_again(&self, operation: Act) -> Self {
        Self {
            operation,
            before: self.home.clone(),
            aftermath: Aftermath::of(operation),
            phase: Phase::Standing,
            ..self.clone()
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    entry: serde_json::Value,
}

/// A document that is no entry. It is left where it is, and told.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// It is no JSON of ours.
    #[error("{name} is not a journal entry")]
    Garbled {
        /// The document.
        name: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A later version of the daemon wrote it.
    #[error(
        "{name} has schema {schema}, and this version knows up to {JOURNAL_SCHEMA}: install the version that wrote it"
    )]
    TooNew {
        /// The document.
        name: String,
        /// Its schema.
        schema: u32,
    },
    /// It would touch what is not in its bounds.
    #[error("{name}: the plan leaves its bounds")]
    LeavesBounds {
        /// The document.
        name: String,
    },
}

/// The document of an entry.
///
/// # Errors
/// Never for an entry made by us; serde cannot say so.
pub fn encode(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let document = Document { schema: JOURNAL_SCHEMA, entry: serde_json::to_value(entry)? };
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The entry in a document. What would write outside its own bounds is refused: a file on disk is input.
///
/// # Errors
/// What is wrong with it.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Entry, BadEntry> {
    let garbled = |source| BadEntry::Garbled { name: name.to_owned(), source };
    let document: Document = serde_json::from_slice(bytes).map_err(garbled)?;
    if document.schema > JOURNAL_SCHEMA {
        return Err(BadEntry::TooNew { name: name.to_owned(), schema: document.schema });
    }
    let entry: Entry = match document.schema {
        0 | 1 => serde_json::from_value::<EntryOfSchema1>(document.entry).map_err(garbled)?.into(),
        _ => serde_json::from_value(document.entry).map_err(garbled)?,
    };
    let (plan, target) = (&entry.plan, &entry.plan.bounds.target);
    let has_own_name = match entry.id {
        ChangeId::Number(_) => true,
        ChangeId::Lane(lane) => plan.bounds.lanes == BTreeSet::from([lane]),
    };
    if !has_own_name || !plan.stays_in_bounds() || !entry.before.stays_in(target) || !entry.home.stays_in(target) {
        return Err(BadEntry::LeavesBounds { name: name.to_owned() });
    }
    Ok(entry)
}
