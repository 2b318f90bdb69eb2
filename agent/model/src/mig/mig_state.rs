//! MIG on one GPU at one instant, as the driver reports it: mode, profiles, instances and who the driver names on them.

use super::catalog::MigCatalog;
use super::layout::{Instance, Present, PresentCompute};
use crate::absence::Reading;
use crate::driver::MigMode;
use crate::holders::{Hold, Holder, Holders, MigPlace};
use crate::ids::{GpuUuid, MigUuid, PciAddress};
use crate::stack::DriverLoad;
use serde::{Deserialize, Serialize};

/// A compute instance, as NVML reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigComputeInstance {
    /// Its id inside its GPU instance.
    pub id: u32,
    /// Its compute slices.
    pub slices: u32,
    /// UUID of its MIG device.
    pub uuid: Reading<MigUuid>,
    /// Processes that the driver names on it, in the host's PID namespace.
    pub processes: Vec<u32>,
}

/// A GPU instance, as NVML reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigGpuInstance {
    /// Its id. It does not tell its place.
    pub id: u32,
    /// Name of its profile.
    pub profile: String,
    /// First memory slot.
    pub start: u32,
    /// Number of memory slots.
    pub size: u32,
    /// Its compute instances; none where nobody made one.
    pub compute: Vec<MigComputeInstance>,
}

impl MigGpuInstance {
    /// Profile and place.
    #[must_use]
    pub fn instance(&self) -> Instance {
        Instance { profile: self.profile.clone(), start: self.start }
    }

    /// Slices of its compute instances, the largest first.
    #[must_use]
    pub fn slices(&self) -> Vec<u32> {
        let mut slices: Vec<u32> = self.compute.iter().map(|compute| compute.slices).collect();
        slices.sort_unstable_by(|one, other| other.cmp(one));
        slices
    }
}

/// MIG on one GPU at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigOnGpu {
    /// The GPU.
    pub gpu: PciAddress,
    /// Its UUID.
    pub uuid: Reading<GpuUuid>,
    /// The number of its device file, by which its capabilities are named.
    pub minor: Reading<u32>,
    /// Whether MIG mode is on.
    pub current: Reading<MigMode>,
    /// Whether it will be on after the next reset.
    pub pending: Reading<MigMode>,
    /// The mode changes without a reset (NVML field 184, "reset-less MIG supported").
    pub switches_without_reset: Reading<bool>,
    /// What the GPU can be cut into. Drivers before 550 do not list it while MIG is off.
    pub catalog: Reading<MigCatalog>,
    /// Its GPU instances, by place.
    pub instances: Vec<MigGpuInstance>,
    /// Which load of the driver it is, where it was the same before and after the look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_load: Option<DriverLoad>,
}

impl MigOnGpu {
    /// The GPU instance of that profile at that place.
    #[must_use]
    pub fn find(&self, instance: &Instance) -> Option<&MigGpuInstance> {
        self.instances.iter().find(|one| one.start == instance.start && one.profile == instance.profile)
    }

    /// Its instances for the planner: in use is what the driver names a process on, and what any holder has.
    #[must_use]
    pub fn present(&self, holders: &Holders) -> Vec<Present> {
        self.instances.iter().map(|instance| present(instance, holders)).collect()
    }

    /// Who uses it: the holders, and the processes that the driver names beside them.
    #[must_use]
    pub fn users(&self, holders: &Holders) -> Vec<Holder> {
        let named = self.instances.iter().flat_map(|instance| {
            instance
                .compute
                .iter()
                .flat_map(|compute| compute.processes.iter().map(|pid| (instance.id, compute.id, *pid)))
        });
        let unknown = named.filter_map(|(gpu_instance, compute_instance, pid)| {
            let mut same = holders.found.iter().filter(|holder| holder.pid == Some(pid));
            if same.clone().any(|holder| holder.has_instance(gpu_instance, Some(compute_instance))) {
                return None;
            }
            // Who it is may be known from something else that it holds.
            let known = same.next();
            Some(Holder {
                pid: Some(pid),
                command: known.and_then(|holder| holder.command.clone()),
                unit: known.and_then(|holder| holder.unit.clone()),
                container: known.and_then(|holder| holder.container.clone()),
                address: Some(self.gpu),
                instance: Some(MigPlace { gpu_instance, compute_instance: Some(compute_instance) }),
                hold: Hold::DriverProcess,
            })
        });
        holders.found.iter().cloned().chain(unknown).collect()
    }
}

impl MigGpuInstance {
    /// The driver names a process on that compute instance in it, or a holder has it.
    #[must_use]
    pub fn is_used(&self, compute: &MigComputeInstance, holders: &Holders) -> bool {
        let holds = |holder: &Holder| holder.has_instance(self.id, Some(compute.id));
        !compute.processes.is_empty() || holders.found.iter().any(holds)
    }
}

fn present(instance: &MigGpuInstance, holders: &Holders) -> Present {
    let compute = instance
        .compute
        .iter()
        .map(|compute| PresentCompute { slices: compute.slices, in_use: instance.is_used(compute, holders) });
    let compute: Vec<PresentCompute> = compute.collect();
    let held = holders.found.iter().any(|holder| holder.has_instance(instance.id, None));
    let in_use = held || compute.iter().any(|compute| compute.in_use);
    Present { instance: instance.instance(), in_use, compute }
}
