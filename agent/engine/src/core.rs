//! The core: takes authorized commands, runs each as a job, and keeps the list of jobs that everybody reads.

use crate::change::{Asked, News};
use crate::command::{Actor, Authorized, Command, Origin};
use crate::handle::Submission;
use crate::job::{Job, JobState};
use crate::observer::{ALL, Ask};
use model::JobId;
use model::message::Message;
use model::ports::{Clock, ManagerPort};
use model::refusal::Refusal;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// A finished job can be read for this long.
pub const JOB_LINGER_MS: u64 = 5 * 60 * 1000;
/// At most so many finished jobs are kept.
pub const JOBS_KEPT: usize = 64;

/// MESSAGE_ID of the audit record of a job that has begun.
pub const MESSAGE_JOB_BEGAN: &str = Message::JobBegan.id();
/// MESSAGE_ID of the audit record of a job that has ended.
pub const MESSAGE_JOB_ENDED: &str = Message::JobEnded.id();

/// How a job ended: what is worth knowing of it, or why it was not done.
type Ended = Result<String, Refusal>;

/// The core's own state. It is the only writer of the list of jobs.
pub struct Core<K, M> {
    clock: Arc<K>,
    manager: Arc<M>,
    observer: mpsc::Sender<Ask>,
    publish: watch::Sender<Arc<Vec<Job>>>,
    submissions: mpsc::Receiver<Submission>,
    changer: Option<mpsc::Sender<Asked>>,
    news: mpsc::Receiver<News>,
    running: JoinSet<Ended>,
    tasks: Vec<(task::Id, JobId)>,
    jobs: Vec<Job>,
    last_id: u32,
}

impl<K: Clock, M: ManagerPort> Core<K, M> {
    /// A core with no jobs; [`Core::run`] starts it.
    #[must_use]
    pub fn new(
        clock: Arc<K>,
        manager: Arc<M>,
        observer: mpsc::Sender<Ask>,
        publish: watch::Sender<Arc<Vec<Job>>>,
        submissions: mpsc::Receiver<Submission>,
        (changer, news): (Option<mpsc::Sender<Asked>>, mpsc::Receiver<News>),
    ) -> Self {
        Self {
            clock,
            manager,
            observer,
            publish,
            submissions,
            changer,
            news,
            running: JoinSet::new(),
            tasks: Vec::new(),
            jobs: Vec::new(),
            last_id: 0,
        }
    }

    /// Runs jobs until it is cancelled; jobs that are then under way are dropped (they change nothing that is half done).
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            let clock = Arc::clone(&self.clock);
            let forget_at = self.jobs.iter().filter_map(|job| job.ended_boot).min().map(|end| end.plus(JOB_LINGER_MS));
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(submission) = self.submissions.recv() => self.begin(submission),
                Some(news) = self.news.recv() => self.tell(news),
                Some(ended) = self.running.join_next_with_id(), if !self.running.is_empty() => self.end(ended),
                () = async {
                    match forget_at {
                        Some(when) => clock.sleep_until(when).await,
                        None => std::future::pending().await,
                    }
                } => self.publish_jobs(),
            }
        }
    }

    fn begin(&mut self, submission: Submission) {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let id = JobId(self.last_id);
        let Submission { authorized, reply } = submission;
        let (actor, command) = (authorized.actor(), authorized.command());
        let job = Job {
            id,
            operation: command.operation().to_owned(),
            gpu: command.gpu(),
            dry_run: command.is_dry_run(),
            state: JobState::Running,
            result: None,
            progress: None,
            current_step: step_of(command).to_owned(),
            plan: vec![step_of(command).to_owned()],
            cautions: Vec::new(),
            remark: String::new(),
            started_by: actor,
            started_at: self.clock.wall_now(),
            ended_boot: None,
        };
        log_begin(&job);
        self.jobs.push(job);
        self.publish_jobs();
        let (observer, manager) = (self.observer.clone(), Arc::clone(&self.manager));
        let changer = self.changer.clone();
        let task = self.running.spawn(async move { execute((authorized, id), observer, &*manager, changer).await });
        self.tasks.push((task.id(), id));
        let _caller_gone = reply.send(id);
    }

    /// What a change tells of itself stands in its job.
    fn tell(&mut self, news: News) {
        let (News::Planned { job: id, .. } | News::Step { job: id, .. }) = news;
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id && job.state == JobState::Running) {
            match news {
                News::Planned { plan, cautions, .. } => {
                    job.plan = plan;
                    job.cautions = cautions.iter().map(ToString::to_string).collect();
                }
                News::Step { step, taken, all, .. } => {
                    let part = |number: usize| u32::try_from(number).ok().map(f64::from);
                    job.current_step = step;
                    job.progress = part(taken).zip(part(all.max(1))).map(|(taken, all)| (taken / all).min(1.0));
                }
            }
        }
        self.publish_jobs();
    }

    fn end(&mut self, ended: Result<(task::Id, Ended), JoinError>) {
        let (task, result) = match ended {
            Ok(ended) => ended,
            Err(fault) => {
                let refusal = Refusal::HostFault { attempted: "run the job".into(), said: fault.to_string() };
                (fault.id(), Err(refusal))
            }
        };
        let Some(place) = self.tasks.iter().position(|(id, _)| *id == task) else { return };
        let (_, id) = self.tasks.swap_remove(place);
        let now = self.clock.boot_now();
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) {
            log_end(job, &result);
            let (result, remark) = match result {
                Ok(remark) => (Ok(()), remark),
                Err(refusal) => (Err(refusal), String::new()),
            };
            job.remark = remark;
            job.state = JobState::Finished;
            job.progress = Some(1.0);
            job.current_step.clear();
            job.result = Some(result);
            job.ended_boot = Some(now);
        }
        self.publish_jobs();
    }

    /// Forgets what has lingered long enough and publishes the rest.
    fn publish_jobs(&mut self) {
        let now = self.clock.boot_now();
        self.jobs.retain(|job| job.ended_boot.is_none_or(|ended| now.since(ended) < JOB_LINGER_MS));
        let finished = self.jobs.iter().filter(|job| job.ended_boot.is_some()).count();
        let mut surplus = finished.saturating_sub(JOBS_KEPT);
        self.jobs.retain(|job| {
            let forget = surplus > 0 && job.ended_boot.is_some();
            surplus -= usize::from(forget);
            !forget
        });
        self.publish.send_replace(Arc::new(self.jobs.clone()));
    }
}

