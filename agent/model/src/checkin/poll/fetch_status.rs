//! How documents of the desired state reach this host, as it is shown.

use crate::desired::DocumentId;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How documents reach this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DesiredFetch {
    /// No heartbeat has been accepted, or the manager has not been asked for its features yet.
    #[default]
    None,
    /// A request waits at the manager for the next document.
    LongPoll,
    /// The replies to heartbeats name the newest document, which is fetched where it is another one.
    Hint,
    /// The replies to heartbeats carry the document.
    Embedded,
    /// The manager is asked every 30 s.
    Interval,
    /// The manager does not have the path; it is asked again after an hour.
    Off,
}

impl DesiredFetch {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What the check-in shows of it. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FetchStatus {
    /// How documents reach this host now.
    pub way: DesiredFetch,
    /// The newest document by the last accepted reply; `None` where the manager names none.
    pub newest: Option<DocumentId>,
    /// Until when the manager is not asked, because it does not have the path.
    pub off_until: Option<UnixMillis>,
    /// Why the last request was of no use; `None` where it was.
    pub last_error: Option<String>,
}
