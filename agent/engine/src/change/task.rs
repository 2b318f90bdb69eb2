//! One admitted change from a fresh look to its end: refused, planned only, or made. Also the confirmation of one.

use super::change_end::{Ended, Left, as_outcome};
use super::drive::{drive, owned_after, put};
use super::mig_confirmation::MigConfirmation;
use super::ports::ChangePorts;
use super::unread::Guarded;
use super::{MESSAGE_CHANGE_BEGAN, MESSAGE_CHANGE_ENDED};
use crate::command::{Actor, refused as blocked};
use crate::job::JobOutcome;
use crate::jobs::JobTable;
use crate::observer::{Ask, FOR_A_PLAN, look};
use model::blocker::Blocker;
use model::change::{
    Change, ChangeFacts, ChangeId, ChangeMachine, Effect, Entry, FailureCause, Outcome, Phase, PlannedChange, listed,
};
use model::driver::MigMode;
use model::judge::PCI_SCAN_FAILED;
use model::message::Message;
use model::mig::{MigOwned, OwnedNow};
use model::observation::HostObservation;
use model::os_cause::CauseSite;
use model::plan::{Bounds, Look, Plan};
use model::policy::Policy;
use model::ports::{ActError, ActPort, Clock, JournalPort};
use model::refusal::Refusal;
use model::{JobId, PciAddress};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What an admitted command does, over its ports.
pub(crate) enum Work<A, J, K> {
    /// Plans a change, and makes it.
    Change(Box<Task>, ChangePorts<A, Guarded<J>, K>),
    /// Writes down that a change is confirmed.
    Confirm(Confirmation, ChangePorts<A, Guarded<J>, K>),
    /// The same of a change of MIG.
    ConfirmMig(MigConfirmation, ChangePorts<A, Guarded<J>, K>),
}

/// One change that was admitted.
pub(crate) struct Task {
    /// What is to be done.
    pub(super) change: Change,
    /// Only the plan is wanted.
    pub(super) is_dry_run: bool,
    /// Its job.
    pub(super) job: JobId,
    /// Who asked.
    pub(super) actor: Actor,
    /// Where the host is observed again before the plan is made.
    pub(super) observer: mpsc::Sender<Ask>,
    /// What was observed.
    pub(super) observation: watch::Receiver<Arc<HostObservation>>,
    /// Which change it is in the journal.
    pub(super) id: ChangeId,
    /// What it may touch, as the lanes were taken for.
    pub(super) bounds: Bounds,
    /// The MIG instances of its target that are ours, where it is a change of MIG.
    pub(super) owned: Option<MigOwned>,
    /// Why it is refused, unless there is nothing to do: so many changes were made just now.
    pub(super) too_often: Option<Refusal>,
    /// The record of its subject.
    pub(super) record: Option<Entry>,
    /// The policy in force.
    pub(super) policy: Arc<Policy>,
}

/// A binding that somebody confirms.
pub(crate) struct Confirmation {
    /// The GPU.
    pub(super) gpu: PciAddress,
    /// Its record.
    pub(super) record: Box<Entry>,
}

impl<A: ActPort, J: JournalPort, K: Clock> Work<A, J, K> {
    /// Does it, and reports its progress to the job.
    pub(crate) async fn run(self, jobs: &JobTable<K>) -> Ended {
        match self {
            Self::Change(mut task, ports) => task.run(&ports, jobs).await,
            Self::Confirm(confirmation, ports) => confirmation.run(&*ports.journal).await,
            Self::ConfirmMig(confirmation, ports) => confirmation.run(&*ports.journal).await,
        }
    }
}

impl Confirmation {
    async fn run<J: JournalPort>(self, journal: &J) -> Ended {
        let Self { gpu, record } = self;
        if record.phase == Phase::Standing {
            return Ended::early(as_outcome(JobOutcome::AlreadySo));
        }
        let standing = record.in_phase(Phase::Standing);
        match put(journal, &standing).await {
            Ok(()) => Ended { left: Left::Now(Some(Box::new(standing))), ..Ended::early(as_outcome(JobOutcome::Done)) },
            Err(fault) => {
                let attempted = format!("record that {gpu} is confirmed");
                Ended::early(Err(Refusal::HostFault { attempted, said: fault.to_string() }))
            }
        }
    }
}

