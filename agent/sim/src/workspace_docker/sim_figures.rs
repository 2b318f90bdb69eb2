//! What the control groups of simulated containers show: each uses a tenth of a core and a quarter of its memory.

use super::sim_engine::SimEngine;
use super::sim_workspace::SimWorkspaceRun;
use model::ids::ContainerId;
use model::workspace_life::CgroupFigures;
use std::collections::BTreeMap;

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
}
