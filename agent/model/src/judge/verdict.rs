//! Verdicts on one GPU: what it is used for, whether a workspace may have it, whether a virtual machine could.

use super::reason::{ASLEEP, Ailment, Obstacle, Unschedulable, ailments};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MigMode};
use crate::features::LEAST_COMPUTE_CAPABILITY;
use crate::health::HealthState;
use crate::observation::{CauseLink, ChainLink, Gpu, GpuUse, PassthroughVerdict};
use crate::pci::{GpuFunction, PciScan};

/// What the GPU is used for, as far as its bound driver and its MIG mode say.
pub(super) fn usage(pci: &GpuFunction, driver: Option<&DriverGpu>) -> GpuUse {
    if pci.driver.known().is_some_and(|name| name.is_vfio()) {
        return GpuUse::Passthrough;
    }
    if driver.is_some_and(is_mig_on) { GpuUse::Mig } else { GpuUse::Host }
}

fn is_mig_on(driver: &DriverGpu) -> bool {
    driver.mig_current.get() == Some(MigMode::Enabled)
}

/// What the verdict on a GPU is made of. What is not known speaks for nothing: then the rest decides.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// What it is used for; a change that is under way, or was not undone, is a use of its own.
    pub usage: GpuUse,
    /// What NVIDIA's driver reports about it.
    pub driver: Option<&'a DriverGpu>,
    /// From the PCI bus to policy; empty where only the driver was asked.
    pub chain: &'a [CauseLink],
    /// A container can be given it; true where only the driver was asked.
    pub visible: bool,
    /// How well it is.
    pub health: HealthState,
}

/// Why no workspace may be given the GPU; `None` where one may. The first of all reasons: its use, the driver's own word, a
/// broken link, a link that is not known, its age, the container runtime, its health.
#[must_use]
pub fn unschedulable(grounds: &Grounds<'_>) -> Option<Unschedulable> {
    use Unschedulable as U;
    let Grounds { usage, driver, chain, visible, health } = *grounds;
    let own = match usage {
        GpuUse::Passthrough => Some(U::Passthrough),
        GpuUse::Mig => Some(U::MigEnabled),
        GpuUse::Transitioning => Some(U::Transitioning),
        GpuUse::Quarantined => Some(U::Quarantined),
        GpuUse::Host | GpuUse::Shared => None,
    };
    own.or_else(|| driver.and_then(ill))
        .or_else(|| chain.iter().find(|link| link.ok == Some(false)).map(|link| broken(link.link)))
        .or_else(|| chain.iter().find_map(open))
        .or_else(|| driver.and_then(too_old))
        .or_else(|| (!visible).then_some(U::NotVisibleToRuntime))
        .or_else(|| (health == HealthState::Failed).then_some(U::HealthFailed))
}

/// Writes whether a workspace may be given the GPU, and why not. Nobody else does: anyone who learns more of a GPU (its health, a
/// change that is under way) puts it into the GPU and has it decided again.
pub fn decide(gpu: &mut Gpu) {
    // What sensors say of a GPU of another vendor, or on another driver, is no word of NVIDIA's.
    let driver = gpu.driver.as_ref().filter(|_| gpu.driver_absence.is_none());
    let (chain, visible, health) = (&gpu.cause_chain, gpu.visible_to_runtime, gpu.health.state);
    let why = unschedulable(&Grounds { usage: gpu.usage, driver, chain, visible, health });
    gpu.schedulable = why.is_none();
    gpu.unschedulable_reason = why.map(|why| why.code().to_owned());
}

fn ill(driver: &DriverGpu) -> Option<Unschedulable> {
    ailments(driver).first().map(|ailment| match ailment {
        Ailment::GpuLost => Unschedulable::GpuLost,
        Ailment::ResetRequired => Unschedulable::ResetRequired,
    })
}

/// What a code means and what to do, for those that no broken link of the chain explains.
#[must_use]
pub fn explain(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "mig_enabled" => (
            "MIG mode is on: the card as a whole is not available, only its MIG devices are",
            "to use the whole card again, destroy its instances and disable MIG mode: `nvidia-smi -i ADDRESS -mig 0`",
        ),
        "reset_required" => (
            "the driver requires a reset of the GPU before it does anything else",
            "stop what uses the GPU, then `nvidia-smi -r -i ADDRESS`; where that is refused, reboot",
        ),
        "health_failed" => (
            "its health is failed: what it computes cannot be relied on",
            "`gpuhostctl gpu show ADDRESS` names each reason and what to do about it",
        ),
        "compute_capability_too_low" => (
            "its CUDA compute capability is below 3.0: no maintained CUDA version supports it",
            "use it for display only, or replace the card",
        ),
        "not_probed" => ("the driver has not been queried yet", "wait a moment: the daemon has just started"),
        "gpu_asleep" => (
            "it is asleep and has not been awake since this daemon started",
            "wake it once so that its UUID becomes known: `nvidia-smi -L`",
        ),
        "kernel_driver_unknown" => (
            "which kernel driver is bound could not be read",
            "check the link: `ls -l /sys/bus/pci/devices/ADDRESS/driver`",
        ),
        "transitioning" => ("a change of the GPU is under way", "wait for its job: `gpuhostctl jobs`"),
        "quarantined" => ("a change of the GPU could not be undone", "read `journalctl -u gpuhostd`, then reboot"),
        _ => return None,
    })
}

/// A link whose state is not known, where it has to hold. A link that does not apply or is not needed gives no code.
fn open(link: &CauseLink) -> Option<Unschedulable> {
    match link.link {
        ChainLink::KernelDriver => link.ok.is_none().then_some(Unschedulable::KernelDriverUnknown),
        ChainLink::Nvml if link.reason.as_deref() == Some(ASLEEP) => Some(Unschedulable::GpuAsleep),
        ChainLink::Nvml => (link.ok.is_none() && link.reason.is_some()).then_some(Unschedulable::NotProbed),
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

/// Whether the scan and the driver show anything that prevents giving the GPU to a virtual machine.
#[must_use]
pub fn passthrough_verdict(pci: &GpuFunction, driver: Option<&DriverGpu>, scan: &PciScan) -> PassthroughVerdict {
    let mut reasons: Vec<Obstacle> = Vec::new();
    reasons.extend(group_reason(pci, scan));
    if pci.boot_vga.get() == Some(true) {
        reasons.push(Obstacle::BootVga);
    }
    if !pci.virtual_functions.is_empty() {
        reasons.push(Obstacle::SriovVfsActive);
    }
    if pci.physical_function.is_some() {
        reasons.push(Obstacle::VirtualFunction);
    }
    if pci.state.mediated.in_use() {
        reasons.push(Obstacle::MediatedDevices);
    }
    reasons.extend(driver.into_iter().flat_map(driver_reasons));
    PassthroughVerdict {
        eligible: reasons.is_empty(),
        reasons: reasons.into_iter().map(|reason| reason.code().to_owned()).collect(),
    }
}

fn group_reason(pci: &GpuFunction, scan: &PciScan) -> Option<Obstacle> {
    if scan.iommu_groups_total == 0 {
        return Some(Obstacle::IommuOff);
    }
    match &pci.iommu_group {
        Reading::Absent(Absence::None) => Some(Obstacle::NoIommuGroup),
        Reading::Absent(_) => Some(Obstacle::IommuGroupUnknown),
        Reading::Known(id) => match scan.groups.iter().find(|group| group.id == *id) {
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
