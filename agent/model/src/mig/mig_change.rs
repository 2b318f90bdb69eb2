//! Changing a GPU's MIG layout or mode: pure plans, with every precondition before the first step.

use super::catalog::{MigCatalog, Placement};
use super::layout::{Instance, Present, read_wishes, wishes_text};
use super::layout_refusal::{MigRefusal, MigRefused};
use super::mig_blocked::MigBlocked;
use super::mig_state::{MigComputeInstance, MigGpuInstance, MigOnGpu};
use super::mig_wanted::{MigWanted, StayingCompute};
use super::plan::{KeptInstance, LaidOut, MigPlan, plan};
use crate::absence::Reading;
use crate::blocker::{Blocked, Blocker};
use crate::driver::MigMode;
use crate::holders::{Holder, Holders};
use crate::ids::PciAddress;
use crate::plan::{Bounds, Disruption, Plan, PlanStep, Postcondition, Target};
use crate::refusal::Refusal;

/// A layout that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigLayoutRequest {
    /// The GPU.
    pub gpu: PciAddress,
    /// All instances that it is to have, `PROFILE[@START][:COUNT],…`, or `-` for none.
    pub layout: String,
    /// Instances that gpuhostd did not create may be destroyed as well.
    pub replace_foreign: bool,
    /// Undone unless it is confirmed in this time.
    pub confirm_within_ms: Option<u64>,
}

/// A mode that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigModeRequest {
    /// The GPU.
    pub gpu: PciAddress,
    /// The mode.
    pub to: MigMode,
    /// Undone unless it is confirmed in this time.
    pub confirm_within_ms: Option<u64>,
}

/// The instances that gpuhostd had created before a boot or a load of the driver are to exist again. With none of them only the record is
/// written: what of it is gone is not ours any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigReturnRequest {
    /// The GPU.
    pub gpu: PciAddress,
    /// The recorded instances.
    pub instances: Vec<LaidOut>,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct MigFacts<'a> {
    /// MIG on the GPU, observed afresh.
    pub seen: &'a MigOnGpu,
    /// Who uses the GPU and its instances.
    pub holders: &'a Holders,
    /// The instances on it that gpuhostd has created.
    pub owned: &'a [Instance],
    /// The GPU is given to a virtual machine.
    pub is_given: bool,
    /// What the policy and everything else outside MIG has against it.
    pub blockers: &'a [Blocker],
}

/// Plans a layout. What is in use is never touched; what gpuhostd did not create only where the request allows it.
///
/// # Errors
/// What is in its way.
pub fn plan_layout(bounds: Bounds, request: &MigLayoutRequest, facts: &MigFacts<'_>) -> Result<Plan, Refusal> {
    let mut blockers = facts.blockers.to_vec();
    blockers.extend(facts.is_given.then_some(Blocker::GivenAway));
    blockers.extend(mode_must_be_on(facts.seen));
    refused(request.gpu, blockers)?;
    let catalog = catalog(facts.seen, request.gpu)?;
    let wishes = read_wishes(&request.layout, catalog)
        .map_err(|why| Refusal::InvalidArgument { argument: "layout".to_owned(), why: why.to_string() })?;
    let present = facts.seen.present(facts.holders);
    let refuse = |why| blocked(request.gpu, why, facts);
    let found = if request.replace_foreign {
        plan(catalog, &present, &wishes).map_err(refuse)?
    } else {
        // Pinned as if it were in use, the search keeps what is somebody else's wherever it can.
        let found = plan(catalog, &pinned(&present, facts.owned), &wishes)
            .or_else(|_| plan(catalog, &present, &wishes))
            .map_err(refuse)?;
        let instances = foreign(&found, facts.owned);
        refused(
            request.gpu,
            (!instances.is_empty()).then_some(Blocker::MigForeign { instances }).into_iter().collect(),
        )?;
        found
    };
    whole(bounds, wanted(&found, facts), facts)
}

/// Plans a mode. The GPU must be idle; with the mode its instances go.
///
/// # Errors
/// What is in its way.
pub fn plan_mode(bounds: Bounds, request: &MigModeRequest, facts: &MigFacts<'_>) -> Result<Plan, Refusal> {
    let MigModeRequest { gpu, to, .. } = *request;
    let seen = facts.seen;
    let mut blockers = facts.blockers.to_vec();
    blockers.extend(facts.is_given.then_some(Blocker::GivenAway));
    if let Reading::Absent(why) = &seen.current {
        blockers.push(Blocker::MigUnknown { why: why.code().to_owned() });
    }
    let is_on = seen.current.get() == Some(to);
    let is_so = is_on && seen.pending.get().is_none_or(|pending| pending == to);
    if !is_so {
        blockers.extend(must_be_idle(seen, facts.holders));
    }
    if !is_on {
        blockers.extend(must_switch_without_reset(seen));
        let instances = seen.instances.iter().map(MigGpuInstance::instance);
        let instances: Vec<Instance> = instances.filter(|one| !facts.owned.contains(one)).collect();
        blockers.extend((!instances.is_empty()).then_some(Blocker::MigForeign { instances }));
    }
    refused(gpu, blockers)?;
    let touched = seen.instances.iter().map(MigGpuInstance::instance).collect();
    let all_there = seen.instances.iter().map(|one| LaidOut { instance: one.instance(), compute: one.slices() });
    // A mode that was only to come with the next reset is taken back, and the instances stay.
    let instances = if is_on { all_there.collect() } else { Vec::new() };
    let wanted = MigWanted { touched, instances, mode: Some(to), ..MigWanted::default() };
    whole(bounds, if is_so { MigWanted { mode: Some(to), ..MigWanted::default() } } else { wanted }, facts)
}

