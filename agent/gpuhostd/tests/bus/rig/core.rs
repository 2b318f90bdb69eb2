//! A core that does what the test says: it publishes what it is given, and keeps every command that got through the gate.

use super::hosts;
use engine::command::{Actor, Command};
use engine::event_port::{EventAsk, EventEnds, EventPort, EventsShown};
use engine::handle::{COMMAND_QUEUE, Handle, Submission};
use engine::job::{Job, JobOutcome, JobState};
use engine::mig_look::{MigLook, MigQuestion, MigReader};
use engine::publish::Publisher;
use engine::reconcile::{ReconcileInputs, Reconciled};
use engine::start::EngineParts;
use gpuhostd::bus::Sources;
use model::JobId;
use model::change::Change;
use model::desired::DesiredState;
use model::enrol::EnrolmentEdit;
use model::enrol::{CheckinStatus, EnrolSpec};
use model::event::{EventPage, HostEvent};
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::prune_mode::PruneMode;
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
    pub(crate) edit: Option<EnrolmentEdit>,
    /// The change, and whether only its plan was asked for.
    pub(crate) change: Option<(Change, bool)>,
    /// What is asked of a workspace.
    pub(crate) ask: Option<WorkspaceAsk>,
    /// The staged workspaces that are to be deleted.
    pub(crate) staged: Option<Vec<WorkspaceId>>,
    /// How much of the images is to be removed.
    pub(crate) prune: Option<PruneMode>,
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
    /// The events that are kept.
    pub(crate) events: watch::Sender<Vec<HostEvent>>,
    pub(crate) publisher: Arc<Publisher>,
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
    events: (watch::Receiver<Vec<HostEvent>>, EventEnds),
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
    let (events, event_ends) = EventPort::new();
    let kept: watch::Sender<Vec<HostEvent>> = watch::Sender::default();
    let publisher = EngineParts::default().publisher();
    // No task keeps images: what is shown is what the test shows.
    drop(publisher.images().take_inbox());
    let readiness: watch::Sender<Arc<ReadinessStatus>> = watch::Sender::default();
    let sources = Sources {
        handle,
        inputs,
        reconciled: reconciled.subscribe(),
        known,
        nvidia: seen_nvidia,
        workspaces: workspaces.subscribe(),
        events,
        readiness: readiness.subscribe(),
        proxy: watch::Sender::default().subscribe(),
        publisher: Arc::clone(&publisher),
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
        events: kept.clone(),
        publisher,
        readiness,
        hold,
        ending,
        mig,
        got,
    };
    let events = (kept.subscribe(), event_ends);
    let ends =
        CoreEnds { sources, commands, jobs, hold: held, ending: ends, mig: seen_mig, mig_questions, events, got: keep };
    (ours, ends)
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
        let (kept, ends) = std::mem::replace(&mut self.events, (watch::channel(Vec::new()).1, EventPort::new().1));
        tokio::join!(looks, show_events(kept, ends), self.take_commands());
    }

    async fn take_commands(&mut self) {
        while let Some(submission) = self.commands.recv().await {
            let command = submission.authorized.command();
            let enrolment = match command {
                Command::Enrol(spec) => Some((**spec).clone()),
                Command::Rescan
                | Command::Leave
                | Command::EditEnrolment(_)
                | Command::Change(_)
                | Command::Plan(_)
                | Command::Configure(_)
                | Command::Confirm(_)
                | Command::ConfirmMig(_)
                | Command::Lock(_)
                | Command::AcknowledgeGone(_)
                | Command::AcceptEpoch(_)
                | Command::Workspace(_)
                | Command::DeleteStaged(_)
                | Command::PruneImages(_) => None,
            };
            let change = if let Command::Change(change) | Command::Plan(change) = command {
                Some((change.clone(), command.is_dry_run()))
            } else {
                None
            };
            let ask = if let Command::Workspace(ask) = command { Some(WorkspaceAsk::clone(ask)) } else { None };
            let staged = if let Command::DeleteStaged(ids) = command { Some(ids.clone()) } else { None };
            let prune = if let Command::PruneImages(mode) = command { Some(*mode) } else { None };
            let edit = if let Command::EditEnrolment(edit) = command { Some(EnrolmentEdit::clone(edit)) } else { None };
            let operation = command.operation();
            let actor = submission.authorized.actor();
            self.got.send_modify(|got| got.push(Got { operation, actor, enrolment, edit, change, ask, staged, prune }));
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

/// Shows the events that the test keeps, in pages of two.
async fn show_events(mut kept: watch::Receiver<Vec<HostEvent>>, mut ends: EventEnds) {
    loop {
        let newest = kept.borrow_and_update().last().map_or(0, |event| event.seq);
        ends.shown.send_replace(EventsShown { newest, deliverable: None });
        tokio::select! {
            Ok(()) = kept.changed() => {}
            Some(EventAsk::Page(query, answer)) = ends.asks.recv() => {
                let is_asked = |event: &&HostEvent| {
                    event.seq > query.after && query.since.is_none_or(|since| event.time >= since)
                };
                let mut events: Vec<HostEvent> = kept.borrow().iter().filter(is_asked).cloned().collect();
                let more = events.len() > query.most.min(2);
                events.truncate(query.most.min(2));
                let next = events.last().map_or(newest.max(query.after), |event| event.seq);
                // A caller that has gone needs no answer.
                answer.send(EventPage { events, next, more, waiting: 0, dropped: 0 }).ok();
            }
            else => return,
        }
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