fn asked_by(actor: Actor) -> String {
    match (actor.origin, actor.uid) {
        (Origin::Bus, Some(uid)) => format!("by uid {uid}"),
        (Origin::Bus, None) => "over D-Bus".to_owned(),
        (Origin::Manager, _) => "by the manager".to_owned(),
        (Origin::Reconciler, _) => "by gpuhostd itself".to_owned(),
    }
}

/// The audit record of a job that begins.
fn log_begin(job: &Job) {
    tracing::info!(
        message_id = MESSAGE_JOB_BEGAN,
        job_id = job.id.0,
        operation = job.operation,
        gpu_bdf = job.gpu.map(tracing::field::display),
        dry_run = job.dry_run,
        origin = ?job.started_by.origin,
        actor_uid = job.started_by.uid,
        "job {} began: {}, asked for {}",
        job.id,
        job.title(),
        asked_by(job.started_by)
    );
}

/// The audit record of a job that has ended; one that failed stands out among those that were done.
fn log_end(job: &Job, ended: &Ended) {
    let (id, operation, title) = (job.id, job.operation.as_str(), job.title());
    match ended {
        Ok(remark) => tracing::info!(
            message_id = MESSAGE_JOB_ENDED,
            job_id = id.0,
            operation,
            gpu_bdf = job.gpu.map(tracing::field::display),
            dry_run = job.dry_run,
            outcome = "done",
            "job {id} ended: {title} done{}{remark}",
            if remark.is_empty() { "" } else { ": " }
        ),
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
const fn step_of(command: &Command) -> &'static str {
    match command {
        Command::Rescan => "scan the PCI bus and ask the driver, Docker and the host anew",
        Command::Enrol(_) => "enrol with the manager and keep the credential",
        Command::Leave => "say goodbye to the manager and wipe the credential",
        Command::Change(_) => "look at the GPU's IOMMU group and make a plan",
        Command::Confirm(_) => "let the binding stand",
        Command::Lock(true) => "freeze what a manager asks for",
        Command::Lock(false) => "let a manager ask for changes again",
        Command::AcknowledgeGone(_) => "forget the GPU that is gone",
    }
}

async fn execute<M: ManagerPort>(
    (authorized, id): (Authorized, JobId),
    observer: mpsc::Sender<Ask>,
    manager: &M,
    changer: Option<mpsc::Sender<Asked>>,
) -> Ended {
    let actor = authorized.actor();
    let nothing_to_say = |()| String::new();
    match authorized.into_command() {
        Command::Change(change) => {
            let remark = if change.dry_run { "it was only planned, and nothing was changed" } else { "" };
            ask(changer, |reply| Asked::Make(change, id, actor, reply)).await.map(|()| remark.to_owned())
        }
        Command::Confirm(gpu) => ask(changer, |reply| Asked::Confirm(gpu, reply)).await.map(nothing_to_say),
        Command::Rescan => refresh(&observer).await.map(nothing_to_say),
        Command::Enrol(spec) => manager.enrol(*spec).await.map(nothing_to_say),
        Command::Leave => manager.leave().await.map(|farewell| farewell.to_string()),
        Command::Lock(locked) => manager.lock(locked).await.map(nothing_to_say),
        Command::AcknowledgeGone(gpu) => manager.acknowledge_gone(gpu).await.map(nothing_to_say),
    }
}

async fn refresh(observer: &mpsc::Sender<Ask>) -> Result<(), Refusal> {
    let stopping = || Refusal::Unavailable { what: "the observer".into(), why: "the daemon is stopping".into() };
    let (done, answered) = oneshot::channel();
    observer.send(Ask::Look(ALL, done)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}

/// Asks the loop of changes and waits for the end of the change.
async fn ask(
    changer: Option<mpsc::Sender<Asked>>,
    question: impl FnOnce(oneshot::Sender<Result<(), Refusal>>) -> Asked,
) -> Result<(), Refusal> {
    let what = || "the part that changes the host".to_owned();
    let none =
        || Refusal::Unavailable { what: what(), why: "it is switched off; gpuhostctl status says why".to_owned() };
    let stopping = || Refusal::Unavailable { what: what(), why: "the daemon is stopping".to_owned() };
    let (reply, answered) = oneshot::channel();
    changer.ok_or_else(none)?.send(question(reply)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?
}
