//! The id of a workspace: the name that its manager, or this host, gave it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest id.
const LONGEST: usize = 128;

/// An id: letters, digits, `_`, `.` and `-`, which is what Docker allows in a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

/// A text that is no id of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of a workspace is of letters, digits, '_', '.' and '-', at most {LONGEST}")]
pub struct BadWorkspaceId;

impl WorkspaceId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkspaceId {
    type Err = BadWorkspaceId;

    fn from_str(text: &str) -> Result<Self, BadWorkspaceId> {
        let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let fits = (1..=LONGEST).contains(&text.len()) && text.chars().all(known);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadWorkspaceId) }
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = BadWorkspaceId;

    fn try_from(text: String) -> Result<Self, BadWorkspaceId> {
        text.parse()
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
