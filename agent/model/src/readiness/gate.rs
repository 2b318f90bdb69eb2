//! The gates of the readiness call: each is a pure function over what is published of the host, and names what it waits for.

use super::gate_state::{GateName, UnmetGate};
use crate::desired::{Desired, DesiredSections, DesiredState, DocumentId};
use crate::enrol::{CheckinState, CheckinStatus};
use crate::health::HealthState;
use crate::nvidia_container::{NvidiaPhase, NvidiaRole, NvidiaState, NvidiaStatus, NvidiaWish};
use crate::observation::{CauseLink, ChainLink, Gpu, GpuUse, HostObservation};
use crate::pci::VENDOR_NVIDIA;
use crate::reconcile::Shown;
use crate::workspace_life::{WorkspaceState, WorkspacesState};

/// So many things are named of a gate that waits for several.
const NAMED_MOST: usize = 4;

/// The latest of everything that a gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct ReadinessFacts<'a> {
    /// The host as everybody sees it.
    pub host: &'a HostObservation,
    /// How far NVIDIA's two containers are.
    pub nvidia: &'a NvidiaState,
    /// Which of them are wished.
    pub deployment: &'a NvidiaWish,
    /// What is wished, and by whom.
    pub desired: &'a DesiredState,
    /// The manager's document that the items are about.
    pub in_force: Option<&'a DocumentId>,
    /// Every item of the desired state.
    pub items: &'a [Shown],
    /// How far workspaces are.
    pub workspaces: &'a WorkspacesState,
    /// The state of the check-in.
    pub checkin: &'a CheckinStatus,
}

/// Those of these gates that are not met, in the order of the list.
#[must_use]
pub fn unmet_gates(gates: &[GateName], facts: &ReadinessFacts<'_>) -> Vec<UnmetGate> {
    let why = |gate: GateName| match gate {
        GateName::Docker => docker(facts),
        GateName::Driver => driver(facts),
        GateName::Nvml => nvml(facts),
        GateName::Runtime => runtime(facts),
        GateName::Mig => mig(facts),
        GateName::Images => images(facts),
    };
    gates.iter().filter_map(|gate| Some(UnmetGate { gate: *gate, why: why(*gate)? })).collect()
}

fn docker(facts: &ReadinessFacts<'_>) -> Option<String> {
    facts.host.docker.as_ref().err().map(|fault| format!("Docker does not answer: {fault}"))
}

fn driver(facts: &ReadinessFacts<'_>) -> Option<String> {
    if let Some(why) = container(NvidiaRole::Driver, facts) {
        return Some(why);
    }
    each(facts.host, |gpu| link(gpu, ChainLink::KernelDriver))
}

fn nvml(facts: &ReadinessFacts<'_>) -> Option<String> {
    let own: Vec<&Gpu> = facts.host.gpus.iter().filter(|gpu| is_of_host(gpu)).collect();
    if own.is_empty() {
        return None;
    }
    if !own.iter().any(|gpu| gpu.driver_absence.is_none()) {
        let fault = facts.host.probes.iter().find_map(|probe| probe.fault.as_ref());
        let why = fault.map_or_else(|| "it has not been queried yet".to_owned(), ToString::to_string);
        return Some(format!("NVML answers for none of the {} NVIDIA GPUs: {why}", own.len()));
    }
    each(facts.host, |gpu| link(gpu, ChainLink::Nvml))
}

fn runtime(facts: &ReadinessFacts<'_>) -> Option<String> {
    if let Some(why) = container(NvidiaRole::Toolkit, facts) {
        return Some(why);
    }
    each(facts.host, |gpu| {
        let ways = [link(gpu, ChainLink::DockerRuntime), link(gpu, ChainLink::Cdi)];
        let [runtime, cdi] = ways;
        runtime.and_then(|why| cdi.map(|_| why))
    })
}

/// Applied is what a look at the host has found so: an item that is met.
fn mig(facts: &ReadinessFacts<'_>) -> Option<String> {
    let is_mig = |item: &Shown| item.path.as_str().starts_with("gpus[") && item.path.as_str().ends_with("].mig");
    let wishes = |of: &DesiredSections| of.gpus.iter().any(|gpu| gpu.mig.mode.is_said() || gpu.mig.layout.is_said());
    wished(facts, wishes, "MIG", is_mig, |item| item.path.as_str().starts_with("gpus["))
}

fn images(facts: &ReadinessFacts<'_>) -> Option<String> {
    let is_image = |item: &Shown| item.path.as_str().starts_with("images");
    if let Some(why) = wished(facts, |_| false, "images", is_image, is_image) {
        return Some(why);
    }
    let lists = |of: &DesiredSections| matches!(&of.workspaces, Desired::Value(all) if !all.is_empty());
    let are_listed = lists(&facts.desired.local.wishes)
        || facts.desired.manager.document().is_some_and(|document| lists(&document.wishes));
    if are_listed && !facts.workspaces.is_looked {
        return Some("the containers of the workspaces have not been looked at yet".to_owned());
    }
    let pulled = facts.workspaces.workspaces.iter().filter(|one| one.state == WorkspaceState::Pulling);
    let names = pulled.map(|one| {
        let image = one.image.as_deref().unwrap_or("its image");
        format!("{image} of workspace {} is being pulled", one.id.as_str())
    });
    named(names.collect())
}