/// Plans the return of recorded instances after a boot or after the driver was loaded again: what is missing is created at its place, and nothing is destroyed. Drivers that
/// bring a layout back by themselves leave nothing to do; what has no room beside others, or no place on this driver, stays away.
///
/// # Errors
/// What is in its way.
pub fn plan_return(bounds: Bounds, request: &MigReturnRequest, facts: &MigFacts<'_>) -> Result<Plan, Refusal> {
    let seen = facts.seen;
    let mut blockers = facts.blockers.to_vec();
    blockers.extend(facts.is_given.then_some(Blocker::GivenAway));
    if let Reading::Absent(why) = &seen.current {
        blockers.push(Blocker::MigUnknown { why: why.code().to_owned() });
    }
    // For nothing that is to return, nothing is switched.
    let is_on = mode_must_be_on(seen).is_none() || request.instances.is_empty();
    if !is_on {
        blockers.extend(must_be_idle(seen, facts.holders));
        blockers.extend(must_switch_without_reset(seen));
    }
    refused(request.gpu, blockers)?;
    let missing = request.instances.iter().filter(|one| seen.find(&one.instance).is_none());
    let instances: Vec<LaidOut> = missing.filter(|one| has_room(seen, &one.instance)).cloned().collect();
    let touched = instances.iter().map(|one| one.instance.clone()).collect();
    let mode = (!is_on).then_some(MigMode::Enabled);
    whole(bounds, MigWanted { touched, instances, stays: Vec::new(), mode }, facts)
}

/// The place exists and nothing is there. Without a list of profiles only the driver can tell, and then no instance exists either.
fn has_room(seen: &MigOnGpu, place: &Instance) -> bool {
    let Some(catalog) = seen.catalog.known() else { return true };
    let profile = catalog.find(&place.profile).and_then(|number| catalog.profile(number));
    let Some(placement) = profile.and_then(|profile| profile.placement(place.start)) else { return false };
    let mask = |one: &MigGpuInstance| Placement { start: one.start, size: one.size }.mask();
    seen.instances.iter().all(|one| mask(one) & placement.mask() == 0)
}

/// The plan to what is wanted. A process that could not be looked into may have whatever is destroyed.
pub(super) fn whole(bounds: Bounds, wanted: MigWanted, facts: &MigFacts<'_>) -> Result<Plan, Refusal> {
    must_be_the_same_card(&bounds, facts.seen)?;
    let steps = wanted.steps_from(facts.seen);
    let destroys = steps.iter().any(super::MigStep::destroys);
    if destroys && !facts.holders.unreadable.is_empty() {
        let processes = facts.holders.unreadable.clone();
        refused(facts.seen.gpu, vec![Blocker::UnknownHolder { processes }])?;
    }
    Ok(Plan {
        bounds,
        steps: steps.into_iter().map(PlanStep::Mig).collect(),
        postcondition: Postcondition::Mig(wanted),
        disruption: Disruption::None,
    })
}

/// Another card may have come to the address since the host was observed.
fn must_be_the_same_card(bounds: &Bounds, seen: &MigOnGpu) -> Result<(), Refusal> {
    let is_another = match (&bounds.target, seen.uuid.known()) {
        (Target::Mig(target), Some(uuid)) => target.uuid != *uuid,
        (Target::Mig(_) | Target::Functions(_), _) => false,
    };
    if is_another {
        return Err(Refusal::Conflict { why: format!("{} is another card now; try again", seen.gpu) });
    }
    Ok(())
}

fn catalog(seen: &MigOnGpu, gpu: PciAddress) -> Result<&MigCatalog, Refusal> {
    match &seen.catalog {
        Reading::Known(catalog) => Ok(catalog),
        Reading::Absent(why) => {
            let blocker = Blocker::MigUnknown { why: format!("its profiles are not reported ({})", why.code()) };
            refused(gpu, vec![blocker])?;
            Err(Refusal::Conflict { why: format!("{gpu}: its MIG profiles are not known") })
        }
    }
}

