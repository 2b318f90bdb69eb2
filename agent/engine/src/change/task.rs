//! One change from a fresh look to its end: refused, planned only, or made.

use super::drive::drive;
use super::run::{Change, ChangePorts, News};
use super::{MESSAGE_CHANGE_BEGAN, MESSAGE_CHANGE_ENDED};
use crate::command::{Actor, Origin};
use crate::observer::{Ask, FOR_A_PLAN};
use model::JobId;
use model::blocker::{Blocked, Blocker};
use model::change::{Aftermath, ChangeId, Do, Entry, Machine, Outcome, Phase, listed};
use model::message::Message;
use model::observation::HostObservation;
use model::passthrough::{BindRequest, Caution, bounds_of, cautions, plan_passthrough, plan_release};
use model::plan::{Bounds, Former, Look, Plan};
use model::policy::{Operation, Policy, Requester};
use model::ports::{ActFault, ActPort, Clock, JournalPort};
use model::refusal::Refusal;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// One change that was taken in.
pub(super) struct Task {
    /// What is to be done.
    pub(super) change: Change,
    /// Its job.
    pub(super) job: JobId,
    /// Who asked.
    pub(super) actor: Actor,
    /// Where the host is observed anew before the plan is made.
    pub(super) observer: mpsc::Sender<Ask>,
    /// What was observed.
    pub(super) observation: watch::Receiver<Arc<HostObservation>>,
    /// Which change it is in the journal.
    pub(super) id: ChangeId,
    /// What it may touch, as the lanes were taken for.
    pub(super) bounds: Bounds,
    /// The record of the GPU.
    pub(super) record: Option<Entry>,
    /// The policy in force.
    pub(super) policy: Arc<Policy>,
    /// Where its steps are told.
    pub(super) news: mpsc::Sender<News>,
}

/// How a task ended.
pub(super) struct Ended {
    /// For the job.
    pub(super) result: Result<(), Refusal>,
    /// What the journal holds of it now; `Err` = as before.
    pub(super) left: Result<Option<Entry>, ()>,
    /// Why its lane stays taken.
    pub(super) stuck: Option<String>,
    /// It was begun: the host was written to, or may have been.
    pub(super) made: bool,
}

impl Ended {
    /// Before anything was begun.
    const fn early(result: Result<(), Refusal>) -> Self {
        Self { result, left: Err(()), stuck: None, made: false }
    }
}

/// How a local user and the daemon itself are seen by the policy.
pub(super) const fn requester(actor: Actor) -> Requester {
    match actor.origin {
        Origin::Bus | Origin::Reconciler => Requester::Local,
        Origin::Manager => Requester::Manager,
    }
}

impl Task {
    /// Looks, plans, and makes the change unless only the plan was asked for.
    pub(super) async fn run<A: ActPort, J: JournalPort, K: Clock>(self, ports: ChangePorts<A, J, K>) -> Ended {
        match self.plan(&*ports.act).await {
            Err(refusal) => Ended::early(Err(refusal)),
            Ok((plan, _, cautions)) if self.is_only_planned(&plan) => {
                self.tell_plan(&plan, cautions).await;
                Ended::early(Ok(()))
            }
            Ok((plan, seen, cautions)) => {
                for caution in &cautions {
                    tracing::warn!(
                        message_id = Message::ChangeBeganWithCare.id(),
                        gpu_bdf = %self.change.gpu,
                        "{} of {}: {caution}",
                        self.change.operation.code(),
                        self.change.gpu
                    );
                }
                self.tell_plan(&plan, cautions).await;
                self.make(plan, &seen, &ports).await
            }
        }
    }

    /// The host is not written to: only the plan was asked for, or there is nothing to do.
    fn is_only_planned(&self, plan: &Plan) -> bool {
        self.change.dry_run || (plan.steps.is_empty() && !self.has_record_to_close())
    }

