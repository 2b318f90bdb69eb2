//! What a job object shows.

use super::absent::Absent;
use super::value::DictView;
use super::view::view;
use model::PciAddress;
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

impl DictView for BlockerView {}

impl BlockerView {
    /// The view of what prevents a change of this GPU.
    #[must_use]
    pub fn of(gpu: PciAddress, blocker: &Blocker) -> Self {
        Self { code: blocker.code().to_owned(), message: blocker.to_string(), remedy: blocker.remedy_for(gpu) }
    }
}

view! {
    /// All properties of `org.gpuhost.Agent1.Job`.
    pub struct JobView at JOB_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// Number of the job; never used twice in one run of the daemon.
        #[dbus(constant)]
        id: u32,
        /// What it does: rescan, enrol, leave, lock, unlock, passthrough-bind, passthrough-release, passthrough-confirm, mig-layout, mig-mode, mig-confirm, acknowledge-gone-gpu, accept-epoch, configure (settings of the desired state), workspace-create, workspace-start, workspace-stop, workspace-pause, workspace-delete, workspace-recreate, workspace-retry, workspaces-confirm-removals or workspaces-delete-staged. Treat an unknown one as a change of some kind.
        #[dbus(constant)]
        operation: String,
        /// PCI address of the GPU that it changes. Has no value if it changes none.
        #[dbus(constant)]
        gpu: Option<String>,
        /// Only the plan was requested: nothing is changed, and done means that the change is possible.
        #[serde(default)]
        #[dbus(constant)]
        dry_run: bool,
        /// queued, running or finished. A finished job stays readable for a while.
        state: String,
        /// done or failed. Has no value until the job has finished.
        result: Option<String>,
        /// Why it failed: the stable code (the last element of the D-Bus error name in snake_case), and the message. Has no value
        /// unless Result is failed.
        error: Option<(String, String)>,
        /// Everything that blocks a refused change of a GPU: Code (s), Message (s), Remedy (s, what to do about it). The first
        /// gives the Error.
        #[serde(default)]
        blockers: Vec<BlockerView>,
        /// 0.0 to 1.0.
        #[dbus(document)]
        progress: Option<f64>,
        /// The current step, as a sentence.
        current_step: String,
        /// The steps of the plan, as sentences.
        plan: Vec<String>,
        /// Warnings that do not prevent the change, as sentences: for example that an unhealthy GPU may hang its driver.
        #[serde(default)]
        cautions: Vec<String>,
        /// A note about the result, as a sentence: for example that the manager could not be notified of a leave. Empty until the
        /// job has finished, and if there is none.
        #[serde(default)]
        remark: String,
        /// User id of the requester, if it was a local user.
        #[dbus(constant)]
        started_by_uid: Option<u32>,
        /// bus, manager or reconciler.
        #[dbus(constant)]
        started_by: String,
        /// When it was requested, in milliseconds since 1970-01-01 UTC.
        #[dbus(constant)]
        started_at: Option<u64>,
        /// It can be cancelled. No job of this version can.
        cancelable: bool,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
    computed {
        /// From 0.0 to 1.0; only valid if ProgressValid.
        "Progress": f64 = |job| job.progress.unwrap_or(0.0),
        /// Progress is valid.
        "ProgressValid": bool = |job| job.progress.is_some(),
    }
}