pub(super) fn mode_must_be_on(seen: &MigOnGpu) -> Option<Blocker> {
    match (&seen.current, &seen.pending) {
        (Reading::Absent(why), _) => Some(Blocker::MigUnknown { why: why.code().to_owned() }),
        (Reading::Known(MigMode::Enabled), Reading::Known(MigMode::Enabled) | Reading::Absent(_)) => None,
        (Reading::Known(_), _) => Some(Blocker::MigOff),
    }
}

pub(super) fn must_be_idle(seen: &MigOnGpu, holders: &Holders) -> Vec<Blocker> {
    let users = seen.users(holders);
    let in_use = (!users.is_empty()).then_some(Blocker::InUse { holders: users });
    let unknown =
        (!holders.unreadable.is_empty()).then(|| Blocker::UnknownHolder { processes: holders.unreadable.clone() });
    in_use.into_iter().chain(unknown).collect()
}

/// The driver's own word decides, never the architecture.
pub(super) fn must_switch_without_reset(seen: &MigOnGpu) -> Option<Blocker> {
    let is_known = seen.switches_without_reset.get() == Some(true);
    (!is_known).then_some(Blocker::MigNeedsReset)
}

/// What is present, with what is somebody else's marked as if it were in use.
fn pinned(present: &[Present], owned: &[Instance]) -> Vec<Present> {
    let pin = |one: &Present| {
        let is_foreign = !owned.contains(&one.instance);
        let mut one = one.clone();
        if is_foreign {
            one.in_use = true;
            one.compute.iter_mut().for_each(|compute| compute.in_use = true);
        }
        one
    };
    present.iter().map(pin).collect()
}

fn changes(kept: &KeptInstance) -> bool {
    !kept.destroy_compute.is_empty() || !kept.create_compute.is_empty()
}

/// The instances that a plan destroys or changes, and that gpuhostd did not create.
fn foreign(found: &MigPlan, owned: &[Instance]) -> Vec<Instance> {
    let changed = found.keep.iter().filter(|kept| changes(kept)).map(|kept| &kept.instance);
    let touched = found.destroy.iter().chain(changed);
    touched.filter(|instance| !owned.contains(instance)).cloned().collect()
}

/// What the plan of the layout wants of the places that it touches.
fn wanted(found: &MigPlan, facts: &MigFacts<'_>) -> MigWanted {
    let mut wanted = MigWanted { instances: found.create.clone(), ..MigWanted::default() };
    wanted.touched = found.destroy.clone();
    wanted.touched.extend(found.create.iter().map(|one| one.instance.clone()));
    for kept in found.keep.iter().filter(|kept| changes(kept)) {
        let within = &kept.instance;
        let stays = facts.seen.find(within).map_or_else(Vec::new, |there| staying(there, kept, facts.holders));
        let compute = stays.iter().map(|one| one.slices).chain(kept.create_compute.iter().copied()).collect();
        wanted.stays.extend(stays.iter().map(|one| StayingCompute { within: within.clone(), id: one.id }));
        wanted.touched.push(within.clone());
        wanted.instances.push(LaidOut { instance: within.clone(), compute });
    }
    wanted
}

/// The compute instances of a kept GPU instance that stay: of those that are alike, an idle one goes.
fn staying<'a>(there: &'a MigGpuInstance, kept: &KeptInstance, holders: &Holders) -> Vec<&'a MigComputeInstance> {
    let mut go = kept.destroy_compute.clone();
    let stays = |compute: &&MigComputeInstance| {
        if there.is_used(compute, holders) {
            return true;
        }
        match go.iter().position(|slices| *slices == compute.slices) {
            Some(at) => {
                go.swap_remove(at);
                false
            }
            None => true,
        }
    };
    there.compute.iter().filter(stays).collect()
}

/// The refusal, with who has the instances that it names.
fn blocked(gpu: PciAddress, refused: MigRefused, facts: &MigFacts<'_>) -> Refusal {
    let named = if let MigRefusal::InUseBlocks { instances } | MigRefusal::InUseNotWanted { instances } = &refused.why {
        instances.as_slice()
    } else {
        &[]
    };
    let has_one = |holder: &Holder| {
        let mut ids = named.iter().filter_map(|instance| facts.seen.find(instance));
        ids.any(|instance| holder.has_instance(instance.id, None))
    };
    let holders = facts.seen.users(facts.holders).into_iter().filter(has_one).collect();
    Refusal::Mig(MigBlocked { gpu, why: refused.why, largest: wishes_text(&refused.largest), holders })
}

pub(super) fn refused(gpu: PciAddress, blockers: Vec<Blocker>) -> Result<(), Refusal> {
    Blocked::by(gpu, blockers).map_or(Ok(()), |blocked| Err(Refusal::Blocked(blocked)))
}