    /// Somebody else has taken the GPU back: nothing is to be done but to close the record by which it was given away.
    fn has_record_to_close(&self) -> bool {
        match self.change.operation {
            Operation::PassthroughBind => false,
            Operation::PassthroughRelease => self.record.as_ref().is_some_and(Entry::is_given),
        }
    }

    async fn plan<A: ActPort>(&self, act: &A) -> Result<(Plan, Look, Vec<Caution>), Refusal> {
        let gpu = self.change.gpu;
        let moved = || Refusal::Conflict { why: format!("the IOMMU group of {gpu} changed meanwhile; try again") };
        let host = self.fresh().await?;
        if bounds_of(&host, gpu).as_ref() != Some(&self.bounds) {
            return Err(moved());
        }
        let look = act.look(&self.bounds.target).await.map_err(refused)?;
        let holders = act.holders(&self.bounds.target).await.map_err(refused)?;
        let Look::Functions(seen) = &look;
        let given = self.record.as_ref().filter(|record| record.is_given());
        let requester = requester(self.actor);
        let plan = match self.change.operation {
            Operation::PassthroughBind => {
                let request = BindRequest {
                    gpu,
                    requester,
                    guest_memory_mib: self.change.guest_memory_mib,
                    given_by_us: given.is_some(),
                };
                plan_passthrough(&host, seen, &holders, &self.policy, &request)?
            }
            Operation::PassthroughRelease => {
                let home = given.map(|record| {
                    let Former::Functions(home) = &record.home;
                    home.as_slice()
                });
                plan_release(&host, seen, &holders, home, &self.policy, (gpu, requester))?
            }
        };
        let cautions = cautions(&host, self.change.operation, gpu);
        if plan.bounds == self.bounds && plan.stays_in_bounds() { Ok((plan, look, cautions)) } else { Err(moved()) }
    }

