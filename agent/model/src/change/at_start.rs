//! What to do with a journal entry that is found when the daemon starts.

use super::entry::{Entry, Phase};
use crate::plan::Target;
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
    /// It is done, and has to be confirmed by then.
    Await(BootMillis),
    /// A change of MIG was confirmed: what is left is to write down whose the instances are, and to remove the entry.
    Close,
}

impl AtStart {
    /// What is done, for the journal.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Forget => "it is from an earlier boot and is removed",
            Self::Restore => "the change was interrupted and is undone",
            Self::Keep => "the GPU stays bound for a virtual machine",
            Self::Await(_) => "it is undone unless it is confirmed",
            Self::Close => "it was confirmed, and the entry is closed",
        }
    }
}

/// The name of a boot whose own could not be read.
pub const UNKNOWN_BOOT: &str = "unknown";

/// Decides it. Only two boots that are both known to be different are two: where one has no name, what is open is undone from a
/// fresh look, which finds nothing to do after a reboot, while forgetting it would leave a host in between.
#[must_use]
pub fn at_start(entry: &Entry, boot_id: &str) -> AtStart {
    // Whose the instances are counts in every later boot.
    if entry.phase == Phase::Standing && matches!(entry.plan.bounds.target, Target::Mig(_)) {
        return AtStart::Close;
    }
    let is_known = |boot: &str| boot != UNKNOWN_BOOT;
    if entry.boot_id != boot_id && is_known(&entry.boot_id) && is_known(boot_id) {
        return AtStart::Forget;
    }
    match entry.phase {
        Phase::Open | Phase::Quarantined { .. } => AtStart::Restore,
        Phase::Standing => AtStart::Keep,
        Phase::Unconfirmed { until } => AtStart::Await(until),
    }
}
