//! What can be done to Docker's configuration.

use super::docker_restart::DockerRestart;
use crate::daemon_json::RuntimeEntry;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is done. A write names the file that the look showed (SHA-256; `None` = there was none): where it has changed since,
/// nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerConfigStep {
    /// Put the runtime into the file.
    PutRuntime {
        /// Which one.
        entry: RuntimeEntry,
        /// The file as it was seen.
        sha256: Option<String>,
    },
    /// Take the runtime out of the file.
    TakeRuntime {
        /// Which one: another entry of that name is left alone.
        entry: RuntimeEntry,
        /// The file as it was seen.
        sha256: Option<String>,
    },
    /// Have Docker read its file again. Containers do not notice.
    Reload,
    /// Put `features.cdi` into the file.
    PutCdi {
        /// The file as it was seen.
        sha256: String,
    },
    /// Take `features.cdi` out of the file.
    TakeCdi {
        /// The file as it was seen.
        sha256: String,
    },
    /// Restart Docker, if the hand finds in a look of its own that no container would end with it. Where Docker does not start again,
    /// `features.cdi` is taken out and Docker is started once more.
    Restart {
        /// How far that may go; the policy of the hand bounds it.
        allowed: DockerRestart,
    },
}

impl fmt::Display for DockerConfigStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutRuntime { entry, .. } => {
                write!(f, "add the runtime {} ({}) to Docker's configuration", entry.name, entry.path())
            }
            Self::TakeRuntime { entry, .. } => {
                write!(f, "remove the runtime {} from Docker's configuration", entry.name)
            }
            Self::Reload => f.write_str("reload Docker's configuration"),
            Self::PutCdi { .. } => f.write_str("enable CDI in Docker's configuration"),
            Self::TakeCdi { .. } => f.write_str("remove `features.cdi` from Docker's configuration"),
            Self::Restart { .. } => f.write_str("restart Docker, which takes up CDI at a restart only"),
        }
    }
}
