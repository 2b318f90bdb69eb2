//! The core: takes authorized commands in, runs each as a job, and begins by itself what nobody has confirmed in time.

use crate::change::{Admitted, ChangeExecutor, UnderWay};
use crate::command::{Authorized, Command};
use crate::handle::Submission;
use crate::job::JobOutcome;
use crate::jobs::{JobEnd, JobTable};
use crate::observer::{ALL, Ask, look};
use crate::publish::Publisher;
use model::JobId;
use model::nvidia_container::NvidiaRole;
use model::ports::{ActPort, Clock, JournalPort, ManagerPort};
use model::refusal::Refusal;
use model::settings::HostSetting;
use model::workspace::DesiredRun;
use model::workspace_life::{ImageAsk, WorkspaceAsk};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What the core is made of.
pub(crate) struct CoreParts<A, J, K, M> {
    pub(crate) clock: Arc<K>,
    pub(crate) jobs: Arc<JobTable<K>>,
    pub(crate) manager: Arc<M>,
    pub(crate) observer: mpsc::Sender<Ask>,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) publisher: Arc<Publisher>,
    /// `None` where the journal cannot be read: then every change is refused.
    pub(crate) changes: Option<ChangeExecutor<A, J, K>>,
}

/// Which of NVIDIA's containers these settings deploy: to wish one again asks for another try of it.
fn deployed(settings: &[HostSetting]) -> Vec<NvidiaRole> {
    let of = |setting: &HostSetting| {
        if *setting == HostSetting::DeployDriver(Some(true)) {
            Some(NvidiaRole::Driver)
        } else {
            (*setting == HostSetting::DeployToolkit(Some(true))).then_some(NvidiaRole::Toolkit)
        }
    };
    settings.iter().filter_map(of).collect()
}

/// How the task of a job ended.
enum Ended {
    Plain(JobEnd),
    Change(Box<crate::change::Ended>),
}

/// The job of a task that runs, and what has to be given back when it has ended.
struct Running {
    job: JobId,
    change: Option<UnderWay>,
}

/// The core's own state.
pub(crate) struct Core<A, J, K, M> {
    parts: CoreParts<A, J, K, M>,
    tasks: JoinSet<Ended>,
    running: BTreeMap<Id, Running>,
    last_id: u32,
}

impl<A: ActPort, J: JournalPort, K: Clock, M: ManagerPort> Core<A, J, K, M> {
    pub(crate) fn new(parts: CoreParts<A, J, K, M>) -> Self {
        Self { parts, tasks: JoinSet::new(), running: BTreeMap::new(), last_id: 0 }
    }

