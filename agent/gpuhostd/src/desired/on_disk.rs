//! What the ledger holds, and what of it counts for an identity.

use model::desired::{DesiredDocument, InForceDocument, Ledger};
use model::ports::LedgerError;
use wire::manager::desired::read;

/// What the ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// There has never been a document.
    Nothing,
    /// A document.
    Kept(Box<Kept>),
    /// Something that cannot be read.
    Unreadable {
        /// The file, and what is wrong with it.
        why: String,
    },
}

/// A document on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// As it is written.
    pub(super) ledger: Ledger,
    /// The same document after it was read.
    pub(super) document: DesiredDocument,
}

impl OnDisk {
    /// Takes what was read from this place. Nothing is guessed: whatever is not wholly right is unreadable.
    pub(super) fn read(place: &str, found: Result<Option<Vec<u8>>, LedgerError>) -> Self {
        let bytes = match found {
            Ok(None) => return Self::Nothing,
            Ok(Some(bytes)) => bytes,
            Err(fault) => return Self::Unreadable { why: fault.to_string() },
        };
        let ledger = match Ledger::decode(&bytes) {
            Ok(ledger) => ledger,
            Err(damage) => return Self::Unreadable { why: format!("{place}: {damage}") },
        };
        match read(ledger.document.as_bytes()) {
            Ok(document) => Self::Kept(Box::new(Kept { ledger, document })),
            Err(fault) => Self::Unreadable { why: format!("{place}: its document cannot be read: {fault}") },
        }
    }

    /// What is kept for this identity.
    pub(super) fn kept_for(&self, server_id: &str) -> Option<&Kept> {
        match self {
            Self::Kept(kept) if kept.ledger.server_id == server_id => Some(kept),
            Self::Kept(_) | Self::Nothing | Self::Unreadable { .. } => None,
        }
    }

    /// What is in force for a host with this identity; without one nothing of a manager is.
    pub(super) fn in_force(&self, place: &str, server_id: Option<&str>) -> InForceDocument {
        let Some(server_id) = server_id else { return InForceDocument::None };
        let next = "nothing is undone; the manager is asked for the whole document, and when one is accepted this one is kept \
                    beside it";
        match self {
            Self::Nothing => InForceDocument::None,
            Self::Kept(kept) if kept.ledger.server_id == server_id => {
                InForceDocument::InForce(Box::new(kept.document.clone()))
            }
            Self::Kept(kept) => InForceDocument::Unreadable {
                why: format!(
                    "{place}: it is of another identity ({}, and this host is {server_id}) and is not applied; {next}; where \
                     this manager sends none, remove the file and run `systemctl reload gpuhostd`",
                    model::printable::printable(&kept.ledger.server_id, 64)
                ),
            },
            Self::Unreadable { why } => InForceDocument::Unreadable {
                why: format!(
                    "{why}; {next}; to use it again instead, correct the file or restore it from a backup and run \
                     `systemctl reload gpuhostd`"
                ),
            },
        }
    }

    /// The next write would lose something that nobody has read for this identity.
    pub(super) fn is_foreign_to(&self, server_id: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Kept(kept) => kept.ledger.server_id != server_id,
            Self::Unreadable { .. } => true,
        }
    }
}
