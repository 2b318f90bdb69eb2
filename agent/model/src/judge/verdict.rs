//! The verdict on a GPU, written here and nowhere else: what it is used for and can be used for, whether a workspace may have it,
//! whether a virtual machine could.

use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MigMode};
use crate::features::{Facts, Features, LEAST_COMPUTE_CAPABILITY, features, switch_off};
use crate::health::HealthState;
use crate::observation::{CauseLink, ChainLink, Gpu, GpuUse, HostObservation, PassthroughVerdict, StandingChange};
use crate::passthrough::is_unhealthy;
use crate::pci::{GpuFunction, IommuGroup};
use crate::stack::StackFacts;
use crate::verdict_reasons::{Ailment, Obstacle, Unschedulable, ailments};

/// What the GPU is used for: a change of it comes before its driver and its MIG mode.
fn usage(gpu: &Gpu, driver: Option<&DriverGpu>) -> GpuUse {
    let is_on_vfio = gpu.pci.driver.known().is_some_and(|name| name.is_vfio());
    match gpu.change {
        StandingChange::Quarantined => GpuUse::Quarantined,
        StandingChange::UnderWay => GpuUse::Transitioning,
        // Given away a moment ago, and the last look is older: it must not pass for free.
        StandingChange::Given if !is_on_vfio => GpuUse::Transitioning,
        StandingChange::Given | StandingChange::None if is_on_vfio => GpuUse::Passthrough,
        StandingChange::Given | StandingChange::None if driver.is_some_and(is_mig_on) => GpuUse::Mig,
        StandingChange::Given | StandingChange::None => GpuUse::Host,
    }
}

fn is_mig_on(driver: &DriverGpu) -> bool {
    driver.mig_current.get() == Some(MigMode::Enabled)
}

/// What the verdict on a GPU is made of. What is not known speaks for nothing: then the rest decides.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// What it is used for; a change that is under way, or was not undone, is a use of its own.
    pub usage: GpuUse,
    /// The desired state puts it aside.
    pub is_off: bool,
    /// What NVIDIA's driver reports about it.
    pub driver: Option<&'a DriverGpu>,
    /// From the PCI bus to policy; empty where only the driver was asked.
    pub chain: &'a [CauseLink],
    /// A container can be given it; true where only the driver was asked.
    pub visible: bool,
    /// It sleeps; false where only the driver was asked.
    pub asleep: bool,
    /// How well it is.
    pub health: HealthState,
}

/// Why no workspace may be given the GPU; `None` where one may. The first of all reasons: its use, the desired state, the driver's own word, a
/// broken link, a link that is not known, its age, the container runtime, its health.
#[must_use]
pub fn unschedulable(grounds: &Grounds<'_>) -> Option<Unschedulable> {
    use Unschedulable as U;
    let Grounds { usage, is_off, driver, chain, visible, asleep, health } = *grounds;
    let own = match usage {
        GpuUse::Passthrough => Some(U::Passthrough),
        GpuUse::Mig => Some(U::MigEnabled),
        GpuUse::Transitioning => Some(U::Transitioning),
        GpuUse::Quarantined => Some(U::Quarantined),
        GpuUse::Host | GpuUse::Shared => None,
    };
    own.or_else(|| is_off.then_some(U::SwitchedOff))
        .or_else(|| driver.and_then(ill))
        .or_else(|| chain.iter().find(|link| link.ok == Some(false)).map(|link| broken(link.link)))
        .or_else(|| chain.iter().find_map(|link| open(link, asleep)))
        .or_else(|| driver.and_then(too_old))
        .or_else(|| (!visible).then_some(U::NotVisibleToRuntime))
        .or_else(|| (health == HealthState::Failed).then_some(U::HealthFailed))
}

/// Writes the verdict on each GPU of an observation. Anyone who learns more of a GPU (its health, the settings of this host, a change
/// that is under way) writes that fact into the GPU, and has it decided again.
pub fn decide(seen: &mut HostObservation) {
    let mut gpus = std::mem::take(&mut seen.gpus);
    decide_each(&mut gpus, &VerdictContext::of(seen));
    seen.gpus = gpus;
}

pub(super) fn decide_each(gpus: &mut [Gpu], around: &VerdictContext<'_>) {
    for gpu in gpus {
        let Verdict { usage, unschedulable, features, obstacles } = verdict(gpu, around);
        gpu.usage = usage;
        gpu.schedulable = unschedulable.is_none();
        gpu.unschedulable_reason = unschedulable;
        gpu.features = features;
        gpu.passthrough = PassthroughVerdict { eligible: obstacles.is_empty(), reasons: obstacles };
    }
}

/// What of the host the verdict on a GPU depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct VerdictContext<'a> {
    pub(super) groups: &'a [IommuGroup],
    pub(super) iommu_groups_total: u32,
    pub(super) stack: &'a StackFacts,
}

impl<'a> VerdictContext<'a> {
    fn of(seen: &'a HostObservation) -> Self {
        Self { groups: &seen.groups, iommu_groups_total: seen.iommu_groups_total, stack: &seen.host.stack }
    }
}

/// What a GPU is used for and can be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    usage: GpuUse,
    /// Why no workspace may be given it; `None` where one may.
    unschedulable: Option<Unschedulable>,
    features: Features,
    /// What keeps it from being given to a virtual machine; empty where nothing does.
    obstacles: Vec<Obstacle>,
}

