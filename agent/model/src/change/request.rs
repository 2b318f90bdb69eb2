//! The changes that can be asked for: each is a variant with a planner, which is pure.

use super::aftermath::{Aftermath, OnDone};
use super::entry::Entry;
use crate::blocker::{Blocked, Blocker};
use crate::holders::Holders;
use crate::ids::PciAddress;
use crate::mig::{
    Instance, MigFacts, MigLayoutRequest, MigModeRequest, MigOnGpu, MigReturnRequest, MigTakeBackRequest, plan_layout,
    plan_mode, plan_return, plan_take_back,
};
use crate::observation::HostObservation;
use crate::passthrough::{
    BindRequest, Caution, ReleaseRequest, bounds_of, cautions, in_parts, named_by_driver, plan_passthrough,
    plan_release, scope_of,
};
use crate::plan::{Bounds, Former, GroupState, Look, MigTarget, Plan, Subject};
use crate::policy::{Act, Policy, Requester};
use crate::refusal::Refusal;

/// Give a GPU to a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// The GPU.
    pub gpu: PciAddress,
    /// Undone unless it is confirmed in this time.
    pub confirm_within_ms: Option<u64>,
    /// Memory of the guest, where the caller knows it.
    pub guest_memory_mib: Option<u64>,
}

/// A change of the host that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give a GPU to a virtual machine.
    PassthroughBind(Bind),
    /// Take a GPU back from a virtual machine.
    PassthroughRelease(PciAddress),
    /// Change how a GPU is cut into MIG devices.
    MigLayout(MigLayoutRequest),
    /// Switch MIG mode of a GPU.
    MigMode(MigModeRequest),
    /// Create again after a boot the MIG instances that gpuhostd had created before it.
    MigReturn(MigReturnRequest),
    /// Undo a change of MIG that was not confirmed in time.
    MigTakeBack(Box<MigTakeBackRequest>),
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct ChangeFacts<'a> {
    /// The host, observed afresh.
    pub host: &'a HostObservation,
    /// The target, looked at closely.
    pub look: &'a Look,
    /// Who uses the target.
    pub holders: &'a Holders,
    /// The record by which the subject is given away; `None` = it is not, or not by us.
    pub given: Option<&'a Entry>,
    /// The MIG instances on the target that gpuhostd has created.
    pub owned: &'a [Instance],
    /// The policy in force.
    pub policy: &'a Policy,
    /// Who asks.
    pub requester: Requester,
}

/// A change that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// What is done.
    pub plan: Plan,
    /// What was observed before it, as far as the plan touches it.
    pub before: Former,
    /// What remains of it in the journal.
    pub aftermath: Aftermath,
    /// What is worth knowing of it.
    pub cautions: Vec<Caution>,
    /// The host is already so, and the journal too: there is nothing to do.
    pub is_already_so: bool,
}

