//! Workspaces on the Linux host: Docker through the container hand, their GPUs through the holders hand and the host hand.

use crate::linux::LinuxHost;
use model::image_ref::ImageRef;
use model::ports::WorkspacePort;
use model::time::UnixMillis;
use model::workspace_life::{WorkspaceDeed, WorkspaceGpuLook, WorkspaceGpuProbe, WorkspaceLook};
use protocol::hand::containers::{ApplyWorkspaceDeed, AwaitWorkspaceEvent, InspectWorkspaces};
use protocol::hand::holders::ListContainerNodes;
use protocol::hand::host::ProbeContainerDevices;

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
