//! Which document it is: the epoch that a manager began, and the revision in it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest epoch, in characters.
const EPOCH_MOST_CHARS: usize = 128;

/// The name of a sequence of revisions: 1 to 128 of `[A-Za-z0-9._:-]`. A manager that was restored from a backup begins another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(String);

/// A text that is no epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 1 to {EPOCH_MOST_CHARS} of the characters A-Z a-z 0-9 . _ : -")]
pub struct EpochError;

impl Epoch {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Epoch {
    type Error = EpochError;

    fn try_from(text: String) -> Result<Self, EpochError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let is_one = (1..=EPOCH_MOST_CHARS).contains(&text.len()) && text.bytes().all(fits);
        is_one.then_some(Self(text)).ok_or(EpochError)
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The number of a document in its epoch: 1 to 2^63 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Revision(u64);

/// A number that is no revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a revision is a whole number from 1 to 9223372036854775807")]
pub struct RevisionError;

impl TryFrom<u64> for Revision {
    type Error = RevisionError;

    fn try_from(number: u64) -> Result<Self, RevisionError> {
        let is_one = number >= 1 && i64::try_from(number).is_ok();
        is_one.then_some(Self(number)).ok_or(RevisionError)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Which document it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DocumentId {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number there.
    pub revision: Revision,
}

impl fmt::Display for DocumentId {
    /// `EPOCH.REVISION`, as it is between the quotes of `If-None-Match`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.epoch, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_a_short_word() {
        let most = "e".repeat(EPOCH_MOST_CHARS);
        for good in ["b0f4", "a.b_c:d-E9", &most] {
            assert_eq!(Epoch::try_from(good.to_owned()).map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", " ", "a b", "a\"", "ä", "a\n", "a/b", &format!("{most}e")] {
            assert_eq!(Epoch::try_from(bad.to_owned()), Err(EpochError), "{bad:?}");
        }
    }

    #[test]
    fn a_revision_is_a_positive_number_of_63_bits() {
        for (number, good) in [(0, false), (1, true), (u64::MAX >> 1, true), ((u64::MAX >> 1) + 1, false)] {
            assert_eq!(Revision::try_from(number).is_ok(), good, "{number}");
        }
        let id = DocumentId { epoch: Epoch("b0f4".to_owned()), revision: Revision(43) };
        assert_eq!(id.to_string(), "b0f4.43");
    }
}
