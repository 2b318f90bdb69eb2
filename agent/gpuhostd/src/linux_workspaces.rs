//! Workspaces on the Linux host: Docker through the container hand.

use crate::linux::LinuxHost;
use model::image_ref::ImageRef;
use model::ports::WorkspacePort;
use model::time::UnixMillis;
use model::workspace_life::{WorkspaceDeed, WorkspaceLook};
use protocol::hand::containers::{ApplyWorkspaceDeed, AwaitWorkspaceEvent, InspectWorkspaces};

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
}
