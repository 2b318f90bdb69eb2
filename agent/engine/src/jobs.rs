//! The table of jobs: the one path on which progress and ends of jobs reach those who watch them.

use crate::command::{Actor, Authorized, Command, Origin, Wished};
use crate::job::{Job, JobOutcome, JobState};
use model::JobId;
use model::message::Message;
use model::passthrough::Caution;
use model::ports::Clock;
use model::reconcile::ItemPath;
use model::refusal::Refusal;
use model::time::BootMillis;
use std::sync::Arc;
use tokio::sync::watch;

/// A finished job can be read for this long.
pub const JOB_LINGER_MS: u64 = 5 * 60 * 1000;
/// At most so many finished jobs are kept that people asked for,
pub const JOBS_KEPT: usize = 64;
/// and so many that came from a desired state: a long list of items that fail pushes nobody's job out.
pub const WISHED_JOBS_KEPT: usize = 32;

/// MESSAGE_ID of the audit record of a job that has begun.
pub const MESSAGE_JOB_BEGAN: &str = Message::JobBegan.id();
/// MESSAGE_ID of the audit record of a job that has ended.
pub const MESSAGE_JOB_ENDED: &str = Message::JobEnded.id();

/// How a job ended: with what is worth knowing of it, or why it was not done.
pub(crate) type JobEnd = Result<(JobOutcome, String), Refusal>;

/// The table. The core begins and ends jobs, and the task of a job shows how far it is.
#[derive(Debug)]
pub(crate) struct JobTable<K> {
    clock: Arc<K>,
    publish: watch::Sender<Arc<Vec<Job>>>,
}

impl<K: Clock> JobTable<K> {
    pub(crate) const fn new(clock: Arc<K>, publish: watch::Sender<Arc<Vec<Job>>>) -> Self {
        Self { clock, publish }
    }

    /// A job of that number begins.
    pub(crate) fn begin(&self, id: JobId, authorized: &Authorized) {
        let (command, actor) = (authorized.command(), authorized.actor());
        let job = Job {
            id,
            operation: command.operation().to_owned(),
            gpu: command.gpu(),
            dry_run: command.is_dry_run(),
            state: JobState::Running,
            result: None,
            progress: None,
            current_step: step_of(command),
            plan: vec![step_of(command)],
            cautions: Vec::new(),
            remark: String::new(),
            started_by: actor,
            wished: authorized.wish().cloned(),
            started_at: self.clock.wall_now(),
            ended_boot: None,
        };
        log_begin(&job);
        self.edit(|jobs| jobs.push(job));
    }

    /// It has a plan.
    pub(crate) fn planned(&self, id: JobId, plan: Vec<String>, cautions: &[Caution]) {
        self.edit_one(id, |job| {
            job.plan = plan;
            job.cautions = cautions.iter().map(ToString::to_string).collect();
        });
    }

    /// It is about to take a step, and has taken so many of so many.
    pub(crate) fn step(&self, id: JobId, step: String, (taken, all): (usize, usize)) {
        let part = |number: usize| u32::try_from(number).ok().map(f64::from);
        self.edit_one(id, |job| {
            job.current_step = step;
            job.progress = part(taken).zip(part(all.max(1))).map(|(taken, all)| (taken / all).min(1.0));
        });
    }

    /// It has ended.
    pub(crate) fn end(&self, id: JobId, end: JobEnd) {
        let now = self.clock.boot_now();
        self.edit_one(id, |job| {
            log_end(job, &end);
            let (result, remark) = match end {
                Ok((outcome, remark)) => (Ok(outcome), remark),
                Err(refusal) => (Err(refusal), String::new()),
            };
            job.remark = remark;
            job.state = JobState::Finished;
            job.progress = Some(1.0);
            job.current_step.clear();
            job.result = Some(result);
            job.ended_boot = Some(now);
        });
    }

    /// When the next one has lingered long enough.
    pub(crate) fn forget_at(&self) -> Option<BootMillis> {
        self.publish.borrow().iter().filter_map(|job| job.ended_boot).min().map(|end| end.plus(JOB_LINGER_MS))
    }

    /// Forgets what has lingered long enough.
    pub(crate) fn forget(&self) {
        self.edit(|_| ());
    }

    fn edit_one(&self, id: JobId, edit: impl FnOnce(&mut Job)) {
        self.edit(|jobs| {
            if let Some(job) = jobs.iter_mut().find(|job| job.id == id && job.state != JobState::Finished) {
                edit(job);
            }
        });
    }

    fn edit(&self, edit: impl FnOnce(&mut Vec<Job>)) {
        let now = self.clock.boot_now();
        self.publish.send_modify(|jobs| {
            let jobs = Arc::make_mut(jobs);
            edit(jobs);
            jobs.retain(|job| job.ended_boot.is_none_or(|ended| now.since(ended) < JOB_LINGER_MS));
            keep_the_newest(jobs, JOBS_KEPT, |job| job.wished.is_none());
            keep_the_newest(jobs, WISHED_JOBS_KEPT, |job| job.wished.is_some());
        });
    }
}

