//! The health of a GPU: what the kernel log and the driver say against it, each reason with its code and its remedy.

mod address;
mod against;
pub mod apei;
mod bus_ranges;
mod context;
pub mod device_fault;
pub mod driver_report;
pub mod facts;
mod forms;
pub mod gpu_health;
pub mod health_page;
pub mod kernel_log;
pub(crate) mod lanes;
pub mod line;
pub(crate) mod link;
pub mod log_event;
pub mod log_file;
pub mod over;
mod plain;
pub mod record;
pub mod recovery;
pub mod show;
mod words;
pub mod xid;

use crate::time::{BootMillis, UnixMillis};
use serde::{Deserialize, Serialize};

/// How well a GPU is. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Nobody who could know was heard.
    #[default]
    Unknown,
    /// Anyone who was heard reports nothing against it.
    Ok,
    /// It works, and something is wrong with it.
    Degraded,
    /// It cannot be relied on until it was reset, repaired or replaced.
    Failed,
}

impl HealthState {
    /// As it is in JSON and on D-Bus.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// One thing that speaks against a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReason {
    /// Stable code: `xid_79`, `ecc_uncorrected`, `row_remap_pending`, …
    pub code: String,
    /// How much it weighs: degraded or failed.
    pub state: HealthState,
    /// What was seen, in a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when it has stood, on the wall clock.
    pub since: UnixMillis,
    /// Who shows it.
    #[serde(skip)]
    pub told_by: Teller,
}

/// Who speaks against a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Teller {
    /// The kernel log.
    #[default]
    KernelLog,
    /// Its driver (NVML, nvidia-smi, sensors).
    Driver,
    /// Its configuration space.
    Bus,
}

/// The health of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GpuHealth {
    /// The gravest of the reasons; without any, whether anybody could have given one.
    pub state: HealthState,
    /// What speaks against it, the gravest first, each code once.
    pub reasons: Vec<HealthReason>,
    /// Number of its last Xid in the kernel log.
    pub xid_last: Option<u32>,
    /// When the GPU last answered whom.
    #[serde(skip)]
    pub answered: Answered,
}

/// When a GPU last answered; what was asked earlier is no answer to a later fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// Its driver gave values of it, and was asked at this instant.
    pub driver: Option<BootMillis>,
    /// Those values were measured ones, so that the GPU is at work.
    pub at_work: Option<BootMillis>,
    /// Its configuration space was read, at this instant.
    pub bus: Option<BootMillis>,
}

impl GpuHealth {
    /// The codes of the reasons.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        self.reasons.iter().map(|reason| reason.code.clone()).collect()
    }

    /// State and codes: what of it is news.
    #[must_use]
    pub fn gist(&self) -> (HealthState, Vec<String>) {
        (self.state, self.codes())
    }
}
