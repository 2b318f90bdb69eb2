//! What to do with a journal entry that is found when the daemon starts.

use super::journal::{Entry, Phase};
use crate::time::BootMillis;
use serde::{Deserialize, Serialize};

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtStart {
    /// It is of an earlier boot: the kernel has forgotten every override and binding, so that nothing is left to undo.
    Forget,
    /// Restore what was observed before it.
    Restore,
    /// The GPU is given away and stays so.
    Keep,
    /// The GPU is given away, and has to be confirmed by then.
    Await(BootMillis),
}

/// Decides it.
#[must_use]
pub fn at_start(entry: &Entry, boot_id: &str) -> AtStart {
    if entry.boot_id != boot_id {
        return AtStart::Forget;
    }
    match entry.phase {
        Phase::Open | Phase::Quarantined { .. } => AtStart::Restore,
        Phase::Standing => AtStart::Keep,
        Phase::Unconfirmed { until } => AtStart::Await(until),
    }
}
