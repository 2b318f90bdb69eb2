//! What the host hand has its disposable child do with Docker's configuration file, and what the child answers.
//!
//! A write is two tasks, so that the running engine's own program can judge the draft between them.

use model::daemon_json::RuntimeEntry;
use model::docker_config::{DockerConfigSeen, WhyUnusable};
use serde::{Deserialize, Serialize};

/// What the child is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DockerTask {
    /// Finds the configuration file of a process that runs; answers with a [`DockerFound`].
    Look {
        /// The process that answers at Docker's socket.
        pid: u32,
        /// The runtime that is asked about.
        entry: RuntimeEntry,
        /// Whether this engine reads a byte order mark.
        reads_mark: bool,
    },
    /// Writes a draft beside the file; answers with a [`DockerDraft`]. The file itself stays as it is.
    Draft {
        /// The file, with its links resolved.
        file: String,
        /// SHA-256 of its bytes; `None` where there must be none.
        sha256: Option<String>,
        /// What the draft differs in.
        edit: DockerEdit,
        /// Whether this engine reads a byte order mark.
        reads_mark: bool,
        /// Docker was started with this file by name, and does not start without it.
        is_required: bool,
    },
    /// Puts the draft into the place of the file, or removes the file; answers nothing.
    Replace {
        /// The file.
        file: String,
        /// SHA-256 of its bytes; `None` where there must be none.
        sha256: Option<String>,
        /// SHA-256 of the draft; `None` = the file is removed.
        draft_sha256: Option<String>,
        /// What is there now is kept beside it.
        keeps_backup: bool,
    },
    /// Removes the draft; answers nothing.
    Discard {
        /// The file beside which it is.
        file: String,
    },
}

/// What is changed in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerEdit {
    /// Put the runtime in.
    Put(RuntimeEntry),
    /// Take it out, in one write or the next one of two (`daemon_json::take_out`).
    Take(RuntimeEntry),
    /// Put `features.cdi` in.
    PutCdi,
    /// Take it out.
    TakeCdi,
}

/// The configuration of a process, found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerFound {
    /// A Docker whose file can be edited.
    Daemon(DockerDaemon),
    /// It is left alone.
    Unusable(WhyUnusable),
}

/// A dockerd that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerDaemon {
    /// Its file. `unit` is the one that its control group names: whether it is the main process of it, the hand asks systemd.
    pub seen: DockerConfigSeen,
    /// Its program, as it was started: a path, or a name.
    pub program: String,
    /// Its other arguments.
    pub args: Vec<String>,
    /// The file is named by its arguments.
    pub is_required: bool,
    /// A write that was interrupted has left a draft beside the file.
    pub has_leftovers: bool,
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerDraft {
    /// The file is right as it is: there is no draft.
    Unchanged,
    /// The draft is on disk.
    Written {
        /// Its path.
        path: String,
        /// SHA-256 of its bytes.
        sha256: String,
    },
    /// The file is to be removed.
    NoFile,
}