    /// Runs jobs until it is cancelled; jobs that are then under way are dropped: the journal knows what is half done.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            let clock = Arc::clone(&self.parts.clock);
            let forget_at = self.parts.jobs.forget_at();
            let undo_at = self.parts.changes.as_ref().and_then(ChangeExecutor::undo_at);
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(Submission { authorized, reply }) = self.parts.submissions.recv() => {
                    let id = self.begin(authorized);
                    let _caller_gone = reply.send(id);
                }
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.end(ended),
                () = at(&*clock, forget_at) => self.parts.jobs.forget(),
                () = at(&*clock, undo_at) => self.undo_overdue(),
            }
        }
    }

    /// A job for it, which is in the table when this returns.
    fn begin(&mut self, authorized: Authorized) -> JobId {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let (job, actor) = (JobId(self.last_id), authorized.actor());
        self.parts.jobs.begin(job, &authorized);
        let (observer, manager) = (self.parts.observer.clone(), Arc::clone(&self.parts.manager));
        let done = |()| (JobOutcome::Done, String::new());
        match authorized.into_command() {
            Command::Change(change) => self.begin_change(job, |it| it.admit(change, false, actor, job)),
            Command::Plan(change) => self.begin_change(job, |it| it.admit(change, true, actor, job)),
            Command::Confirm(gpu) => self.begin_change(job, |it| it.admit_confirmation(gpu)),
            Command::ConfirmMig(gpu) => self.begin_change(job, |it| it.admit_mig_confirmation(gpu)),
            Command::Configure(settings) => {
                let (publisher, deployed) = (Arc::clone(&self.parts.publisher), deployed(&settings));
                self.begin_plain(job, async move {
                    manager.configure(settings).await?;
                    deployed.into_iter().for_each(|role| publisher.ask_nvidia_again(role));
                    Ok(done(()))
                });
            }
            Command::Rescan => self.begin_plain(job, async move { look(&observer, ALL).await.map(done) }),
            Command::Enrol(spec) => self.begin_plain(job, async move { manager.enrol(*spec).await.map(done) }),
            Command::Leave => self.begin_plain(job, async move {
                manager.leave().await.map(|farewell| (JobOutcome::Done, farewell.to_string()))
            }),
            Command::EditEnrolment(edit) => {
                self.begin_plain(job, async move { manager.edit_enrolment(*edit).await.map(done) });
            }
            Command::Lock(locked) => self.begin_plain(job, async move { manager.lock(locked).await.map(done) }),
            Command::AcknowledgeGone(gpu) => {
                self.begin_plain(job, async move { manager.acknowledge_gone(gpu).await.map(done) });
            }
            Command::AcceptEpoch(epoch) => {
                self.begin_plain(job, async move { manager.accept_epoch(epoch).await.map(done) });
            }
            Command::Workspace(ask) => self.begin_asking(job, vec![*ask]),
            Command::PruneImages(mode) => {
                let publisher = Arc::clone(&self.parts.publisher);
                self.begin_plain(job, async move {
                    let answer = publisher.images().ask(ImageAsk::Prune(mode)).await?;
                    Ok((JobOutcome::Done, answer.said))
                });
            }
            Command::DeleteStaged(ids) => {
                let delete = |id| WorkspaceAsk::Want { id, desired: DesiredRun::Deleted };
                self.begin_asking(job, ids.into_iter().map(delete).collect());
            }
        }
        job
    }

    /// What is no change of the host's devices.
    fn begin_plain(&mut self, job: JobId, work: impl Future<Output = JobEnd> + Send + 'static) {
        let task = self.tasks.spawn(async move { Ended::Plain(work.await) });
        self.running.insert(task.id(), Running { job, change: None });
    }

    /// Hands what is asked of workspaces to their keeper.
    fn begin_asking(&mut self, job: JobId, asks: Vec<WorkspaceAsk>) {
        let publisher = Arc::clone(&self.parts.publisher);
        self.begin_plain(job, async move {
            // One that is refused keeps no other one back.
            let mut refused = None;
            for ask in asks {
                if let Err(refusal) = publisher.ask_workspaces(ask).await {
                    refused.get_or_insert(refusal);
                }
            }
            if let Some(refusal) = refused {
                return Err(refusal);
            }
            Ok((JobOutcome::Done, String::new()))
        });
    }

    fn begin_change(
        &mut self,
        job: JobId,
        admit: impl FnOnce(&mut ChangeExecutor<A, J, K>) -> Result<Admitted<A, J, K>, Refusal>,
    ) {
        match self.changes().and_then(admit) {
            Ok(Admitted { work, under_way }) => {
                let jobs = Arc::clone(&self.parts.jobs);
                let task = self.tasks.spawn(async move { Ended::Change(Box::new(work.run(&jobs).await)) });
                self.running.insert(task.id(), Running { job, change: Some(under_way) });
            }
            Err(refusal) => self.parts.jobs.end(job, Err(refusal)),
        }
    }

    fn changes(&mut self) -> Result<&mut ChangeExecutor<A, J, K>, Refusal> {
        self.parts.changes.as_mut().ok_or_else(|| Refusal::Unavailable {
            what: "the part that changes the host".to_owned(),
            why: "it is disabled; `gpuhostctl status` shows why".to_owned(),
        })
    }

    fn undo_overdue(&mut self) {
        if let Some(overdue) = self.parts.changes.as_mut().and_then(ChangeExecutor::overdue) {
            self.begin(Authorized::undo(overdue));
        }
    }

    fn end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Ok(ended)),
            // A bug of ours.
            Err(fault) => (fault.id(), Err(fault.to_string())),
        };
        let Some(Running { job, change }) = self.running.remove(&task) else { return };
        let broken = |said| Err(Refusal::HostFault { attempted: "run the job".to_owned(), said });
        let end = match (ended, change, self.parts.changes.as_mut()) {
            (Ok(Ended::Change(ended)), Some(under_way), Some(changes)) => changes.conclude(under_way, *ended),
            (Err(said), Some(under_way), Some(changes)) => changes.broke_off(under_way, said),
            (Ok(Ended::Change(ended)), None, _) | (Ok(Ended::Change(ended)), Some(_), None) => ended.end,
            (Ok(Ended::Plain(end)), _, _) => end,
            (Err(said), None, _) | (Err(said), Some(_), None) => broken(said),
        };
        self.parts.jobs.end(job, end);
    }
}

/// Waits until the instant, or for ever where there is none.
async fn at(clock: &impl Clock, when: Option<model::time::BootMillis>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}
