//! A core that does what the test says: it publishes what it is given, and keeps every command that got through the gate.

use super::hosts;
use engine::command::{Actor, Command};
use engine::handle::{COMMAND_QUEUE, Handle, Submission};
use engine::job::{Job, JobOutcome, JobState};
use engine::mig_look::{MigLook, MigQuestion, MigReader};
use engine::reconcile::{ReconcileInputs, Reconciled};
use gpuhostd::bus::Sources;
use model::JobId;
use model::change::Change;
use model::desired::DesiredState;
use model::enrol::{CheckinStatus, EnrolSpec};
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::readiness::ReadinessStatus;
use model::refusal::Refusal;
use model::settings::Settings;
use model::time::UnixMillis;
use model::workspace::WorkspaceId;
use model::workspace_life::{WorkspaceAsk, WorkspacesState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A command that got through.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) operation: &'static str,
    pub(crate) actor: Actor,
    pub(crate) enrolment: Option<EnrolSpec>,
    /// The change, and whether only its plan was asked for.
    pub(crate) change: Option<(Change, bool)>,
    /// What is asked of a workspace.
    pub(crate) ask: Option<WorkspaceAsk>,
    /// The staged workspaces that are to be deleted.
    pub(crate) staged: Option<Vec<WorkspaceId>>,
}

/// The test's side.
pub(crate) struct Core {
    pub(crate) observation: watch::Sender<Arc<HostObservation>>,
    pub(crate) jobs: Arc<watch::Sender<Arc<Vec<Job>>>>,
    pub(crate) checkin: watch::Sender<Arc<CheckinStatus>>,
    pub(crate) desired: watch::Sender<Arc<DesiredState>>,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) reconciled: watch::Sender<Arc<Reconciled>>,
    pub(crate) nvidia: watch::Sender<Arc<NvidiaState>>,
    pub(crate) workspaces: watch::Sender<Arc<WorkspacesState>>,
    pub(crate) readiness: watch::Sender<Arc<ReadinessStatus>>,
    /// Jobs stay at work while this is true.
    pub(crate) hold: watch::Sender<bool>,
    /// How jobs end.
    pub(crate) ending: watch::Sender<Result<(), Refusal>>,
    /// What is seen of MIG; a GPU that is not among them has none.
    pub(crate) mig: watch::Sender<Vec<MigLook>>,
    pub(crate) got: watch::Receiver<Vec<Got>>,
}

/// The face's side.
pub(crate) struct CoreEnds {
    pub(crate) sources: Sources,
    commands: mpsc::Receiver<Submission>,
    jobs: Arc<watch::Sender<Arc<Vec<Job>>>>,
    hold: watch::Receiver<bool>,
    ending: watch::Receiver<Result<(), Refusal>>,
    mig: watch::Receiver<Vec<MigLook>>,
    mig_questions: mpsc::Receiver<MigQuestion>,
    got: watch::Sender<Vec<Got>>,
}

/// A core that has seen a host.
pub(crate) fn core(seen: HostObservation) -> (Core, CoreEnds) {
    let (observation, newest) = watch::channel(Arc::new(seen));
    let (jobs, jobs_seen) = watch::channel(Arc::new(Vec::new()));
    let checkin: watch::Sender<Arc<CheckinStatus>> = watch::Sender::default();
    let desired: watch::Sender<Arc<DesiredState>> = watch::Sender::default();
    let settings: watch::Sender<Arc<Settings>> = watch::Sender::default();
    let reconciled: watch::Sender<Arc<Reconciled>> = watch::Sender::default();
    let inputs = ReconcileInputs {
        desired: desired.subscribe(),
        settings: settings.subscribe(),
        policy: watch::Sender::default().subscribe(),
        locked: watch::Sender::default().subscribe(),
        checkin: checkin.subscribe(),
    };
    let (hold, held) = watch::channel(false);
    let (ending, ends) = watch::channel(Ok(()));
    let (keep, got) = watch::channel(Vec::new());
    let (submit, commands) = mpsc::channel(COMMAND_QUEUE);
    let jobs = Arc::new(jobs);
    let (reader, mig_questions) = MigReader::new();
    let handle = Handle::new(newest, jobs_seen, submit).with_mig_reader(reader);
    let (mig, seen_mig) = watch::channel(hosts::mig_looks());
    let known = watch::Sender::default().subscribe();
    let (nvidia, seen_nvidia) = watch::channel(Arc::new(NvidiaState::not_looked()));
    let workspaces: watch::Sender<Arc<WorkspacesState>> = watch::Sender::default();
    let readiness: watch::Sender<Arc<ReadinessStatus>> = watch::Sender::default();
    let sources = Sources {
        handle,
        inputs,
        reconciled: reconciled.subscribe(),
        known,
        nvidia: seen_nvidia,
        workspaces: workspaces.subscribe(),
        readiness: readiness.subscribe(),
        proxy: watch::Sender::default().subscribe(),
    };
    let seen = Arc::clone(&jobs);
    let ours = Core {
        observation,
        jobs: seen,
        checkin,
        desired,
        settings,
        reconciled,
        nvidia,
        workspaces,
        readiness,
        hold,
        ending,
        mig,
        got,
    };
    (ours, CoreEnds { sources, commands, jobs, hold: held, ending: ends, mig: seen_mig, mig_questions, got: keep })
}