/// Forgets the oldest finished jobs of a kind where there are more than `most`.
fn keep_the_newest(jobs: &mut Vec<Job>, most: usize, is_of_kind: impl Fn(&Job) -> bool) {
    let is_finished = |job: &Job| job.ended_boot.is_some() && is_of_kind(job);
    let mut surplus = jobs.iter().filter(|job| is_finished(job)).count().saturating_sub(most);
    jobs.retain(|job| {
        let forget = surplus > 0 && is_finished(job);
        surplus -= usize::from(forget);
        !forget
    });
}

/// It was tried before, and nothing has changed since: its records are for those who look for a fault.
fn is_repeated(job: &Job) -> bool {
    job.wished.as_ref().is_some_and(|wished| wished.attempt > 1)
}

fn asked_by(actor: Actor) -> String {
    match (actor.origin, actor.uid) {
        (Origin::LocalUser, Some(uid)) => format!("by uid {uid}"),
        (Origin::LocalUser, None) => "over D-Bus".to_owned(),
        (Origin::LocalFile, _) => "by a file of this host".to_owned(),
        (Origin::Manager, _) => "by the manager".to_owned(),
        (Origin::Daemon, _) => "by gpuhostd itself".to_owned(),
    }
}

fn paths(wished: &Wished) -> String {
    wished.paths.iter().map(ItemPath::as_str).collect::<Vec<_>>().join(" ")
}

/// Where a wish is written: `revision b0f4.43: agent.labels agent.zone`.
fn place(wished: &Wished) -> String {
    let document = wished.document.as_ref().map(|id| format!("revision {id}: ")).unwrap_or_default();
    format!("{document}{}", paths(wished))
}

/// The audit record of a job that begins.
fn log_begin(job: &Job) {
    let document = job.wished.as_ref().and_then(|wished| wished.document.as_ref());
    let place = job.wished.as_ref().map(|wished| format!(" ({})", place(wished))).unwrap_or_default();
    let (title, by) = (job.title(), asked_by(job.started_by));
    if is_repeated(job) {
        return tracing::debug!("job {} began: {title}, asked for {by}{place}", job.id);
    }
    tracing::info!(
        message_id = MESSAGE_JOB_BEGAN,
        job_id = job.id.0,
        operation = job.operation,
        gpu_bdf = job.gpu.map(tracing::field::display),
        dry_run = job.dry_run,
        origin = ?job.started_by.origin,
        actor_uid = job.started_by.uid,
        epoch = document.map(|id| id.epoch.as_str()),
        revision = document.map(|id| u64::from(id.revision)),
        item_paths = job.wished.as_ref().map(paths),
        "job {} began: {title}, asked for {by}{place}",
        job.id
    );
}

/// The audit record of a job that has ended; one that failed is easy to see among those that were done.
fn log_end(job: &Job, end: &JobEnd) {
    let (id, operation, title) = (job.id, job.operation.as_str(), job.title());
    match end {
        Ok((_, remark)) => tracing::info!(
            message_id = MESSAGE_JOB_ENDED,
            job_id = id.0,
            operation,
            gpu_bdf = job.gpu.map(tracing::field::display),
            dry_run = job.dry_run,
            outcome = "done",
            "job {id} ended: {title} done{}{remark}",
            if remark.is_empty() { "" } else { ": " }
        ),
        Err(refusal) if is_repeated(job) => {
            tracing::debug!(job_id = id.0, "job {id} ended: {title} {}: {refusal}", refusal.code());
        }
        Err(refusal) => tracing::warn!(
            message_id = MESSAGE_JOB_ENDED,
            job_id = id.0,
            operation,
            gpu_bdf = job.gpu.map(tracing::field::display),
            dry_run = job.dry_run,
            outcome = refusal.code(),
            "job {id} ended: {title} {}: {refusal}",
            refusal.code()
        ),
    }
}

/// What the job does, in words.
fn step_of(command: &Command) -> String {
    let step = match command {
        Command::Rescan => "scan the PCI bus and query the driver, Docker and the host again",
        Command::Enrol(_) => "enrol with the manager and keep the credential",
        Command::Leave => "leave the manager and wipe the credential",
        Command::EditEnrolment(edit) => edit.step(),
        Command::Change(_) | Command::Plan(_) => "observe the GPU's IOMMU group and make a plan",
        Command::Configure(_) => "save the settings of the desired state and put them into force",
        Command::Confirm(_) => "confirm the binding",
        Command::ConfirmMig(_) => "confirm the change of MIG",
        Command::Lock(true) => "freeze the changes that a manager requests",
        Command::Lock(false) => "allow a manager to request changes again",
        Command::AcknowledgeGone(_) => "acknowledge that the GPU is gone",
        Command::AcceptEpoch(_) => "accept the documents of the epoch again",
        Command::Workspace(ask) => return ask.to_string(),
        Command::PruneImages(mode) => {
            return format!("remove the images that gpuhostd has pulled and the mode {} does not keep", mode.code());
        }
        Command::DeleteStaged(ids) => return format!("delete {} staged workspaces", ids.len()),
    };
    step.to_owned()
}
