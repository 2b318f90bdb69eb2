//! What `org.gpuhost.Agent1.Job` shows of a job.

use engine::command::Origin;
use engine::job::{Job, JobState};
use model::refusal::Refusal;
use wire::dbus::absent::Absent;
use wire::dbus::host::millis;
use wire::dbus::job::{BlockerView, DONE, FAILED, JobView};
use wire::dbus::job_path;

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
        Some(Refusal::Blocked(blocked)) => blocked.all().map(|blocker| BlockerView::of(blocked.gpu, blocker)).collect(),
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
