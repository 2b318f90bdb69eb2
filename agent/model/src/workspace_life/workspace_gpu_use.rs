//! How much memory of its GPUs a workspace uses, from the processes that the driver shows on them.

use super::workspace_gpu_needs::is_named;
use super::workspace_status::WorkspaceStatus;
use crate::absence::{Absence, Reading};
use crate::driver::GpuProcess;
use crate::ids::ContainerId;
use crate::observation::HostObservation;
use std::collections::{BTreeMap, BTreeSet};

const MIB: u64 = 1 << 20;

/// The memory of its processes on the GPUs that it shares, in bytes. `of` has the container of each process that is in one. A GPU whose
/// processes are not known, or a process of it whose memory is not, makes it unknown as a whole: a part would be taken for all.
#[must_use]
pub fn gpu_memory_used(
    host: &HostObservation,
    workspace: &WorkspaceStatus,
    of: &BTreeMap<u32, ContainerId>,
) -> Reading<u64> {
    let Some(container) = &workspace.container else { return Reading::Absent(Absence::None) };
    if workspace.gpus.is_empty() {
        // Of a GPU that was given to it whole the driver of its guest knows, and not the one of this host.
        let why = if workspace.vfio.is_empty() { Absence::None } else { Absence::DriverAbsent };
        return Reading::Absent(why);
    }
    let mut used = 0_u64;
    let mut counted = BTreeSet::new();
    for name in &workspace.gpus {
        let Some(gpu) = host.gpus.iter().find(|gpu| is_named(gpu, name)) else {
            return Reading::Absent(Absence::NotReported);
        };
        // The driver lists the processes of all MIG devices under their GPU.
        if !counted.insert(gpu.pci.address) {
            continue;
        }
        let Some(driver) = &gpu.driver else {
            return Reading::Absent(gpu.driver_absence.clone().unwrap_or(Absence::DriverAbsent));
        };
        let processes = match &driver.processes {
            Reading::Known(processes) => processes,
            Reading::Absent(why) => return Reading::Absent(why.clone()),
        };
        let (own, others): (Vec<&GpuProcess>, Vec<&GpuProcess>) =
            processes.iter().partition(|process| of.get(&process.pid) == Some(container));
        if own.is_empty() && others.iter().any(|process| is_mps_server(process)) {
            return Reading::Absent(Absence::NotReported);
        }
        for process in own {
            match memory(process) {
                Reading::Known(bytes) => used = used.saturating_add(bytes),
                Reading::Absent(why) => return Reading::Absent(why),
            }
        }
    }
    Reading::Known(used)
}

/// A server of CUDA's Multi-Process Service: before Volta the driver shows its clients as this one process (dcgm-exporter 725).
fn is_mps_server(process: &GpuProcess) -> bool {
    process.name.known().is_some_and(|name| name.ends_with("nvidia-cuda-mps-server"))
}

fn memory(process: &GpuProcess) -> Reading<u64> {
    process.memory_mib.clone().map(|mib| mib.saturating_mul(MIB))
}
