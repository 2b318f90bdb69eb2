//! The document of a journal entry: its schema, how it is written, and how each schema is read.

use super::entry::Entry;
use super::id::ChangeId;
use super::schema_1::EntryOfSchema1;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Version of the document. Each version ever shipped has a golden copy in the tests, and can be read for ever.
pub const JOURNAL_SCHEMA: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    entry: serde_json::Value,
}

/// A document that is no entry. It is left where it is, and reported.
#[derive(Debug, thiserror::Error)]
pub enum BadJournalEntry {
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
pub fn decode(name: &str, bytes: &[u8]) -> Result<Entry, BadJournalEntry> {
    let garbled = |source| BadJournalEntry::Garbled { name: name.to_owned(), source };
    let document: Document = serde_json::from_slice(bytes).map_err(garbled)?;
    if document.schema > JOURNAL_SCHEMA {
        return Err(BadJournalEntry::TooNew { name: name.to_owned(), schema: document.schema });
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
        return Err(BadJournalEntry::LeavesBounds { name: name.to_owned() });
    }
    Ok(entry)
}
