//! What is wished of this host now, by whom, and what was refused: published by the keeper of the documents, read by everybody.

use super::desired_document::DesiredDocument;
use super::desired_sections::DesiredSections;
use super::epoch::{DocumentId, Epoch};
use crate::time::UnixMillis;

/// The desired state of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredState {
    /// The manager's document.
    pub manager: InForceDocument,
    /// The last document of the manager that was refused, until one is accepted.
    pub refused: Option<DocumentRefusal>,
    /// Epochs that were left, the newest last.
    pub epochs_left: Vec<Epoch>,
    /// What the files of this host wish.
    pub local: LocalDocuments,
}

/// The document of the manager that counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InForceDocument {
    /// There has never been one for this identity: nothing is wished, which is not the wish for nothing.
    #[default]
    None,
    /// This one. It is on disk.
    InForce(Box<DesiredDocument>),
    /// There is one on disk, and it cannot be read: nothing is reconciled and nothing undone.
    Unreadable {
        /// The file, what is wrong with it, and the cure.
        why: String,
    },
}

impl InForceDocument {
    /// The document that is in force.
    #[must_use]
    pub fn document(&self) -> Option<&DesiredDocument> {
        match self {
            Self::InForce(document) => Some(document),
            Self::None | Self::Unreadable { .. } => None,
        }
    }
}

/// A document that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRefusal {
    /// Stable code, which is also the type of the condition: `document_invalid`, `stale_revision`, …
    pub code: &'static str,
    /// Which document, where that much could be read.
    pub id: Option<DocumentId>,
    /// What is wrong with it and what to do.
    pub message: String,
    /// Since when.
    pub since: UnixMillis,
}

/// What the files of this host wish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalDocuments {
    /// The last set of files that was right, laid over each other.
    pub wishes: DesiredSections,
    /// The files, in the order in which they were read.
    pub files: Vec<String>,
    /// What is wrong with the newest set; then the wishes are those of the last one that was right.
    pub faults: Vec<FileFault>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// Its path, with the line where there is one.
    pub place: String,
    /// The field and what is wrong with it.
    pub message: String,
}
