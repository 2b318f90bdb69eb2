//! What the control groups of simulated containers show: each uses a tenth of a core and a quarter of its memory.

use super::sim_engine::SimEngine;
use super::sim_workspace::{SimWorkspace, SimWorkspaceRun};
use model::ids::ContainerId;
use model::workspace_life::{CgroupFigures, ContainerUse, ContainerUseAsked, NetworkCounters};
use std::collections::{BTreeMap, BTreeSet};

impl SimEngine {
    /// Of those that run.
    #[must_use]
    pub fn figures(&self, containers: &[ContainerId]) -> BTreeMap<ContainerId, CgroupFigures> {
        let mut all = BTreeMap::new();
        for one in self.containers.iter().filter(|one| containers.contains(&one.id)) {
            if let SimWorkspaceRun::Running(since) = one.run {
                let cpu_us = Some(self.now.since(since).saturating_mul(100));
                let memory_bytes = Some(one.facts.memory_bytes / 4);
                let (read_bytes, write_bytes, pids) = (Some(4096), Some(0), Some(3));
                all.insert(one.id.clone(), CgroupFigures { cpu_us, memory_bytes, read_bytes, write_bytes, pids });
            }
        }
        all
    }

    /// Of those that run: each has received a kilobyte and sent half of it, and has the processes that were given to it.
    #[must_use]
    pub fn container_use(&self, asked: &ContainerUseAsked) -> ContainerUse {
        let runs = |one: &&SimWorkspace| matches!(one.run, SimWorkspaceRun::Running(_));
        let running: BTreeSet<&ContainerId> = self.containers.iter().filter(runs).map(|one| &one.id).collect();
        let counters = NetworkCounters { received_bytes: 1024, sent_bytes: 512 };
        let networks = asked.containers.iter().filter(|one| running.contains(&one.container));
        let of = |pid: &u32| {
            let container = self.gpu_processes.get(pid).filter(|container| running.contains(container))?;
            Some((*pid, container.clone()))
        };
        ContainerUse {
            networks: networks.map(|one| (one.container.clone(), counters)).collect(),
            processes: asked.gpu_pids.iter().filter_map(of).collect(),
        }
    }
}
