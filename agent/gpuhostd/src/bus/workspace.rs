//! `org.gpuhost.Agent1.Workspace`.

use super::failure::Refused;
use super::options::{Options, Parser};
use super::submit::Submitter;
use engine::command::Command;
use model::workspace::{DesiredRun, WorkspaceId};
use model::workspace_life::WorkspaceAsk;
use wire::dbus::WORKSPACE_INTERFACE;
use zbus::OwnedObjectPath;
use zbus::message::Header;

type Result<T> = std::result::Result<T, Refused>;

/// The methods of a workspace.
#[derive(Debug)]
pub(super) struct WorkspaceMethods {
    /// Which one.
    pub(super) id: WorkspaceId,
    /// The way to the core.
    pub(super) submitter: Submitter,
}

impl WorkspaceMethods {
    async fn ask(
        &self,
        (options, header): (Options, Header<'_>),
        member: &'static str,
        ask: WorkspaceAsk,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let details = [("workspace", self.id.as_str())];
        let admission = self.submitter.gate.admit(&header, WORKSPACE_INTERFACE, member, plain, &details).await?;
        self.submitter.submit(admission.authorize(Command::Workspace(Box::new(ask)))?).await
    }

    fn want(&self, desired: DesiredRun) -> WorkspaceAsk {
        WorkspaceAsk::Want { id: self.id.clone(), desired }
    }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Workspace")]
impl WorkspaceMethods {
    /// Has it run: its image is pulled and its container created if need be. The job finishes when the wish is taken up; State shows how
    /// far it is. Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn start(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Start", self.want(DesiredRun::Running)).await
    }

    /// Has it stopped; its files are kept. The job finishes when the wish is taken up; State shows how far it is. Action:
    /// org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn stop(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Stop", self.want(DesiredRun::Stopped)).await
    }

    /// Has it frozen: its processes stay in memory and get no processor time. Action: org.gpuhost.agent1.workspaces. Options:
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn pause(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Pause", self.want(DesiredRun::Paused)).await
    }

    /// Has it run on after Pause. Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn resume(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Resume", self.want(DesiredRun::Running)).await
    }

    /// Deletes it: its container, and the volumes that gpuhostd created for it. Its files are lost. Action:
    /// org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn delete(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Delete", self.want(DesiredRun::Deleted)).await
    }

    /// Creates its container again although nothing of it changed. Its volumes are kept; what is only in the container's own layer is
    /// lost. Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn recreate(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Recreate", WorkspaceAsk::Recreate { id: self.id.clone() }).await
    }

    /// Tries again now what failed or was given up. Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn retry(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        self.ask((options, header), "Retry", WorkspaceAsk::Again { id: self.id.clone() }).await
    }
}
