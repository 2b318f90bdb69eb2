//! The record as it is kept on disk: one JSON document with its schema's number.

use super::{CARDS_MAX, Known, Roster};
use serde::{Deserialize, Serialize};

/// Number of the form that is written.
pub const SCHEMA: u32 = 1;
/// A record larger than this is none of ours.
pub const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;

/// The record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is damaged.
    #[error("it is not a record of GPUs: {0}")]
    Damaged(String),
    /// A later version wrote it.
    #[error("its schema is {found}, and this version knows {SCHEMA}: a later version of gpuhostd wrote it")]
    Later {
        /// The number that it has.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Head {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    gpus: Vec<Known>,
}

/// The record as bytes.
///
/// # Errors
/// It cannot be written as JSON.
pub fn encode(roster: &Roster) -> Result<Vec<u8>, RecordError> {
    let document = Document { schema: SCHEMA, gpus: roster.known.clone() };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| RecordError::Damaged(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record out of bytes.
///
/// # Errors
/// It is damaged, or a later version's.
pub fn decode(bytes: &[u8]) -> Result<Roster, RecordError> {
    let damaged = |error: serde_json::Error| RecordError::Damaged(error.to_string());
    let Head { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema > SCHEMA {
        return Err(RecordError::Later { found: schema });
    }
    let mut document: Document = serde_json::from_slice(bytes).map_err(damaged)?;
    document.gpus.truncate(CARDS_MAX);
    Ok(Roster { known: document.gpus })
}
