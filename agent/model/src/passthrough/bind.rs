//! The plan that gives a GPU to a virtual machine, or everything that is in its way.

use super::{bounds_of, checks, fitness, persistence, vfio_driver};
use crate::blocker::{Blocked, Blocker};
use crate::holders::Holders;
use crate::ids::PciAddress;
use crate::observation::HostObservation;
use crate::plan::{
    Disruption, FunctionSettings, FunctionsWanted, GroupState, MemberState, Plan, PlanStep, Postcondition,
    PowerControl, steps_between,
};
use crate::policy::{Act, Policy, Requester};
use crate::refusal::Refusal;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindRequest {
    /// The GPU.
    pub gpu: PciAddress,
    /// Who asks.
    pub requester: Requester,
    /// Memory of the guest, where the caller knows it, in MiB.
    pub guest_memory_mib: Option<u64>,
    /// A record of ours reports that the group is given away already: then there is nothing to do, and nothing is refused.
    pub given_by_us: bool,
}

/// The plan: `driver_override` of every member first, then each is unbound, then the kernel looks for drivers, then power is
/// kept on. Empty where a record of ours reports that the group is given away and the host shows it.
///
/// # Errors
/// `not_found` where there is no such GPU; else every blocker at once, the first of which gives the code.
pub fn plan_passthrough(
    host: &HostObservation,
    seen: &GroupState,
    holders: &Holders,
    policy: &Policy,
    request: &BindRequest,
) -> Result<Plan, Refusal> {
    let bounds = bounds_of(host, request.gpu)
        .ok_or_else(|| Refusal::NotFound { what: "GPU".to_owned(), name: request.gpu.to_string() })?;
    if let Some(blocked) = Blocked::by(request.gpu, blockers(host, seen, holders, policy, request)) {
        return Err(Refusal::Blocked(blocked));
    }
    // Both were made sure of by the checks: without them there is a blocker.
    let unknown = |what: &str| Refusal::Unavailable { what: what.to_owned(), why: "it could not be read".to_owned() };
    let group = seen.group.get().ok_or_else(|| unknown("the IOMMU group"))?;
    let wanted = wanted(seen);
    Ok(Plan {
        steps: steps_between(seen, &wanted).into_iter().map(PlanStep::Functions).collect(),
        bounds,
        postcondition: Postcondition::Functions(FunctionsWanted { members: wanted, guest_ready: Some(group) }),
        disruption: Disruption::None,
    })
}

/// How every endpoint of the group is to be.
fn wanted(seen: &GroupState) -> Vec<FunctionSettings> {
    let driver = vfio_driver(seen);
    let given = |member: &MemberState| FunctionSettings {
        address: member.address,
        driver: driver.clone(),
        driver_override: driver.clone(),
        d3cold_allowed: member.d3cold_allowed.known().map(|_| false),
        power_control: member.power_control.known().map(|_| PowerControl::On),
    };
    seen.endpoints().map(given).collect()
}

/// Everything that prevents it, in the order in which a person would mend it; empty = nothing does.
#[must_use]
pub fn blockers(
    host: &HostObservation,
    seen: &GroupState,
    holders: &Holders,
    policy: &Policy,
    request: &BindRequest,
) -> Vec<Blocker> {
    let Some(gpu) = host.gpu(request.gpu) else { return Vec::new() };
    let mut all: Vec<Blocker> = Vec::new();
    all.extend(policy.explain(Act::PassthroughBind, request.requester, Some(request.gpu)).blocker());
    all.extend(checks::group(host, seen, gpu));
    all.extend(checks::mediated(gpu, seen));
    all.extend(checks::mig(gpu));
    all.extend(checks::console(gpu, seen, &policy.host.passthrough));
    all.extend(checks::readable(seen));
    all.extend(checks::vfio(seen));
    if request.given_by_us && steps_between(seen, &wanted(seen)).is_empty() {
        // There is nothing to do, and the guest that has it is its rightful holder.
        return all;
    }
    if !request.given_by_us {
        all.extend(checks::bound_by_others(host, seen));
    }
    all.extend(fitness::fit(gpu));
    all.extend(persistence::off(host, gpu));
    all.extend(checks::holders(holders, seen, gpu));
    let wanted = request.guest_memory_mib;
    all.extend(wanted.and_then(|mib| checks::guest_memory(host, mib, &policy.host.passthrough)));
    all
}