impl Core {
    /// Publishes a further observation: the host as it was, but for `change`.
    pub(crate) fn observe(&self, change: impl FnOnce(&mut HostObservation)) {
        let mut next = HostObservation::clone(&self.observation.borrow());
        next.sequence += 1;
        next.observed_at = UnixMillis(next.observed_at.0 + 30_000);
        change(&mut next);
        self.observation.send_replace(Arc::new(next));
    }

    /// Publishes an observation with a GPU more or less.
    pub(crate) fn with_gpus(&self, count: usize) {
        let all = hosts::two_gpus();
        self.observe(|next| {
            next.gpus = all.gpus[..count].to_vec();
            next.groups = all.groups[..count].to_vec();
        });
    }
}

impl CoreEnds {
    /// Takes commands for ever, one after the other, and answers who reads MIG meanwhile.
    pub(crate) async fn serve(mut self) {
        let (mig, mut questions) = (self.mig.clone(), self.mig_questions);
        let looks = async move {
            while let Some(MigQuestion { gpu, answer }) = questions.recv().await {
                let look = mig.borrow().iter().find(|look| look.seen.gpu == gpu).cloned();
                let none =
                    || Refusal::HostFault { attempted: format!("look at MIG of {gpu}"), said: "Not Supported".into() };
                // A reader that has gone needs no answer.
                answer.send(look.ok_or_else(none)).ok();
            }
        };
        (_, self.mig_questions) = mpsc::channel(1);
        tokio::join!(looks, self.take_commands());
    }

    async fn take_commands(&mut self) {
        while let Some(submission) = self.commands.recv().await {
            let command = submission.authorized.command();
            let enrolment = match command {
                Command::Enrol(spec) => Some((**spec).clone()),
                Command::Rescan
                | Command::Leave
                | Command::Change(_)
                | Command::Plan(_)
                | Command::Configure(_)
                | Command::Confirm(_)
                | Command::Lock(_)
                | Command::AcknowledgeGone(_)
                | Command::AcceptEpoch(_)
                | Command::Workspace(_)
                | Command::DeleteStaged(_) => None,
            };
            let change = if let Command::Change(change) | Command::Plan(change) = command {
                Some((change.clone(), command.is_dry_run()))
            } else {
                None
            };
            let ask = if let Command::Workspace(ask) = command { Some(WorkspaceAsk::clone(ask)) } else { None };
            let staged = if let Command::DeleteStaged(ids) = command { Some(ids.clone()) } else { None };
            let operation = command.operation();
            let actor = submission.authorized.actor();
            self.got.send_modify(|got| got.push(Got { operation, actor, enrolment, change, ask, staged }));
            let id = JobId(u32::try_from(self.jobs.borrow().len()).unwrap() + 1);
            self.jobs.send_modify(|jobs| Arc::make_mut(jobs).push(job(id, operation, actor)));
            // A caller that has gone needs no number.
            submission.reply.send(id).ok();
            self.change(id, |job| job.state = JobState::Running);
            self.hold.wait_for(|hold| !hold).await.unwrap();
            let ending = self.ending.borrow().clone();
            self.change(id, |job| {
                job.state = JobState::Finished;
                job.result = Some(ending.map(|()| JobOutcome::Done));
            });
        }
    }

    fn change(&self, id: JobId, change: impl FnOnce(&mut Job)) {
        self.jobs.send_modify(|jobs| change(Arc::make_mut(jobs).iter_mut().find(|job| job.id == id).unwrap()));
    }
}

fn job(id: JobId, operation: &str, actor: Actor) -> Job {
    Job {
        id,
        operation: operation.to_owned(),
        gpu: None,
        dry_run: false,
        state: JobState::Queued,
        result: None,
        progress: None,
        current_step: "scan the PCI bus".to_owned(),
        plan: vec!["scan the PCI bus".to_owned(), "ask the driver".to_owned()],
        cautions: Vec::new(),
        remark: String::new(),
        started_by: actor,
        wished: None,
        started_at: UnixMillis(1_700_000_000_000),
        ended_boot: None,
    }
}
