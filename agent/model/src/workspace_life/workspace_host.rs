//! The host as the planner of workspaces sees it, from an observation, the containers that are there, and the policy.

use super::workspace_host_side::{WorkspaceHostSide, is_wsl};
use super::workspace_look::WorkspaceSeen;
use crate::cdi::{CdiHost, cdi_state, qualified};
use crate::docker::DockerFacts;
use crate::driver::MigMode;
use crate::health::HealthState;
use crate::ids::IommuGroupId;
use crate::nvidia_container::ContainerRun;
use crate::observation::{Gpu, GpuUse, HostObservation};
use crate::pci::{VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use crate::policy::Policy;
use crate::verdict_reasons::Unschedulable;
use crate::workspace::{
    DescribedDocker, DescribedDrm, DescribedGpu, DescribedHost, DescribedMig, DescribedPolicy, MigDevice,
    RunningWorkspace, WorkspaceId,
};
use std::collections::BTreeSet;

/// Billionths of a core.
const NANO: f64 = 1e9;

/// Describes it.
#[must_use]
pub fn described(
    host: &HostObservation,
    docker: &DockerFacts,
    (seen, starting): (&[WorkspaceSeen], &BTreeSet<WorkspaceId>),
    (side, policy): (&WorkspaceHostSide, &Policy),
) -> DescribedHost {
    let cdi = cdi_state(docker, &CdiHost::of(&host.gpus, host.host.stack.module_loaded.known().map(String::as_str)));
    let holds = |one: &&WorkspaceSeen| {
        one.is_live() || is_unsettled(one) || one.workspace_id.as_ref().is_some_and(|id| starting.contains(id))
    };
    let (running, stopped): (Vec<&WorkspaceSeen>, Vec<&WorkspaceSeen>) = seen.iter().partition(holds);
    // What is foreign and stopped has nothing, and nothing of it is ours to start again.
    let stopped = stopped.into_iter().filter(|one| one.foreign.is_none());
    DescribedHost {
        docker: DescribedDocker { cdi_spec_dirs: docker.cdi_spec_dirs.clone(), runtimes: docker.runtimes.clone() },
        cores: host.host.cores.known().copied().unwrap_or(0),
        memory: host.host.mem_total_bytes.known().copied().unwrap_or(0),
        groups: side.groups(),
        cdi_devices: cdi.fresh.iter().map(|device| qualified(device)).collect(),
        wsl: is_wsl(host),
        toolkit: side.toolkit.clone(),
        gpus: host.gpus.iter().map(|gpu| described_gpu(host, gpu, side)).collect(),
        running: running.into_iter().map(having).collect(),
        stopped: stopped.map(having).collect(),
        policy: DescribedPolicy::of(policy),
    }
}

/// What it does cannot be known: it can have all that it was created with.
fn is_unsettled(seen: &WorkspaceSeen) -> bool {
    if let ContainerRun::Other(state) = &seen.run { !["removing", "dead"].contains(&state.as_str()) } else { false }
}

/// What the container of a workspace has. One that is only labelled as ours is counted with what its labels name: it may have it.
fn having(seen: &WorkspaceSeen) -> RunningWorkspace {
    // Docker cannot count more cores than a float of 64 bits counts exactly.
    let cores = f64::from(u32::try_from(seen.nano_cpus / 1_000_000).unwrap_or(u32::MAX)) * 1e6 / NANO;
    RunningWorkspace {
        workspace_id: match (&seen.workspace_id, seen.foreign) {
            (Some(id), None) => id.to_string(),
            // No id has a space: it is nobody's own container.
            _ => format!("container {}", seen.name),
        },
        cores,
        memory: seen.memory_bytes,
        gpus: seen.gpus.clone(),
        vfio: seen.vfio.clone(),
        security_context: seen.security_context.clone(),
    }
}

fn described_gpu(host: &HostObservation, gpu: &Gpu, side: &WorkspaceHostSide) -> DescribedGpu {
    let driver = gpu.driver.as_ref();
    let group = gpu.pci.iommu_group.known().copied();
    let features = gpu.features.iter().filter(|(_, feature)| feature.enabled);
    DescribedGpu {
        uuid: driver.and_then(|driver| driver.uuid.known()).map(ToString::to_string),
        bdf: gpu.pci.address.to_string(),
        pci_id: Some(gpu.pci.id.to_string()),
        vendor: match gpu.pci.id.vendor {
            VENDOR_NVIDIA => "nvidia".to_owned(),
            VENDOR_AMD => "amd".to_owned(),
            VENDOR_INTEL => "intel".to_owned(),
            other => format!("{other:04x}"),
        },
        features: features.map(|(name, _)| name.code().to_owned()).collect(),
        memory_mib: driver.and_then(|driver| driver.memory.total.known()).copied(),
        health: (gpu.health.state == HealthState::Failed).then(|| "failed".to_owned()),
        drm: gpu.pci.drm.render.as_ref().map(|render| DescribedDrm {
            card_gid: side.of_drm(gpu.pci.drm.card.as_ref()),
            render_gid: side.of_drm(Some(render)),
        }),
        mig: mig(gpu),
        iommu_group: group.map(|IommuGroupId(number)| number),
        iommu_group_members: group.map(|id| members(host, id)).unwrap_or_default(),
        processes: processes(gpu),
        not_shared: not_shared(gpu),
        not_whole: not_whole(gpu),
    }
}

fn mig(gpu: &Gpu) -> Option<DescribedMig> {
    let driver = gpu.driver.as_ref()?;
    let is_on = [driver.mig_current.get(), driver.mig_pending.get()].contains(&Some(MigMode::Enabled));
    let devices = driver.mig_devices.iter().filter_map(|device| {
        let profile = device.profile.known().cloned().unwrap_or_default();
        Some(MigDevice { uuid: device.uuid.known()?.to_string(), profile })
    });
    is_on.then(|| DescribedMig { mode: "enabled".to_owned(), devices: devices.collect() })
}

fn members(host: &HostObservation, id: IommuGroupId) -> Vec<String> {
    let group = host.groups.iter().find(|group| group.id == id);
    let is_endpoint = |class: Option<crate::ids::PciClass>| !class.is_some_and(crate::ids::PciClass::is_bridge);
    let members = group.into_iter().flat_map(|group| &group.members);
    members.filter(|member| is_endpoint(member.class.get())).map(|member| member.address.to_string()).collect()
}

/// What is not known counts as none.
fn processes(gpu: &Gpu) -> u64 {
    let all = gpu.driver.as_ref().and_then(|driver| driver.processes.known());
    all.map_or(0, |all| u64::try_from(all.len()).unwrap_or(u64::MAX))
}

/// That MIG is on keeps nobody from its MIG devices.
fn not_shared(gpu: &Gpu) -> Option<String> {
    if gpu.is_off {
        return Some("the desired state puts it aside (use: off)".to_owned());
    }
    let why = gpu.unschedulable_reason.filter(|_| !gpu.schedulable)?;
    if why == Unschedulable::MigEnabled {
        return None;
    }
    let broken = gpu.first_broken_link().and_then(|link| link.reason.clone());
    let explained = why.explanation().map(|(what, _)| what.to_owned());
    Some(broken.or(explained).unwrap_or_else(|| format!("it cannot be used: {}", why.code())))
}

/// A workspace is given what is on vfio-pci already.
fn not_whole(gpu: &Gpu) -> Option<String> {
    match gpu.usage {
        GpuUse::Passthrough => None,
        GpuUse::Transitioning => Some("a change of it is under way".to_owned()),
        GpuUse::Quarantined => Some("a change of it could not be undone".to_owned()),
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig => {
            let address = gpu.pci.address;
            Some(format!("it is not on vfio-pci: `gpuhostctl passthrough bind {address}`, or use: passthrough"))
        }
    }
}
