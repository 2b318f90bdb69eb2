//! Standing statements that follow from an observation; a condition that does not hold is not listed.

use super::{HostContext, remedy};
use crate::absence::Absence;
use crate::cdi::{CdiFile, CdiGpu, CdiHost, GpuWay, NoWay, SpecFault, cdi_state, faults, gpu_way};
use crate::condition::{Condition, ConditionStatus};
use crate::driver::ProbeError;
use crate::ids::PciAddress;
use crate::machine_kind::Machine;
use crate::observation::{Gpu, GpuUse, HostObservation, RawObservation};
use crate::pci::VENDOR_NVIDIA;
use crate::time::UnixMillis;

/// Type of the condition that holds while the bus cannot be scanned: no GPU is known then.
pub const PCI_SCAN_FAILED: &str = "pci_scan_failed";
/// Most reasons that one condition repeats.
const REASONS_MAX: usize = 4;

/// A condition that holds, before it gets its time.
struct Holds {
    kind: &'static str,
    reason: &'static str,
    message: String,
}

/// The conditions of these GPUs and this round of answers, by type; `since` is carried over from `previous` where the status is
/// unchanged.
pub(super) fn conditions(
    gpus: &[Gpu],
    raw: &RawObservation,
    observed_at: UnixMillis,
    previous: Option<&HostObservation>,
) -> Vec<Condition> {
    let found = [
        cdi_stale(gpus, raw),
        docker_unavailable(raw),
        driver_unavailable(gpus, raw),
        duplicate_uuid(gpus),
        no_gpu_way(gpus, raw),
        iommu_off(gpus, raw),
        pci_scan_failed(raw),
    ];
    let since = |kind: &str| {
        let before = previous.into_iter().flat_map(|seen| &seen.conditions);
        before
            .filter(|held| held.kind == kind && held.status == ConditionStatus::True)
            .map(|held| held.since)
            .next()
            .unwrap_or(observed_at)
    };
    let timed = |held: Holds| Condition {
        kind: held.kind.to_owned(),
        status: ConditionStatus::True,
        reason: held.reason.to_owned(),
        message: held.message,
        since: since(held.kind),
    };
    found.into_iter().flatten().map(timed).collect()
}

fn docker_unavailable(raw: &RawObservation) -> Option<Holds> {
    let fault = raw.docker.as_ref().err().filter(|fault| !matches!(fault, ProbeError::NotAsked { .. }))?;
    let message = format!("Docker does not answer: {fault}; {}", remedy::docker(fault));
    Some(Holds { kind: "docker_unavailable", reason: fault.code(), message })
}

/// An NVIDIA GPU of the host's own has no driver that answers for it.
fn driver_unavailable(gpus: &[Gpu], raw: &RawObservation) -> Option<Holds> {
    let is_dumb = |gpu: &&Gpu| {
        gpu.pci.id.vendor == VENDOR_NVIDIA
            && gpu.usage != GpuUse::Passthrough
            && gpu.driver_absence.as_ref().is_some_and(|why| !matches!(why, Absence::NotProbed | Absence::GpuAsleep))
    };
    let dumb: Vec<&Gpu> = gpus.iter().filter(is_dumb).collect();
    let first = dumb.first()?;
    let fault = HostContext::of(raw).telling_fault().map(|(_, fault)| fault.code());
    let absence = first.driver_absence.as_ref().map_or("probe_failed", |why| why.code());
    let reason = if absence == "driver_absent" { absence } else { fault.unwrap_or(absence) };
    let link = first.first_broken_link();
    let why = reasons(&dumb).unwrap_or_else(|| "no reason is known".to_owned());
    let what_to_do = link.and_then(|l| l.remedy.as_deref()).unwrap_or("run `nvidia-smi` by hand");
    let list = dumb.iter().map(|gpu| gpu.pci.address.to_string()).collect::<Vec<_>>().join(", ");
    let message = format!("no driver facts for {list}: {why}; {what_to_do}");
    Some(Holds { kind: "driver_unavailable", reason, message })
}

/// What each of these GPUs has against it; of one kind for many GPUs, once.
fn reasons(gpus: &[&Gpu]) -> Option<String> {
    let mut told: Vec<&str> = Vec::new();
    for reason in gpus.iter().filter_map(|gpu| gpu.first_broken_link()?.reason.as_deref()) {
        if !told.contains(&reason) {
            told.push(reason);
        }
    }
    let shown = told.get(..REASONS_MAX).unwrap_or(&told);
    (!shown.is_empty()).then(|| shown.join("; "))
}