impl Change {
    /// Which act it is.
    #[must_use]
    pub const fn act(&self) -> Act {
        match self {
            Self::PassthroughBind(_) => Act::PassthroughBind,
            Self::PassthroughRelease(_) => Act::PassthroughRelease,
            Self::MigLayout(_) | Self::MigReturn(_) => Act::MigLayout,
            Self::MigMode(_) => Act::MigMode,
            Self::MigTakeBack(request) => request.act,
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        match self {
            Self::PassthroughBind(Bind { gpu, .. })
            | Self::PassthroughRelease(gpu)
            | Self::MigMode(MigModeRequest { gpu, .. }) => Subject::Gpu(*gpu),
            Self::MigLayout(MigLayoutRequest { gpu, .. }) | Self::MigReturn(MigReturnRequest { gpu, .. }) => {
                Subject::MigLayout(*gpu)
            }
            Self::MigTakeBack(request) => request.bounds.subject,
        }
    }

    /// The time in which it has to be confirmed.
    #[must_use]
    pub const fn confirm_within_ms(&self) -> Option<u64> {
        match self {
            Self::PassthroughBind(bind) => bind.confirm_within_ms,
            Self::MigLayout(request) => request.confirm_within_ms,
            Self::MigMode(request) => request.confirm_within_ms,
            Self::PassthroughRelease(_) | Self::MigReturn(_) | Self::MigTakeBack(_) => None,
        }
    }

    /// What it leaves in the journal.
    fn aftermath(&self) -> Aftermath {
        match self {
            Self::MigTakeBack(request) => Aftermath::of_taking_back(request.act),
            Self::MigLayout(_) | Self::MigMode(_) if self.confirm_within_ms().is_some() => Aftermath::MIG_ON_TRIAL,
            Self::PassthroughBind(_)
            | Self::PassthroughRelease(_)
            | Self::MigLayout(_)
            | Self::MigMode(_)
            | Self::MigReturn(_) => Aftermath::of(self.act()),
        }
    }

    /// What it may touch, after an observation.
    ///
    /// # Errors
    /// `not_found` where its subject is not there.
    pub fn bounds(&self, host: &HostObservation) -> Result<Bounds, Refusal> {
        let missing = |gpu: &PciAddress| Refusal::NotFound { what: "GPU".to_owned(), name: gpu.to_string() };
        let functions = |gpu: &PciAddress| bounds_of(host, *gpu).ok_or_else(|| missing(gpu));
        let mig = |gpu: &PciAddress| {
            let scope = scope_of(host, *gpu).ok_or_else(|| missing(gpu))?;
            let uuid = host.gpu(*gpu).and_then(|gpu| gpu.driver.as_ref()?.uuid.known().cloned());
            let uuid = uuid.ok_or_else(|| unknown_uuid(*gpu))?;
            Ok(MigTarget { lane: scope.lane, gpu: scope.gpu, uuid })
        };
        match self {
            Self::PassthroughBind(Bind { gpu, .. }) | Self::PassthroughRelease(gpu) => functions(gpu),
            Self::MigLayout(MigLayoutRequest { gpu, .. }) | Self::MigReturn(MigReturnRequest { gpu, .. }) => {
                mig(gpu).map(Bounds::of_mig_layout)
            }
            Self::MigMode(MigModeRequest { gpu, .. }) => mig(gpu).map(Bounds::of_mig_mode),
            Self::MigTakeBack(request) => request.bounds_in(mig(&request.gpu)?),
        }
    }

    /// Plans it.
    ///
    /// # Errors
    /// What is in its way.
    pub fn plan(&self, facts: &ChangeFacts<'_>) -> Result<PlannedChange, Refusal> {
        let plan = match (self, facts.look) {
            (Self::PassthroughBind(bind), Look::Functions(seen)) => self.plan_bind(bind, seen, facts)?,
            (Self::PassthroughRelease(gpu), Look::Functions(seen)) => self.plan_release(*gpu, seen, facts)?,
            (Self::MigLayout(request), Look::Mig(seen)) => {
                plan_layout(self.bounds(facts.host)?, request, &self.mig_facts(seen, facts, &self.denied_mig(facts)))?
            }
            (Self::MigReturn(request), Look::Mig(seen)) => {
                let mut blockers = self.denied(facts);
                // Writing down what is gone fights nobody.
                let creates = !request.instances.is_empty();
                blockers.extend(Blocker::mig_master(&facts.host.host.mig_masters).filter(|_| creates));
                plan_return(self.bounds(facts.host)?, request, &self.mig_facts(seen, facts, &blockers))?
            }
            (Self::MigMode(request), Look::Mig(seen)) => {
                // A process of another PID namespace is seen by the driver alone.
                let mut holders = facts.holders.clone();
                let named = facts.host.gpu(request.gpu).map(|gpu| named_by_driver(facts.holders, gpu));
                holders.found.extend(named.unwrap_or_default());
                let facts = ChangeFacts { holders: &holders, ..*facts };
                plan_mode(self.bounds(facts.host)?, request, &self.mig_facts(seen, &facts, &self.denied_mig(&facts)))?
            }
            // What was promised for that time no policy puts off.
            (Self::MigTakeBack(request), Look::Mig(seen)) => {
                let mut holders = facts.holders.clone();
                let named = facts.host.gpu(request.gpu).map(|gpu| named_by_driver(facts.holders, gpu));
                holders.found.extend(named.unwrap_or_default());
                let facts = ChangeFacts { holders: &holders, ..*facts };
                plan_take_back(self.bounds(facts.host)?, request, &self.mig_facts(seen, &facts, &[]))?
            }
            (
                Self::PassthroughBind(_)
                | Self::PassthroughRelease(_)
                | Self::MigLayout(_)
                | Self::MigMode(_)
                | Self::MigReturn(_)
                | Self::MigTakeBack(_),
                Look::Functions(_) | Look::Mig(_),
            ) => {
                let why = format!("{}: something else was observed; try again", self.subject());
                return Err(Refusal::Conflict { why });
            }
        };
        let vanished =
            || Refusal::Conflict { why: "a function disappeared during the observation; try again".to_owned() };
        let before = facts.look.former(&plan).ok_or_else(vanished)?;
        let aftermath = self.aftermath();
        // Somebody else may have taken it back: then the record by which it was given away is left to be closed.
        let has_record_to_close = aftermath.on_done == OnDone::Forget && facts.given.is_some();
        // That they have returned is written down also where the driver has brought them back: it is done once in a boot.
        let has_return_to_record = matches!(self, Self::MigReturn(_) | Self::MigTakeBack(_));
        Ok(PlannedChange {
            is_already_so: plan.steps.is_empty() && !has_record_to_close && !has_return_to_record,
            cautions: self.subject().gpu().map_or_else(Vec::new, |gpu| cautions(facts.host, self.act(), gpu)),
            plan,
            before,
            aftermath,
        })
    }

    fn plan_bind(&self, bind: &Bind, seen: &GroupState, facts: &ChangeFacts<'_>) -> Result<Plan, Refusal> {
        let request = BindRequest {
            gpu: bind.gpu,
            requester: facts.requester,
            guest_memory_mib: bind.guest_memory_mib,
            given_by_us: facts.given.is_some(),
        };
        plan_passthrough(facts.host, seen, facts.holders, facts.policy, &request)
    }

    fn plan_release(&self, gpu: PciAddress, seen: &GroupState, facts: &ChangeFacts<'_>) -> Result<Plan, Refusal> {
        let bounds = self.bounds(facts.host)?;
        let home = facts.given.map(|record| record.home.within(&bounds.target));
        let home = home.as_ref().and_then(|home| match home {
            Former::Functions(home) => Some(home.as_slice()),
            Former::Mig(_) => None,
        });
        let request = ReleaseRequest { gpu, requester: facts.requester, home };
        plan_release(facts.host, seen, facts.holders, facts.policy, &request)
    }

    fn denied(&self, facts: &ChangeFacts<'_>) -> Vec<Blocker> {
        facts.policy.explain(self.act(), facts.requester, self.subject().gpu()).blocker().into_iter().collect()
    }

    /// The same with what keeps MIG of the GPU from being changed at all.
    fn denied_mig(&self, facts: &ChangeFacts<'_>) -> Vec<Blocker> {
        let mut blockers = self.denied(facts);
        let gpu = self.subject().gpu().and_then(|gpu| facts.host.gpu(gpu));
        blockers.extend(gpu.into_iter().flat_map(|gpu| in_parts(gpu, self.act() == Act::MigMode)));
        blockers
    }

    fn mig_facts<'a>(&self, seen: &'a MigOnGpu, facts: &ChangeFacts<'a>, blockers: &'a [Blocker]) -> MigFacts<'a> {
        MigFacts { seen, holders: facts.holders, owned: facts.owned, is_given: facts.given.is_some(), blockers }
    }
}

/// Which instances are whose is remembered by the UUID.
fn unknown_uuid(gpu: PciAddress) -> Refusal {
    let why = "the driver does not report its UUID".to_owned();
    let blocked = Blocked::by(gpu, vec![Blocker::MigUnknown { why: why.clone() }]);
    blocked.map_or(Refusal::Conflict { why }, Refusal::Blocked)
}
