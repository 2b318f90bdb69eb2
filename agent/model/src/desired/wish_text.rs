//! One entry of a list of a document as its text: it is read when its turn comes, since a tree is many times as large.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Largest entry that is read, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// An entry, in JSON.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WishText(String);

/// An entry that is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadWish {
    /// It is too long.
    #[error("it has {0} bytes with its environment, ports and volumes, and {MOST_BYTES} is the most")]
    TooLong(usize),
    /// It is not JSON, which the reader of the document had found.
    #[error("it is not JSON")]
    NotJson,
}

impl WishText {
    /// This text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a tree.
    ///
    /// # Errors
    /// It is too long for one.
    pub fn value(&self) -> Result<Value, UnreadWish> {
        if self.0.len() > MOST_BYTES {
            return Err(UnreadWish::TooLong(self.0.len()));
        }
        serde_json::from_str(&self.0).map_err(|_| UnreadWish::NotJson)
    }
}

impl From<&Value> for WishText {
    fn from(value: &Value) -> Self {
        Self(value.to_string())
    }
}

/// It can hold a secret.
impl fmt::Debug for WishText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WishText({} bytes)", self.0.len())
    }
}
