//! The plan that takes a GPU back from a virtual machine and gives every function to the driver that had it.

use super::bounds_of;
use crate::blocker::{Blocked, Blocker};
use crate::holders::Holders;
use crate::ids::PciAddress;
use crate::observation::HostObservation;
use crate::plan::{
    Disruption, FunctionSettings, FunctionsWanted, GroupState, Plan, PlanStep, Postcondition, steps_between,
};
use crate::policy::{Act, Policy, Requester};
use crate::refusal::Refusal;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseRequest<'a> {
    /// The GPU.
    pub gpu: PciAddress,
    /// Who asks.
    pub requester: Requester,
    /// What the record of the binding has of the state before it. `None` = no record of ours.
    pub home: Option<&'a [FunctionSettings]>,
}

/// The plan back home.
/// `holders` are those of `/dev/vfio/GROUP`. Empty where the functions are all back already.
///
/// # Errors
/// `not_found` where there is no such GPU; `bound_by_others` where it is on a vfio driver and no record gives the reason; `in_use`
/// while the group's device file is open.
pub fn plan_release(
    host: &HostObservation,
    seen: &GroupState,
    holders: &Holders,
    policy: &Policy,
    request: &ReleaseRequest<'_>,
) -> Result<Plan, Refusal> {
    let ReleaseRequest { gpu, requester, home } = *request;
    let bounds =
        bounds_of(host, gpu).ok_or_else(|| Refusal::NotFound { what: "GPU".to_owned(), name: gpu.to_string() })?;
    let mut blockers: Vec<Blocker> = Vec::new();
    blockers.extend(policy.explain(Act::PassthroughRelease, requester, Some(gpu)).blocker());
    if home.is_none() {
        blockers.extend(super::checks::bound_by_others(host, seen));
    }
    let wanted: Vec<FunctionSettings> = home.unwrap_or_default().to_vec();
    let steps = steps_between(seen, &wanted);
    if !steps.is_empty() {
        let found = holders.found.clone();
        blockers.extend((!found.is_empty()).then_some(Blocker::InUse { holders: found }));
        let processes = holders.unreadable.clone();
        blockers.extend((!processes.is_empty()).then_some(Blocker::UnknownHolder { processes }));
    }
    if let Some(blocked) = Blocked::by(gpu, blockers) {
        return Err(Refusal::Blocked(blocked));
    }
    let postcondition = Postcondition::Functions(FunctionsWanted { members: wanted, guest_ready: None });
    let steps = steps.into_iter().map(PlanStep::Functions).collect();
    Ok(Plan { bounds, steps, postcondition, disruption: Disruption::None })
}
