//! A journal entry: what is on disk of a change before its first effect, so that whoever comes after a crash can undo it.

use crate::ids::{JobId, PciAddress};
use crate::plan::{Lane, Plan, Settled};
use crate::policy::Operation;
use crate::time::{BootMillis, UnixMillis};
use serde::{Deserialize, Serialize};

/// Version of the document. Each version ever shipped has a golden copy in the tests, and can be read for ever.
pub const JOURNAL_SCHEMA: u32 = 1;

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

/// One document of the journal.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What is being done.
    pub operation: Operation,
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
    pub before: Vec<Settled>,
    /// What was observed before the GPU was given away: a release goes back to it. The same as `before` for a binding.
    pub home: Vec<Settled>,
    /// `confirm-within` of the binding, in milliseconds.
    pub confirm_within_ms: Option<u64>,
    /// How far it is.
    pub phase: Phase,
}

impl Entry {
    /// Name of its document: that of the lane, since a lane holds one change at a time.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.plan.scope.lane)
    }

    /// The GPU.
    #[must_use]
    pub const fn gpu(&self) -> PciAddress {
        self.plan.scope.gpu
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

    /// The record of the binding as it was before a release: what the entry becomes where the release was undone.
    #[must_use]
    pub fn given_again(&self) -> Self {
        Self {
            operation: Operation::PassthroughBind,
            before: self.home.clone(),
            phase: Phase::Standing,
            ..self.clone()
        }
    }
}

/// The name under which the entry of a lane is kept.
#[must_use]
pub fn name_of(lane: Lane) -> String {
    format!("{lane}.json")
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
    /// It would touch what is not in its scope.
    #[error("{name}: the plan goes beyond its scope")]
    LeavesScope {
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

/// The entry in a document. What would write outside its own scope is refused: a file on disk is input.
///
/// # Errors
/// What is wrong with it.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Entry, BadEntry> {
    let garbled = |source| BadEntry::Garbled { name: name.to_owned(), source };
    let document: Document = serde_json::from_slice(bytes).map_err(garbled)?;
    if document.schema > JOURNAL_SCHEMA {
        return Err(BadEntry::TooNew { name: name.to_owned(), schema: document.schema });
    }
    let entry: Entry = serde_json::from_value(document.entry).map_err(garbled)?;
    let inside = |settled: &Settled| entry.plan.scope.members.contains(&settled.address);
    if !entry.plan.stays_in_scope() || !entry.before.iter().chain(&entry.home).all(inside) {
        return Err(BadEntry::LeavesScope { name: name.to_owned() });
    }
    Ok(entry)
}