impl Task {
    /// Looks, plans, and makes the change unless only the plan was asked for.
    async fn run<A: ActPort, J: JournalPort, K: Clock>(
        &mut self,
        ports: &ChangePorts<A, J, K>,
        jobs: &JobTable<K>,
    ) -> Ended {
        let planned = match self.plan(&*ports.act).await {
            Ok(planned) => planned,
            Err(refusal) => return Ended::early(Err(refusal)),
        };
        jobs.planned(self.job, planned.plan.in_words(), &planned.cautions);
        if self.is_dry_run {
            return Ended::early(as_outcome(JobOutcome::Planned));
        }
        if planned.is_already_so {
            return Ended::early(as_outcome(JobOutcome::AlreadySo));
        }
        if let Some(refusal) = &self.too_often {
            return Ended::early(Err(refusal.clone()));
        }
        for caution in &planned.cautions {
            tracing::warn!(
                message_id = Message::ChangeBeganWithCare.id(),
                gpu_bdf = self.change.subject().gpu().map(tracing::field::display),
                "{} of {}: {caution}",
                self.change.act().code(),
                self.change.subject()
            );
        }
        self.make(planned, ports, jobs).await
    }

    async fn plan<A: ActPort>(&mut self, act: &A) -> Result<PlannedChange, Refusal> {
        let moved = || {
            let subject = self.change.subject();
            Refusal::Conflict { why: format!("the IOMMU group of {subject} changed in the meantime; try again") }
        };
        look(&self.observer, FOR_A_PLAN).await?;
        let host = Arc::clone(&self.observation.borrow());
        if self.change.bounds(&host).as_ref() != Ok(&self.bounds) {
            return Err(moved());
        }
        let look = act.look(&self.bounds.target).await.map_err(refused)?;
        let holders = act.holders(&self.bounds.target).await.map_err(refused)?;
        // Switching MIG mode on is no reason to forget what is to return.
        let prunes = !matches!(&self.change, Change::MigMode(request) if request.to == MigMode::Enabled);
        if let (Look::Mig(seen), Some(owned), true) = (&look, &self.owned, prunes) {
            let only_forgets = matches!(&self.change, Change::MigReturn(request) if request.instances.is_empty());
            if only_forgets && matches!(owned.now(seen), OwnedNow::Reloaded(_)) {
                let why = format!("the driver of {} was loaded again, and its MIG instances return", seen.gpu);
                return Err(Refusal::Conflict { why });
            }
            self.owned = Some(owned.seen_in(seen));
        }
        let owned = self.owned.as_ref().map_or_else(Vec::new, MigOwned::places);
        let facts = ChangeFacts {
            host: &host,
            look: &look,
            holders: &holders,
            given: self.given(),
            owned: &owned,
            policy: &self.policy,
            requester: self.actor.origin.requester(),
        };
        let planned = self.change.plan(&facts)?;
        let stays = planned.plan.bounds == self.bounds && planned.plan.stays_in_bounds();
        if stays { Ok(planned) } else { Err(moved()) }
    }

    fn given(&self) -> Option<&Entry> {
        self.record.as_ref().filter(|record| record.is_given())
    }

    /// The record of what the subject returns to.
    fn kept(&self) -> Option<&Entry> {
        self.record.as_ref().filter(|record| record.is_given() || record.is_mig_on_trial())
    }

    async fn make<A: ActPort, J: JournalPort, K: Clock>(
        &self,
        planned: PlannedChange,
        ports: &ChangePorts<A, J, K>,
        jobs: &JobTable<K>,
    ) -> Ended {
        let PlannedChange { plan, before, aftermath, .. } = planned;
        let entry = Entry {
            id: self.id,
            operation: self.change.act(),
            job: self.job,
            actor_uid: self.actor.uid,
            began_at: ports.clock.wall_now(),
            boot_id: ports.boot_id.clone(),
            home: self.kept().map_or_else(|| before.clone(), |record| record.home.within(&plan.bounds.target)),
            before,
            plan,
            confirm_within_ms: self.change.confirm_within_ms(),
            aftermath,
            phase: Phase::Open,
        };
        self.audit_begin(&entry.plan);
        let machine = ChangeMachine::begin(entry, ports.clock.boot_now());
        let (outcome, machine) = {
            let show = |machine: &ChangeMachine, to_do: &Effect| self.show(machine, to_do, jobs);
            drive(machine, ports, self.owned.as_ref(), show).await
        };
        if let Outcome::Quarantined(trouble) = &outcome
            && let Some(ended) = self.gone(trouble, &machine, &*ports.journal).await
        {
            return ended;
        }
        self.audit_end(&outcome);
        // Where only the record of MIG instances was written the host is as it was: that is not a change that a rate counts.
        let is_record_alone = matches!(&self.change, Change::MigReturn(_)) && machine.entry().plan.steps.is_empty();
        Ended { is_made: !is_record_alone, ..self.conclude(&outcome, &machine) }
    }