fn cdi_host(gpus: &[Gpu], raw: &RawObservation) -> CdiHost {
    CdiHost::of(gpus, raw.host.stack.module_loaded.known().map(String::as_str))
}

/// A specification does not fit the host. That it lacks a GPU is none of its faults: another file may define it.
fn cdi_stale(gpus: &[Gpu], raw: &RawObservation) -> Option<Holds> {
    let (docker, host) = (raw.docker.as_ref().ok()?, cdi_host(gpus, raw));
    let fault = |file: &CdiFile| {
        let faults = faults(file, &host).into_iter();
        faults
            .filter(|fault| !matches!(fault, SpecFault::NoDevice { .. }))
            .map(|fault| (file.path.clone(), fault))
            .next()
    };
    let mut stale = docker.cdi_files.iter().filter_map(fault);
    let (path, fault) = stale.next()?;
    let others: Vec<String> = stale.map(|(path, _)| path).collect();
    let others = if others.is_empty() { String::new() } else { format!("; the same is true of {}", others.join(", ")) };
    let message = format!(
        "the CDI specification {path} does not fit this host: {fault}; generate it again: `nvidia-ctk cdi generate \
         --output={path}`{others}"
    );
    Some(Holds { kind: "cdi_spec_stale", reason: fault.code(), message })
}

/// Docker answers, and no container can be given a GPU that works.
fn no_gpu_way(gpus: &[Gpu], raw: &RawObservation) -> Option<Holds> {
    let (docker, host) = (raw.docker.as_ref().ok()?, cdi_host(gpus, raw));
    let state = cdi_state(docker, &host);
    let broken = |gpu: &CdiGpu| match gpu_way(&state, docker, &gpu.wanted()) {
        GpuWay::None(broken) => Some((gpu.address, broken)),
        GpuWay::Cdi { .. } | GpuWay::Runtime { .. } => None,
    };
    let all: Vec<(PciAddress, NoWay)> = host.gpus.iter().filter_map(broken).collect();
    let (_, first) = all.first()?;
    let list: Vec<String> = all.iter().map(|(address, _)| address.to_string()).collect();
    let (why, remedy) = (first.why().join("; "), first.remedy());
    let message = format!("no container can be given the GPU at {}: {why}; {remedy}", list.join(", "));
    Some(Holds { kind: "gpu_way_broken", reason: first.cdi.code(), message })
}

fn duplicate_uuid(gpus: &[Gpu]) -> Option<Holds> {
    let uuid = |gpu: &Gpu| gpu.driver.as_ref().and_then(|said| said.uuid.known().cloned());
    let with_uuid = || gpus.iter().filter_map(|gpu| uuid(gpu).map(|uuid| (gpu.pci.address, uuid)));
    let twins = |(address, id): (PciAddress, crate::GpuUuid)| {
        with_uuid().find(|(other, same)| *other > address && *same == id).map(|(other, _)| (address, other, id))
    };
    let (one, other, id) = with_uuid().find_map(twins)?;
    let message = format!(
        "the GPUs at {one} and {other} both report the identifier {id}: only their PCI addresses distinguish them; \
         `nvidia-smi -L` shows what the driver reports, and a VBIOS update or a replacement of the card fixes it"
    );
    Some(Holds { kind: "duplicate_gpu_uuid", reason: "same_uuid", message })
}

fn iommu_off(gpus: &[Gpu], raw: &RawObservation) -> Option<Holds> {
    let groups = raw.scan.as_ref().map_or(0, |scan| scan.iommu_groups_total);
    if gpus.is_empty() || groups > 0 {
        return None;
    }
    let advice = Machine::of(&raw.host).iommu_advice();
    let message = format!("/sys/kernel/iommu_groups is empty, so no GPU can be given to a virtual machine; {advice}");
    Some(Holds { kind: "iommu_off", reason: "no_iommu_groups", message })
}

fn pci_scan_failed(raw: &RawObservation) -> Option<Holds> {
    let why = raw.scan.as_ref().err()?;
    let message =
        format!("the PCI bus could not be scanned: {why}; no GPU is listed until `ls /sys/bus/pci/devices` works");
    Some(Holds { kind: PCI_SCAN_FAILED, reason: "unreadable", message })
}