/// Why the items of one kind are not all met; `wishes` finds whether there have to be some, and `known` an item that shows that
/// they were computed.
fn wished(
    facts: &ReadinessFacts<'_>,
    wishes: impl Fn(&DesiredSections) -> bool,
    what: &str,
    is_one: impl Fn(&Shown) -> bool,
    known: impl Fn(&Shown) -> bool,
) -> Option<String> {
    let document = facts.desired.manager.document();
    if document.is_none() && is_awaited(facts.checkin) {
        let state = facts.checkin.state.code().replace('_', " ");
        return Some(format!(
            "the manager has not accepted a heartbeat yet ({state}), so what it wishes of {what} is not known"
        ));
    }
    if document.map(|document| &document.id) != facts.in_force {
        return Some(format!("the manager's newest document has not been compared with the host yet ({what})"));
    }
    let are_wished = wishes(&facts.desired.local.wishes) || document.is_some_and(|document| wishes(&document.wishes));
    if are_wished && !facts.items.iter().any(known) {
        return Some(format!("what is wished of {what} has not been compared with the host yet"));
    }
    let unmet = facts.items.iter().filter(|item| is_one(item));
    let unmet = unmet.filter_map(|item| Some(format!("{}: {}", item.path, item.why.as_ref()?.message)));
    named(unmet.collect())
}

/// This host has a manager, and none has accepted anything of it since the daemon started.
const fn is_awaited(checkin: &CheckinStatus) -> bool {
    match checkin.state {
        CheckinState::NotEnrolled | CheckinState::Forgotten => false,
        CheckinState::PendingApproval
        | CheckinState::Connecting
        | CheckinState::Ok
        | CheckinState::Unreachable
        | CheckinState::Unauthenticated
        | CheckinState::DuplicateIdentity
        | CheckinState::UpgradeRequired => checkin.accepted == 0,
    }
}

/// Why one of NVIDIA's two containers is not ready, where it is wished.
fn container(role: NvidiaRole, facts: &ReadinessFacts<'_>) -> Option<String> {
    let NvidiaStatus { phase, hold, wished, .. } = facts.nvidia.of(role);
    if !facts.deployment.deploys(role) || (*wished && *phase == NvidiaPhase::Ready && hold.is_none()) {
        return None;
    }
    let held = hold.as_ref().map(|hold| format!(": {hold}")).unwrap_or_default();
    Some(format!("the {role} container is {}{held}", phase.code().replace('_', " ")))
}

/// A GPU of NVIDIA that is for containers of this host.
fn is_of_host(gpu: &Gpu) -> bool {
    let is_given = match gpu.usage {
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig | GpuUse::Transitioning => false,
        GpuUse::Passthrough | GpuUse::Quarantined => true,
    };
    let is_vfio = gpu.pci.driver.known().is_some_and(|driver| driver.as_str() == "vfio-pci");
    gpu.pci.id.vendor == VENDOR_NVIDIA && !is_given && !is_vfio && !gpu.is_off
}

/// One that is broken has conditions of its own and does not keep the host from being ready, as long as another one works.
fn is_broken(gpu: &Gpu) -> bool {
    gpu.health.state == HealthState::Failed || gpu.silence.is_some() || gpu.pci.state.responds.get() == Some(false)
}

/// Why the GPUs of the host are not all so; none where there is none.
fn each(host: &HostObservation, why: impl Fn(&Gpu) -> Option<String>) -> Option<String> {
    let own: Vec<&Gpu> = host.gpus.iter().filter(|gpu| is_of_host(gpu)).collect();
    let sound: Vec<&Gpu> = own.iter().copied().filter(|gpu| !is_broken(gpu)).collect();
    if sound.is_empty() && !own.is_empty() {
        return Some(format!("none of the {} NVIDIA GPUs of this host works; see: gpuhostctl gpus", own.len()));
    }
    let unmet = sound.into_iter().filter_map(|gpu| Some(format!("GPU {}: {}", gpu.pci.address, why(gpu)?)));
    named(unmet.collect())
}

/// Why a link of the chain does not hold.
fn link(gpu: &Gpu, wanted: ChainLink) -> Option<String> {
    let found = gpu.cause_chain.iter().find(|link| link.link == wanted);
    if found.is_some_and(|link| link.ok == Some(true)) {
        return None;
    }
    let reason = |link: &CauseLink| link.reason.clone();
    let own = found.and_then(reason);
    Some(own.or_else(|| gpu.first_broken_link().and_then(reason)).unwrap_or_else(|| "it is not known yet".to_owned()))
}

/// Several reasons as one; none where there is none.
fn named(all: Vec<String>) -> Option<String> {
    let more = all.len().saturating_sub(NAMED_MOST);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown: Vec<String> = all.into_iter().take(NAMED_MOST).collect();
    (!shown.is_empty()).then(|| format!("{}{rest}", shown.join("; ")))
}