    /// The end of a change whose GPU is not on the bus any more: there is nothing that could be undone, and nothing to keep from anybody.
    /// A step that hangs in the kernel may still have its effect on what comes to that place: there it is no end.
    async fn gone<J: JournalPort>(
        &self,
        trouble: &FailureCause,
        machine: &ChangeMachine,
        journal: &J,
    ) -> Option<Ended> {
        let gpu = self.change.subject().gpu().filter(|_| !trouble.hangs())?;
        look(&self.observer, FOR_A_PLAN).await.ok()?;
        let host = Arc::clone(&self.observation.borrow());
        let is_scanned = !host.conditions.iter().any(|condition| condition.kind == PCI_SCAN_FAILED);
        if !is_scanned || host.gpu(gpu).is_some() {
            return None;
        }
        journal.remove(&machine.entry().name()).await.ok()?;
        let said =
            format!("{gpu} is gone from the PCI bus, and nothing is left to undo; the last fault was: {trouble}");
        tracing::info!(
            message_id = MESSAGE_CHANGE_ENDED,
            operation = self.change.act().code(),
            gpu_bdf = %gpu,
            job_id = self.job.0,
            origin = ?self.actor.origin,
            actor_uid = self.actor.uid,
            outcome = "gone",
            "{} of {gpu} ended: {said}",
            self.change.act().code()
        );
        let attempted = format!("{} {gpu}", self.change.act().code());
        Some(Ended::made(Err(Refusal::HostFault { attempted, said }), Left::Now(None)))
    }

    /// What of the outcome goes to the job, to the records and to the lanes.
    fn conclude(&self, outcome: &Outcome, machine: &ChangeMachine) -> Ended {
        let attempted = format!("{} {}", self.change.act().code(), self.change.subject());
        let failed = |said| Ended::made(Err(Refusal::HostFault { attempted, said }), Left::AsBefore);
        match outcome {
            Outcome::Done => {
                let left = machine.record_when_done().map(Box::new);
                let owned = self.owned.as_ref().filter(|_| machine.entry().settles_owned());
                let owned = owned.map(|owned| owned_after(owned, machine.entry()));
                Ended { owned, ..Ended::made(as_outcome(JobOutcome::Done), Left::Now(left)) }
            }
            Outcome::Untouched(trouble) => failed(format!("{trouble}. Nothing was changed")),
            Outcome::Restored(trouble) => {
                failed(format!("{trouble}. What was changed has been undone: the host is as it was before"))
            }
            Outcome::Quarantined(trouble) => {
                let why = trouble.to_string();
                let refusal = blocked(self.change.subject(), vec![Blocker::Quarantined { why: why.clone() }]);
                let entry = machine.entry().in_phase(Phase::Quarantined { why: why.clone() });
                let refusal = refusal.unwrap_or_else(|| Refusal::Conflict { why: why.clone() });
                Ended { stuck: Some(why), ..Ended::made(Err(refusal), Left::Now(Some(Box::new(entry)))) }
            }
        }
    }

    fn show<K: Clock>(&self, machine: &ChangeMachine, to_do: &Effect, jobs: &JobTable<K>) {
        let step = match to_do {
            Effect::Journal(_) => "write the journal".to_owned(),
            Effect::Forget => "close the journal entry".to_owned(),
            Effect::Look => "verify the result on the host".to_owned(),
            Effect::Take(step) => step.to_string(),
            Effect::End(_) => return,
        };
        tracing::debug!(subject = %self.change.subject(), restoring = machine.is_restoring(), step, "next step");
        let step = if machine.is_restoring() { format!("undo: {step}") } else { step };
        jobs.step(self.job, step, machine.progress());
    }

    fn audit_begin(&self, plan: &Plan) {
        tracing::info!(
            message_id = MESSAGE_CHANGE_BEGAN,
            operation = self.change.act().code(),
            gpu_bdf = self.change.subject().gpu().map(tracing::field::display),
            lanes = listed(&self.bounds.lanes),
            job_id = self.job.0,
            origin = ?self.actor.origin,
            actor_uid = self.actor.uid,
            plan = plan.in_words().join("; "),
            "{} of {} begins",
            self.change.act().code(),
            self.change.subject()
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
            operation = self.change.act().code(),
            gpu_bdf = self.change.subject().gpu().map(tracing::field::display),
            job_id = self.job.0,
            origin = ?self.actor.origin,
            actor_uid = self.actor.uid,
            outcome = how,
            "{} of {} ended: {how}{trouble}",
            self.change.act().code(),
            self.change.subject()
        );
    }
}

/// The refusal for a look or a step that did not work.
pub(crate) fn refused(fault: ActError) -> Refusal {
    match fault {
        ActError::Refused { attempted, cause } => {
            Refusal::HostFault { attempted, said: cause.with_remedy(CauseSite::Sysfs) }
        }
        ActError::Hung { attempted, after_ms } => Refusal::Timeout { what: attempted, after_ms },
        ActError::Unreachable { what, cause } => Refusal::Unavailable { what, why: cause.said },
    }
}
