//! One event as it is kept, shown and delivered: an occurrence with its number, its id, its time and its boot.

use super::occurrence::Occurrence;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEvent {
    /// Unique: an event that is delivered twice has the same id.
    pub id: String,
    /// Rises from event to event, over restarts of the daemon too.
    pub seq: u64,
    /// When it was seen, on the wall clock.
    pub time: UnixMillis,
    /// The boot in which it was seen; empty where that is not known.
    pub boot_id: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Occurrence,
}