/// The one verdict: from the facts of the bus and of the driver, the health, the standing change, and the settings.
fn verdict(gpu: &Gpu, around: &VerdictContext<'_>) -> Verdict {
    // What sensors report of a GPU of another vendor, or on another driver, does not come from NVIDIA's driver.
    let driver = gpu.driver.as_ref().filter(|_| gpu.driver_absence.is_none());
    let usage = usage(gpu, driver);
    let grounds = Grounds {
        usage,
        is_off: gpu.is_off,
        driver,
        chain: &gpu.cause_chain,
        visible: gpu.visible_to_runtime,
        asleep: gpu.pci.is_asleep(),
        health: gpu.health.state,
    };
    let facts = Facts { pci: &gpu.pci, driver, stack: around.stack, visible: gpu.visible_to_runtime };
    let mut features = features(&facts);
    switch_off(&mut features, &gpu.features_off);
    Verdict {
        usage,
        unschedulable: unschedulable(&grounds),
        features,
        obstacles: obstacles(gpu, driver, usage, around),
    }
}

fn ill(driver: &DriverGpu) -> Option<Unschedulable> {
    ailments(driver).first().map(|ailment| match ailment {
        Ailment::GpuLost => Unschedulable::GpuLost,
        Ailment::ResetRequired => Unschedulable::ResetRequired,
    })
}

/// A link whose state is not known, where it has to hold. A link that does not apply or is not needed gives no code.
fn open(link: &CauseLink, asleep: bool) -> Option<Unschedulable> {
    match link.link {
        ChainLink::KernelDriver => link.ok.is_none().then_some(Unschedulable::KernelDriverUnknown),
        ChainLink::Nvml if link.ok.is_some() || link.reason.is_none() => None,
        ChainLink::Nvml => Some(if asleep { Unschedulable::GpuAsleep } else { Unschedulable::NotProbed }),
        ChainLink::Pci | ChainLink::DockerRuntime | ChainLink::Cdi | ChainLink::Policy => None,
    }
}

fn too_old(driver: &DriverGpu) -> Option<Unschedulable> {
    let capability = driver.compute_capability.get()?;
    (capability < LEAST_COMPUTE_CAPABILITY).then_some(Unschedulable::ComputeCapabilityTooLow)
}

const fn broken(link: ChainLink) -> Unschedulable {
    match link {
        ChainLink::Pci => Unschedulable::GpuLost,
        ChainLink::KernelDriver => Unschedulable::KernelDriverMissing,
        ChainLink::Nvml => Unschedulable::DriverNotAnswering,
        ChainLink::DockerRuntime => Unschedulable::RuntimeUnavailable,
        ChainLink::Cdi => Unschedulable::CdiMissing,
        ChainLink::Policy => Unschedulable::DeniedByPolicy,
    }
}

/// All that keeps the GPU from being given to a virtual machine: what the scan shows, the driver's words, its health, a change.
fn obstacles(gpu: &Gpu, driver: Option<&DriverGpu>, usage: GpuUse, around: &VerdictContext<'_>) -> Vec<Obstacle> {
    let pci = &gpu.pci;
    let of_pci = [
        (pci.boot_vga.get() == Some(true), Obstacle::BootVga),
        (!pci.virtual_functions.is_empty(), Obstacle::SriovVfsActive),
        (pci.physical_function.is_some(), Obstacle::VirtualFunction),
        (pci.state.mediated.in_use(), Obstacle::MediatedDevices),
    ];
    let of_change = match usage {
        GpuUse::Transitioning => Some(Obstacle::Transitioning),
        GpuUse::Quarantined => Some(Obstacle::Quarantined),
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig | GpuUse::Passthrough => None,
    };
    let mut all: Vec<Obstacle> = group_reason(pci, around).into_iter().collect();
    all.extend(of_pci.into_iter().filter(|(holds, _)| *holds).map(|(_, obstacle)| obstacle));
    all.extend(driver.into_iter().flat_map(driver_reasons));
    all.extend(is_unhealthy(gpu).then_some(Obstacle::GpuUnhealthy));
    all.extend(of_change);
    all
}

fn group_reason(pci: &GpuFunction, around: &VerdictContext<'_>) -> Option<Obstacle> {
    if around.iommu_groups_total == 0 {
        return Some(Obstacle::IommuOff);
    }
    match &pci.iommu_group {
        Reading::Absent(Absence::None) => Some(Obstacle::NoIommuGroup),
        Reading::Absent(_) => Some(Obstacle::IommuGroupUnknown),
        Reading::Known(id) => match around.groups.iter().find(|group| group.id == *id) {
            None => Some(Obstacle::IommuGroupUnknown),
            Some(group) => group.foreign_to(pci.address).next().map(|_| Obstacle::GroupNotIsolated),
        },
    }
}

/// `Pass-Through` is not among these: it reports that this host is itself a guest that was given the card.
fn driver_reasons(driver: &DriverGpu) -> impl Iterator<Item = Obstacle> {
    let mig = is_mig_on(driver) || driver.mig_pending.get() == Some(MigMode::Enabled);
    let vgpu = match driver.virtualization.known().map(String::as_str) {
        Some("Host VGPU" | "Host VSGA") => Some(Obstacle::VgpuHost),
        Some("VGPU") => Some(Obstacle::VgpuGuest),
        Some(_) | None => None,
    };
    mig.then_some(Obstacle::MigEnabled).into_iter().chain(vgpu)
}
