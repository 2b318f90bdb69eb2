//! What a look at the GPUs of a running container shows, and how they are lost: its control group was written again without them.

use super::sim_engine::SimEngine;
use super::sim_workspace::SimWorkspaceRun;
use model::device_links::DeviceNumber;
use model::workspace_life::{CgroupVerdict, ContainerNode, DeviceVerdict, WorkspaceGpuLook, WorkspaceGpuProbe};

/// A major number for device files whose number is not fixed.
const SOME_MAJOR: u64 = 510;

impl SimEngine {
    /// `systemctl daemon-reload` where the links of device numbers are missing: what runs cannot open its GPUs any more.
    pub fn lose_gpus(&mut self) {
        self.containers
            .iter_mut()
            .filter(|one| one.is_ours() && one.is_live())
            .for_each(|one| one.has_lost_gpus = true);
    }

    /// Looks at the device files that the probe needs, and at what the control group lets the container do with them.
    ///
    /// # Errors
    /// The container does not run any more, or is frozen.
    pub fn look_at_gpus(&self, probe: &WorkspaceGpuProbe) -> Result<WorkspaceGpuLook, String> {
        let found = self.containers.iter().find(|one| one.id == probe.start.container && one.pid == probe.pid);
        let found = found.filter(|one| matches!(one.run, SimWorkspaceRun::Running(_)));
        let found = found.ok_or_else(|| format!("process {} is not in that container any more", probe.pid))?;
        let numbered = (0..).zip(&probe.needs.nodes);
        let node = |(minor, need): (u64, &model::workspace_life::GpuNode)| ContainerNode {
            path: need.path.clone(),
            number: need.number.unwrap_or(DeviceNumber { major: SOME_MAJOR, minor }),
        };
        let nodes: Vec<ContainerNode> = numbered.map(node).collect();
        let verdict = if found.has_lost_gpus { CgroupVerdict::Denied } else { CgroupVerdict::Allowed };
        let asked = probe.needs.numbers(&nodes).into_iter();
        let access = asked.map(|number| DeviceVerdict { number, verdict: verdict.clone() }).collect();
        Ok(WorkspaceGpuLook { nodes, access })
    }
}