    /// Looks at the host anew and waits for it: the sources have their own deadlines.
    async fn fresh(&self) -> Result<Arc<HostObservation>, Refusal> {
        let stopping = || Refusal::Unavailable { what: "the observer".into(), why: "the daemon is stopping".into() };
        let (done, answered) = oneshot::channel();
        self.observer.send(Ask::Look(FOR_A_PLAN, done)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?;
        Ok(Arc::clone(&self.observation.borrow()))
    }

    async fn make<A: ActPort, J: JournalPort, K: Clock>(
        &self,
        plan: Plan,
        seen: &Look,
        ports: &ChangePorts<A, J, K>,
    ) -> Ended {
        let Some(before) = seen.former(&plan.bounds.target) else {
            let why = "a function vanished while it was looked at; try again".to_owned();
            return Ended::early(Err(Refusal::Conflict { why }));
        };
        let given = self.record.as_ref().filter(|record| record.is_given());
        let entry = Entry {
            id: self.id,
            operation: self.change.operation,
            job: self.job,
            actor_uid: self.actor.uid,
            began_at: ports.clock.wall_now(),
            boot_id: ports.boot_id.clone(),
            home: given.map_or_else(|| before.clone(), |record| record.home.clone()),
            before,
            plan,
            confirm_within_ms: self.change.confirm_within_ms,
            aftermath: Aftermath::of(self.change.operation),
            phase: Phase::Open,
        };
        self.audit_begin(&entry);
        let machine = Machine::begin(entry, ports.clock.boot_now());
        let tell = |machine: &Machine, to_do: &Do| self.tell(machine, to_do);
        let (outcome, machine) = drive(machine, (&*ports.act, &*ports.journal, &*ports.clock), tell).await;
        let ended = self.conclude(&outcome, machine);
        self.audit_end(&outcome);
        ended
    }

    /// What of the outcome goes to the job, to the records and to the lane.
    fn conclude(&self, outcome: &Outcome, machine: Machine) -> Ended {
        let attempted = || format!("{} {}", self.change.operation.code(), self.change.gpu);
        match outcome {
            Outcome::Done => Ended { result: Ok(()), left: Ok(machine.record_when_done()), stuck: None, made: true },
            Outcome::Untouched(trouble) => {
                let said = format!("{trouble}. Nothing was changed");
                Ended {
                    result: Err(Refusal::HostFault { attempted: attempted(), said }),
                    left: Err(()),
                    stuck: None,
                    made: true,
                }
            }
            Outcome::Restored(trouble) => {
                let said = format!("{trouble}. What was changed has been undone: the host is as it was before");
                Ended {
                    result: Err(Refusal::HostFault { attempted: attempted(), said }),
                    left: Err(()),
                    stuck: None,
                    made: true,
                }
            }
            Outcome::Quarantined(trouble) => {
                let why = trouble.to_string();
                let blocked = Blocked::by(self.change.gpu, vec![Blocker::Quarantined { why: why.clone() }]);
                let refusal = blocked.map_or_else(|| Refusal::Conflict { why: why.clone() }, Refusal::Blocked);
                let entry = machine.entry().in_phase(Phase::Quarantined { why: why.clone() });
                Ended { result: Err(refusal), left: Ok(Some(entry)), stuck: Some(why), made: true }
            }
        }
    }

    async fn tell_plan(&self, plan: &Plan, cautions: Vec<Caution>) {
        // A core that has gone wants no news.
        let _gone = self.news.send(News::Planned { job: self.job, plan: plan.in_words(), cautions }).await;
    }

    fn tell(&self, machine: &Machine, to_do: &Do) {
        let step = match to_do {
            Do::Journal(_) => "write the journal".to_owned(),
            Do::Forget => "close the journal entry".to_owned(),
            Do::Look => "look whether the host shows it".to_owned(),
            Do::Take(step) => step.to_string(),
            Do::End(_) => return,
        };
        tracing::debug!(gpu = %self.change.gpu, restoring = machine.is_restoring(), step, "next step");
        let job = self.job;
        let (taken, all) = machine.progress();
        let step = if machine.is_restoring() { format!("undo: {step}") } else { step };
        // News that nobody has room for is old when there is room.
        let _full = self.news.try_send(News::Step { job, step, taken, all });
    }

    fn audit_begin(&self, entry: &Entry) {
        tracing::info!(
            message_id = MESSAGE_CHANGE_BEGAN,
            operation = self.change.operation.code(),
            gpu_bdf = %self.change.gpu,
            lanes = listed(&self.bounds.lanes),
            job_id = self.job.0,
            origin = ?self.actor.origin,
            actor_uid = self.actor.uid,
            plan = entry.plan.in_words().join("; "),
            "{} of {} begins",
            self.change.operation.code(),
            self.change.gpu
        );
    }

    fn audit_end(&self, outcome: &Outcome) {
        let (how, trouble) = match outcome {
            Outcome::Done => ("done", String::new()),
            Outcome::Untouched(trouble) => ("untouched", format!(": {trouble}")),
            Outcome::Restored(trouble) => ("restored", format!(": {trouble}")),
            Outcome::Quarantined(trouble) => ("quarantined", format!(": {trouble}")),
        };
        tracing::info!(
            message_id = MESSAGE_CHANGE_ENDED,
            operation = self.change.operation.code(),
            gpu_bdf = %self.change.gpu,
            job_id = self.job.0,
            origin = ?self.actor.origin,
            actor_uid = self.actor.uid,
            outcome = how,
            "{} of {} ended: {how}{trouble}",
            self.change.operation.code(),
            self.change.gpu
        );
    }
}

fn refused(fault: ActFault) -> Refusal {
    match fault {
        ActFault::Said { attempted, said } => Refusal::HostFault { attempted, said },
        ActFault::Hung { attempted, after_ms } => Refusal::Timeout { what: attempted, after_ms },
        ActFault::Unreachable { what, said } => Refusal::Unavailable { what, why: said },
    }
}
