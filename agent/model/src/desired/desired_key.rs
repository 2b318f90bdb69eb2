//! One key of a document: absent, the local default, a value, or none of this version.

use serde::{Deserialize, Serialize};

/// One key of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired<T> {
    /// It is not there: it stays as it is.
    #[default]
    Absent,
    /// `null`: as the files of this host have it.
    LocalDefault,
    /// This.
    Value(T),
    /// A value that this version does not know or that is out of range, in words for people: this item alone is refused.
    Unsupported(String),
}

impl<T> Desired<T> {
    /// The key is there.
    #[must_use]
    pub const fn is_said(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}
