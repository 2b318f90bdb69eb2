//! Undoing a change of MIG that was not confirmed in time: back to the places as they were, unless something uses what would go.

use super::catalog::Placement;
use super::layout::Instance;
use super::mig_change::{MigFacts, mode_must_be_on, must_be_idle, must_switch_without_reset, refused, whole};
use super::mig_state::MigGpuInstance;
use super::mig_step::MigStep;
use super::mig_wanted::MigWanted;
use crate::blocker::Blocker;
use crate::holders::Holder;
use crate::ids::PciAddress;
use crate::plan::{Bounds, MigTarget, Plan, Subject, Target};
use crate::policy::Act;
use crate::refusal::Refusal;

/// A change of MIG that was not confirmed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigTakeBackRequest {
    /// The GPU.
    pub gpu: PciAddress,
    /// What the change was.
    pub act: Act,
    /// What it could touch.
    pub bounds: Bounds,
    /// The places that it touched, as they were before it.
    pub home: MigWanted,
}

impl MigTakeBackRequest {
    /// What undoing may touch, where the target is this now.
    ///
    /// # Errors
    /// Another card is at the place, or the kernel has put the card into another group.
    pub fn bounds_in(&self, target: MigTarget) -> Result<Bounds, Refusal> {
        let is_same = Target::Mig(target.clone()) == self.bounds.target;
        let now = match self.bounds.subject {
            Subject::MigLayout(_) => Bounds::of_mig_layout(target),
            Subject::Gpu(_) | Subject::Group(_) | Subject::Docker | Subject::Driver => Bounds::of_mig_mode(target),
        };
        if is_same {
            return Ok(now);
        }
        let why = format!("{} is another card or in another IOMMU group than when its MIG was changed", self.gpu);
        Err(Refusal::Conflict { why })
    }
}

/// Plans it. Nothing in use is destroyed and nothing that another program created meanwhile: then the change stays until that has gone.
///
/// # Errors
/// What is in its way.
pub fn plan_take_back(bounds: Bounds, request: &MigTakeBackRequest, facts: &MigFacts<'_>) -> Result<Plan, Refusal> {
    let seen = facts.seen;
    let is_off = mode_must_be_on(seen);
    let mut blockers: Vec<Blocker> = facts.blockers.to_vec();
    // The driver was loaded again: with it every instance went, and those that the record names return by themselves.
    if request.home.mode.is_none() && is_off == Some(Blocker::MigOff) {
        return whole(bounds, MigWanted::default(), facts);
    }
    if request.home.mode.is_none() {
        blockers.extend(is_off);
    } else if request.home.mode != seen.current.get() {
        blockers.extend(must_be_idle(seen, facts.holders));
        blockers.extend(must_switch_without_reset(seen));
    }
    blockers.extend(used(&request.home, facts));
    blockers.extend(in_the_way(&request.home, facts));
    refused(request.gpu, blockers)?;
    whole(bounds, request.home.clone(), facts)
}

/// Who uses what would be destroyed. The places themselves count, not the steps to them: those leave out what the driver names a
/// process on.
fn used(home: &MigWanted, facts: &MigFacts<'_>) -> Option<Blocker> {
    let mut idle = facts.seen.clone();
    for compute in idle.instances.iter_mut().flat_map(|one| &mut one.compute) {
        compute.processes.clear();
    }
    let steps = home.steps_from(&idle);
    let users = facts.seen.users(facts.holders);
    let has = |holder: &Holder| steps.iter().any(|step| touches(step, facts, holder));
    let holders: Vec<Holder> = users.into_iter().filter(has).collect();
    (!holders.is_empty()).then_some(Blocker::InUse { holders })
}

/// The step destroys something that the holder has.
fn touches(step: &MigStep, facts: &MigFacts<'_>, holder: &Holder) -> bool {
    let there = |place: &Instance| facts.seen.find(place).map(|one| one.id);
    match step {
        MigStep::DestroyCompute { within, id, .. } => {
            there(within).is_some_and(|gpu_instance| holder.has_instance(gpu_instance, Some(*id)))
        }
        MigStep::DestroyGpu { instance } => there(instance).is_some_and(|id| holder.has_instance(id, None)),
        MigStep::CreateGpu { .. } | MigStep::CreateCompute { .. } | MigStep::SetMode { .. } => false,
    }
}

/// Instances that another program created meanwhile where one has to be again, or on a GPU whose mode goes off.
fn in_the_way(home: &MigWanted, facts: &MigFacts<'_>) -> Option<Blocker> {
    let goes_off = home.mode.is_some() && home.instances.is_empty() && home.mode != facts.seen.current.get();
    let mask = |start, size| Placement { start, size }.mask();
    let catalog = facts.seen.catalog.known();
    let place = |one: &Instance| {
        let profile = catalog.and_then(|catalog| catalog.profile(catalog.find(&one.profile)?));
        profile.and_then(|profile| profile.placement(one.start))
    };
    let missing = home.instances.iter().filter(|one| facts.seen.find(&one.instance).is_none());
    let wanted = missing.filter_map(|one| place(&one.instance)).fold(0, |all, placement| all | placement.mask());
    let is_other = |one: &&MigGpuInstance| !home.touched.contains(&one.instance());
    let hinders = |one: &&MigGpuInstance| goes_off || mask(one.start, one.size) & wanted != 0;
    let others = facts.seen.instances.iter().filter(is_other).filter(hinders);
    let instances: Vec<Instance> = others.map(MigGpuInstance::instance).collect();
    (!instances.is_empty()).then_some(Blocker::MigForeign { instances })
}
