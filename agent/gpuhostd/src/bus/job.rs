//! `org.gpuhost.Agent1.Job`.

use super::dict::{Dict, dicts};
use super::face::Face;
use super::failure::NoValue;
use engine::command::Origin;
use engine::job::{Job, JobState};
use model::refusal::Refusal;
use std::collections::BTreeMap;
use wire::dbus::absent::Absent;
use wire::dbus::host::millis;
use wire::dbus::job::{BlockerView, DONE, FAILED, JobView};
use wire::dbus::job_path;

type Result<T> = std::result::Result<T, NoValue>;

/// A requested change.
#[derive(Debug)]
pub(super) struct JobObject(pub(super) Face<JobView>);

/// What a job shows.
pub(super) fn job_view(job: &Job) -> JobView {
    let mut absent = Absent::default();
    let why = |state: JobState| match state {
        JobState::Queued | JobState::Running => "not_ended",
        JobState::Finished => "none",
    };
    let mut unless = |property: &str, missing: bool, reason: &str| {
        if missing {
            absent.0.insert(property.to_owned(), reason.to_owned());
        }
    };
    let result = job.result.as_ref().map(|result| if result.is_ok() { DONE } else { FAILED }.to_owned());
    let refusal = job.result.as_ref().and_then(|result| result.as_ref().err());
    let error = refusal.map(|refusal| (refusal.code().to_owned(), refusal.to_string()));
    let blockers = match refusal {
        Some(Refusal::Blocked(blocked)) => blocked.all().map(BlockerView::from).collect(),
        _ => Vec::new(),
    };
    unless("Result", result.is_none(), why(job.state));
    unless("Error", error.is_none(), why(job.state));
    unless("Gpu", job.gpu.is_none(), "none");
    unless("StartedByUid", job.started_by.uid.is_none(), "none");
    unless("StartedAt", millis(job.started_at).is_none(), "garbled");
    let started_by = match job.started_by.origin {
        Origin::LocalUser => "bus",
        Origin::Manager => "manager",
        Origin::LocalFile | Origin::Daemon => "reconciler",
    };
    JobView {
        path: job_path(job.id),
        id: job.id.0,
        operation: job.operation.clone(),
        gpu: job.gpu.map(|gpu| gpu.to_string()),
        dry_run: job.dry_run,
        state: job.state.code().to_owned(),
        result,
        error,
        blockers,
        progress: job.progress,
        current_step: job.current_step.clone(),
        plan: job.plan.clone(),
        cautions: job.cautions.clone(),
        remark: job.remark.clone(),
        started_by_uid: job.started_by.uid,
        started_by: started_by.to_owned(),
        started_at: millis(job.started_at),
        cancelable: false,
        absent,
    }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Job")]
impl JobObject {
    /// Number of the job; never used twice in one run of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u32 {
        self.0.now().id
    }

    /// What it does: rescan, enrol, leave, lock, unlock, passthrough-bind, passthrough-release, passthrough-confirm or acknowledge-gone-gpu. Treat an unknown one as a change of some kind.
    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> String {
        self.0.now().operation.clone()
    }

    /// PCI address of the GPU that it changes. Has no value if it changes none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn gpu(&self) -> Result<String> {
        self.0.value("Gpu", |job| job.gpu.clone())
    }

    /// Only the plan was requested: nothing is changed, and done means that the change is possible.
    #[zbus(property(emits_changed_signal = "const"))]
    fn dry_run(&self) -> bool {
        self.0.now().dry_run
    }

    /// queued, running or finished. A finished job stays readable for a while.
    #[zbus(property)]
    fn state(&self) -> String {
        self.0.now().state.clone()
    }

    /// done or failed. Has no value until the job has finished.
    #[zbus(property)]
    fn result(&self) -> Result<String> {
        self.0.value("Result", |job| job.result.clone())
    }

    /// Why it failed: the stable code (the last element of the D-Bus error name in snake_case), and the message. Has no value
    /// unless Result is failed.
    #[zbus(property)]
    fn error(&self) -> Result<(String, String)> {
        self.0.value("Error", |job| job.error.clone())
    }

    /// Everything that blocks a refused change of a GPU: Code (s), Message (s), Remedy (s, what to do about it). The first
    /// gives the Error.
    #[zbus(property)]
    fn blockers(&self) -> Vec<Dict> {
        dicts(&self.0.now().blockers)
    }

    /// From 0.0 to 1.0; only valid if ProgressValid.
    #[zbus(property)]
    fn progress(&self) -> f64 {
        self.0.now().progress.unwrap_or(0.0)
    }

    /// Progress is valid.
    #[zbus(property)]
    fn progress_valid(&self) -> bool {
        self.0.now().progress.is_some()
    }

    /// The current step, as a sentence.
    #[zbus(property)]
    fn current_step(&self) -> String {
        self.0.now().current_step.clone()
    }

    /// The steps of the plan, as sentences.
    #[zbus(property)]
    fn plan(&self) -> Vec<String> {
        self.0.now().plan.clone()
    }

    /// Warnings that do not prevent the change, as sentences: for example that an unhealthy GPU may hang its driver.
    #[zbus(property)]
    fn cautions(&self) -> Vec<String> {
        self.0.now().cautions.clone()
    }

    /// A note about the result, as a sentence: for example that the manager could not be notified of a leave. Empty until the
    /// job has finished, and if there is none.
    #[zbus(property)]
    fn remark(&self) -> String {
        self.0.now().remark.clone()
    }

    /// bus, manager or reconciler.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by(&self) -> String {
        self.0.now().started_by.clone()
    }

    /// User id of the requester, if it was a local user.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> Result<u32> {
        self.0.value("StartedByUid", |job| job.started_by_uid)
    }

    /// When it was requested, in milliseconds since 1970-01-01 UTC.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_at(&self) -> Result<u64> {
        self.0.value("StartedAt", |job| job.started_at)
    }

    /// It can be cancelled. No job of this version can.
    #[zbus(property)]
    fn cancelable(&self) -> bool {
        self.0.now().cancelable
    }

    /// Properties that have no value now, with the reason.
    #[zbus(property)]
    fn absent(&self) -> BTreeMap<String, String> {
        self.0.now().absent.0.clone()
    }
}
