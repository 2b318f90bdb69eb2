//! What a job object shows.

use super::absent::{Absent, HasAbsent};
use model::blocker::Blocker;
use serde::{Deserialize, Serialize};

/// [`JobView::state`] of a job that has ended.
pub const FINISHED: &str = "finished";
/// [`JobView::result`] of a job that did what it was asked.
pub const DONE: &str = "done";
/// [`JobView::result`] of a job that did not.
pub const FAILED: &str = "failed";

/// One thing that prevents a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlockerView {
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl From<&Blocker> for BlockerView {
    fn from(blocker: &Blocker) -> Self {
        Self { code: blocker.code().to_owned(), message: blocker.to_string(), remedy: blocker.remedy() }
    }
}

/// All properties of `org.gpuhost.Agent1.Job`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobView {
    /// Object path.
    pub path: String,
    /// Number; never used twice in one run of the daemon.
    pub id: u32,
    /// What it does (`rescan`).
    pub operation: String,
    /// PCI address of the GPU that it is about, where it is about one; an older daemon does not say it.
    #[serde(default)]
    pub gpu: Option<String>,
    /// Only the plan was asked for: it changes nothing; an older daemon does not say it.
    #[serde(default)]
    pub dry_run: bool,
    /// `queued`, `running` or `finished`.
    pub state: String,
    /// `done` or `failed`, once it has ended.
    pub result: Option<String>,
    /// Stable refusal code and the message for people, where it failed.
    pub error: Option<(String, String)>,
    /// All that prevents it, where the change of a GPU was refused for that; an older daemon does not say it.
    #[serde(default)]
    pub blockers: Vec<BlockerView>,
    /// 0.0 to 1.0.
    pub progress: Option<f64>,
    /// What it is doing now.
    pub current_step: String,
    /// The steps of the plan, as sentences.
    pub plan: Vec<String>,
    /// What is worth knowing of the change and prevents nothing, in words; an older daemon does not say it.
    #[serde(default)]
    pub cautions: Vec<String>,
    /// What is worth knowing of how it ended, in words; an older daemon does not say it.
    #[serde(default)]
    pub remark: String,
    /// Numeric user id of who asked, where it was a local user.
    pub started_by_uid: Option<u32>,
    /// `bus`, `manager` or `reconciler`.
    pub started_by: String,
    /// When it was requested, in milliseconds since 1970-01-01 UTC.
    pub started_at: Option<u64>,
    /// It can be cancelled.
    pub cancelable: bool,
    /// Properties that have no value now, with the reason.
    pub absent: Absent,
}

impl HasAbsent for JobView {
    fn absent(&self) -> &Absent {
        &self.absent
    }
}
