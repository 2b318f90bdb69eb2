//! Verdicts on one GPU: what it is used for, whether a workspace may have it, whether a virtual machine could.

use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MigMode};
use crate::features::LEAST_COMPUTE_CAPABILITY;
use crate::health::recovery::RecoveryAction;
use crate::observation::{CauseLink, ChainLink, GpuUse, PassthroughVerdict};
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

/// Stable codes of what is wrong with the GPU itself, as far as the driver says: `gpu_lost`, `reset_required`.
#[must_use]
pub fn health_reasons(driver: &DriverGpu) -> Vec<&'static str> {
    let wants_reset = RecoveryAction::of_facts(&driver.health_facts).wants_reset();
    let mut reasons = Vec::new();
    if says(driver, &Absence::GpuLost) {
        reasons.push("gpu_lost");
    }
    if wants_reset || says(driver, &Absence::ResetRequired) {
        reasons.push("reset_required");
    }
    reasons
}

/// The driver gives this reason in place of a value that every living GPU has.
fn says(driver: &DriverGpu, why: &Absence) -> bool {
    let numbers = [&driver.metrics.temperature_c, &driver.metrics.utilization_pct, &driver.metrics.power_w];
    let memory = [&driver.memory.total, &driver.memory.used];
    numbers.into_iter().any(|reading| reading.absence() == Some(why))
        || memory.into_iter().any(|reading| reading.absence() == Some(why))
        || driver.uuid.absence() == Some(why)
}

/// Why no workspace may be given the GPU, as a stable code; `None` where one may.
///
/// `chain` may be empty where only the driver was asked: then its own words decide.
#[must_use]
pub fn unschedulable_reason(usage: GpuUse, driver: Option<&DriverGpu>, chain: &[CauseLink]) -> Option<&'static str> {
    let own = match usage {
        GpuUse::Passthrough => Some("passthrough"),
        GpuUse::Mig => Some("mig_enabled"),
        GpuUse::Transitioning => Some("transitioning"),
        GpuUse::Quarantined => Some("quarantined"),
        GpuUse::Host | GpuUse::Shared => None,
    };
    own.or_else(|| driver.and_then(|said| health_reasons(said).first().copied()))
        .or_else(|| chain.iter().find(|link| link.ok == Some(false)).map(|link| broken_code(link.link)))
        .or_else(|| chain.iter().find_map(open_code))
        .or_else(|| driver.and_then(too_old))
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
fn open_code(link: &CauseLink) -> Option<&'static str> {
    match link.link {
        ChainLink::KernelDriver => link.ok.is_none().then_some("kernel_driver_unknown"),
        ChainLink::Nvml if link.reason.as_deref() == Some(super::chain::ASLEEP) => Some("gpu_asleep"),
        ChainLink::Nvml => (link.ok.is_none() && link.reason.is_some()).then_some("not_probed"),
        ChainLink::Pci | ChainLink::DockerRuntime | ChainLink::Cdi | ChainLink::Policy => None,
    }
}

fn too_old(driver: &DriverGpu) -> Option<&'static str> {
    let capability = driver.compute_capability.get()?;
    (capability < LEAST_COMPUTE_CAPABILITY).then_some("compute_capability_too_low")
}

fn broken_code(link: ChainLink) -> &'static str {
    match link {
        ChainLink::Pci => "gpu_lost",
        ChainLink::KernelDriver => "kernel_driver_missing",
        ChainLink::Nvml => "driver_not_answering",
        ChainLink::DockerRuntime => "runtime_unavailable",
        ChainLink::Cdi => "cdi_missing",
        ChainLink::Policy => "denied_by_policy",
    }
}

/// Whether the scan and the driver show anything that stands in the way of giving the GPU to a virtual machine.
#[must_use]
pub fn passthrough_verdict(pci: &GpuFunction, driver: Option<&DriverGpu>, scan: &PciScan) -> PassthroughVerdict {
    let mut reasons: Vec<&'static str> = Vec::new();
    reasons.extend(group_reason(pci, scan));
    if pci.boot_vga.get() == Some(true) {
        reasons.push("boot_vga");
    }
    if !pci.virtual_functions.is_empty() {
        reasons.push("sriov_vfs_active");
    }
    if pci.physical_function.is_some() {
        reasons.push("virtual_function");
    }
    if pci.state.mediated.in_use() {
        reasons.push("mediated_devices");
    }
    reasons.extend(driver.into_iter().flat_map(driver_reasons));
    PassthroughVerdict { eligible: reasons.is_empty(), reasons: reasons.into_iter().map(str::to_owned).collect() }
}

fn group_reason(pci: &GpuFunction, scan: &PciScan) -> Option<&'static str> {
    if scan.iommu_groups_total == 0 {
        return Some("iommu_off");
    }
    match &pci.iommu_group {
        Reading::Absent(Absence::None) => Some("no_iommu_group"),
        Reading::Absent(_) => Some("iommu_group_unknown"),
        Reading::Known(id) => match scan.groups.iter().find(|group| group.id == *id) {
            None => Some("iommu_group_unknown"),
            Some(group) => group.foreign_to(pci.address).next().map(|_| "group_not_isolated"),
        },
    }
}

/// `Pass-Through` is not among these: it says that this host is itself a guest that was given the card.
fn driver_reasons(driver: &DriverGpu) -> impl Iterator<Item = &'static str> {
    let mig = is_mig_on(driver) || driver.mig_pending.get() == Some(MigMode::Enabled);
    let vgpu = match driver.virtualization.known().map(String::as_str) {
        Some("Host VGPU" | "Host VSGA") => Some("vgpu_host"),
        Some("VGPU") => Some("vgpu_guest"),
        Some(_) | None => None,
    };
    mig.then_some("mig_enabled").into_iter().chain(vgpu)
}
