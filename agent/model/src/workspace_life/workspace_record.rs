//! What is kept on disk of workspaces: those that people have asked for on this host, and the volumes that are to go. One JSON
//! document of a numbered schema.

use crate::desired::WishText;
use crate::workspace::{DesiredRun, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The schema that this version writes.
const SCHEMA: u64 = 1;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspacesRecord {
    /// Workspaces that people have asked for on this host.
    pub local: BTreeMap<WorkspaceId, LocalWorkspace>,
    /// Volumes of workspaces that were deleted: they go as soon as no container has them.
    pub doomed_volumes: BTreeSet<String>,
    /// An earlier record was lost: what people had asked for on this host before is not known, and nothing of it is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lost: bool,
}

/// A workspace that somebody has asked for on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalWorkspace {
    /// As in a document.
    pub wish: WishText,
    /// What is wanted of it now, whatever the document has.
    pub desired: DesiredRun,
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkspacesRecord {
    /// It is not what any version writes.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Another version wrote it.
    #[error("it has schema {0}, and this version knows {SCHEMA}: install the version that wrote it")]
    Schema(u64),
}

#[derive(Deserialize)]
struct Head {
    schema: u64,
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: u64,
    workspaces: WorkspacesRecord,
}

impl WorkspacesRecord {
    /// As it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let file = File { schema: SCHEMA, workspaces: self.clone() };
        // Maps with texts as keys can always be written.
        let mut bytes = serde_json::to_vec(&file).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// What is wrong; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadWorkspacesRecord> {
        let damaged = |fault: serde_json::Error| BadWorkspacesRecord::Damaged(fault.to_string());
        let Head { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
        if schema != SCHEMA {
            return Err(BadWorkspacesRecord::Schema(schema));
        }
        serde_json::from_slice::<File>(bytes).map(|file| file.workspaces).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As schema 1 is written, for as long as this schema is read.
    const GOLDEN: &str = "{\"schema\":1,\"workspaces\":{\"local\":{\"w1\":{\"wish\":\"{\\\"workspace_id\\\":\\\"w1\\\"}\",\
                          \"desired\":\"stopped\"}},\"doomed_volumes\":[\"gpuhost-home\"]}}\n";

    fn record() -> WorkspacesRecord {
        let one = LocalWorkspace { wish: WishText::new("{\"workspace_id\":\"w1\"}"), desired: DesiredRun::Stopped };
        WorkspacesRecord {
            local: BTreeMap::from([("w1".parse().unwrap(), one)]),
            doomed_volumes: BTreeSet::from(["gpuhost-home".to_owned()]),
            is_lost: false,
        }
    }

    #[test]
    fn schema_1_is_written_and_read_as_ever() {
        assert_eq!(String::from_utf8(record().encode()).unwrap(), GOLDEN);
        assert_eq!(WorkspacesRecord::decode(GOLDEN.as_bytes()), Ok(record()));
    }

    #[test]
    fn a_record_that_is_cut_or_of_another_schema_is_none() {
        for end in 0..GOLDEN.trim_end().len() {
            assert!(WorkspacesRecord::decode(&GOLDEN.as_bytes()[..end]).is_err(), "cut after {end} bytes");
        }
        let other = GOLDEN.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(WorkspacesRecord::decode(other.as_bytes()), Err(BadWorkspacesRecord::Schema(2)));
    }
}
