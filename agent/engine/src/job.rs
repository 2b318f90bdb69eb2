//! Jobs: every command is one, with its result readable after it has ended.

use crate::command::{Actor, Wished};
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use model::{JobId, PciAddress};
use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for its turn.
    Queued,
    /// At work.
    Running,
    /// Ended; see the result.
    Finished,
}

impl JobState {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
        }
    }
}

/// How a job ended that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// It was done.
    Done,
    /// There was nothing to do.
    AlreadySo,
    /// Only the plan was asked for, and it can be done.
    Planned,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Number, never used twice in one run of the daemon.
    pub id: JobId,
    /// What it does (`rescan`).
    pub operation: String,
    /// The GPU that it is about, where it is about one.
    #[serde(default)]
    pub gpu: Option<PciAddress>,
    /// Only the plan was asked for: it changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Its state.
    pub state: JobState,
    /// `None` until it has ended; then how, or why not.
    pub result: Option<Result<JobOutcome, Refusal>>,
    /// 0.0..=1.0, where it can be determined.
    pub progress: Option<f64>,
    /// The current step, as a sentence.
    pub current_step: String,
    /// The steps that it will take or took, in words.
    pub plan: Vec<String>,
    /// What is worth knowing of the change and prevents nothing, in words.
    #[serde(default)]
    pub cautions: Vec<String>,
    /// What is worth knowing of how it ended, in words; empty where there is nothing.
    #[serde(default)]
    pub remark: String,
    /// Who asked.
    pub started_by: Actor,
    /// Where in a desired state it comes from, where it does.
    #[serde(default)]
    pub wished: Option<Wished>,
    /// When it was asked for.
    pub started_at: UnixMillis,
    /// When it ended, on CLOCK_BOOTTIME: finished jobs linger for a while.
    pub ended_boot: Option<BootMillis>,
}

impl Job {
    /// What it does, of which GPU, and whether that is only planned: `passthrough-bind of 0000:41:00.0 (dry run)`.
    #[must_use]
    pub fn title(&self) -> String {
        let of = self.gpu.map(|gpu| format!(" of {gpu}")).unwrap_or_default();
        format!("{}{of}{}", self.operation, if self.dry_run { " (dry run)" } else { "" })
    }
}
