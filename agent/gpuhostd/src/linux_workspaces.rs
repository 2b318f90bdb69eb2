//! Workspaces on the Linux host: Docker through the container hand, their GPUs through the holders hand and the host hand.

use crate::linux::LinuxHost;
use host::front::cgroup_figures;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::ports::WorkspacePort;
use model::time::UnixMillis;
use model::workspace_life::{
    CgroupFigures, ContainerUse, ContainerUseAsked, WorkspaceDeed, WorkspaceGpuLook, WorkspaceGpuProbe,
    WorkspaceHostSide, WorkspaceLook,
};
use protocol::hand::containers::{ApplyWorkspaceDeed, AwaitWorkspaceEvent, InspectWorkspaces};
use protocol::hand::holders::{ListContainerNodes, ListDeviceGroups};
use protocol::hand::host::{ProbeContainerDevices, ReadContainerUse, ReadToolkitVersion};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Workspaces do not wait longer for what the planner can do without.
const HOST_SIDE_WITHIN: Duration = Duration::from_secs(8);

/// Five small files of each workspace.
const FIGURES_WITHIN: Duration = Duration::from_secs(5);

impl WorkspacePort for LinuxHost {
    async fn look_at_workspaces(&self, images: Vec<ImageRef>) -> Result<WorkspaceLook, String> {
        self.remote.call(&InspectWorkspaces { images }).await.map_err(|fault| fault.to_string())
    }

    async fn act_on_workspace(&self, deed: &WorkspaceDeed) -> Result<(), String> {
        self.remote.call(&ApplyWorkspaceDeed { deed: deed.clone() }).await.map_err(|fault| fault.to_string())
    }

    async fn await_workspace_event(&self, since: UnixMillis) -> Result<(), String> {
        self.remote.call(&AwaitWorkspaceEvent { since }).await.map_err(|fault| fault.to_string())
    }

    /// A control group that hangs keeps its reader: no second one is sent after it.
    async fn read_figures(&self, containers: Vec<ContainerId>) -> BTreeMap<ContainerId, CgroupFigures> {
        let Ok(turn) = Arc::clone(&self.cgroups).try_acquire_owned() else { return BTreeMap::new() };
        let root = self.facts.sys.join("fs/cgroup");
        let reader = tokio::task::spawn_blocking(move || {
            let of = |id: ContainerId| cgroup_figures(&root, &id).map(|figures| (id, figures));
            let all = containers.into_iter().filter_map(of).collect();
            drop(turn);
            all
        });
        timeout(FIGURES_WITHIN, reader).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// The front itself sees no process of others.
    async fn read_container_use(&self, asked: ContainerUseAsked) -> Result<ContainerUse, String> {
        self.remote.call(&ReadContainerUse { asked }).await.map_err(|fault| fault.to_string())
    }

    /// A hand that does not answer costs its own part, and no more than some seconds.
    async fn read_host_side(&self) -> WorkspaceHostSide {
        let (groups, toolkit) = (ListDeviceGroups {}, ReadToolkitVersion {});
        let (groups, toolkit) = tokio::join!(
            timeout(HOST_SIDE_WITHIN, self.remote.call(&groups)),
            timeout(HOST_SIDE_WITHIN, self.remote.call(&toolkit)),
        );
        WorkspaceHostSide {
            device_groups: groups.ok().and_then(Result::ok).unwrap_or_default(),
            toolkit: toolkit.ok().and_then(Result::ok).flatten(),
        }
    }

    /// What is in the container's `/dev` shows the hand that may look into it; what its control group lets it open, the one that may
    /// enter it.
    async fn look_at_workspace_gpus(&self, probe: &WorkspaceGpuProbe) -> Result<WorkspaceGpuLook, String> {
        let (container, pid) = (probe.start.container.clone(), probe.pid);
        let listed = self.remote.call(&ListContainerNodes { container: container.clone(), pid }).await;
        let nodes = listed.map_err(|fault| fault.to_string())?;
        let devices = probe.needs.numbers(&nodes);
        if devices.is_empty() {
            return Ok(WorkspaceGpuLook { nodes, access: Vec::new() });
        }
        let asked = self.remote.call(&ProbeContainerDevices { container, pid, devices }).await;
        Ok(WorkspaceGpuLook { nodes, access: asked.map_err(|fault| fault.to_string())? })
    }
}
