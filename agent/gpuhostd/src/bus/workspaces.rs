//! `org.gpuhost.Agent1.Workspaces` on the root object: what concerns no single workspace, or one that is not there yet.

use super::descriptor::{Expected, Turnstile};
use super::failure::Refused;
use super::options::{Options, Parser, Standard, invalid};
use super::submit::Submitter;
use super::{Moment, Sources};
use engine::command::Command;
use model::desired::WishText;
use model::prune_mode::PruneMode;
use model::refusal::Refusal;
use model::settings::HostSetting;
use model::workspace::{WorkspaceHead, WorkspaceId, WorkspaceKind};
use model::workspace_life::{ImageAsk, WorkspaceAsk};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::dbus::WORKSPACES_INTERFACE;
use wire::dbus::images::ImagesView;
use wire::dbus::workspaces::WorkspacesView;
use zbus::message::Header;
use zbus::{OwnedFd, OwnedObjectPath};

/// A workspace as it is handed over; no larger one is read of a document.
const WORKSPACE: Expected = Expected { argument: "workspace", most_bytes: 256 * 1024 };
/// So many callers of `CreateWorkspace` have theirs read at once.
const READERS: usize = 16;

/// The option of a mode of removal.
const MODE: &str = "mode";
/// How long a caller of `ListImages` waits for Docker.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// So many callers wait for it at once; more get what is known.
const LOOKS: usize = 4;

type Result<T> = std::result::Result<T, Refused>;

/// What the root object shows of workspaces at one instant.
pub(super) fn workspaces_view(now: &Moment) -> WorkspacesView {
    WorkspacesView::new(&now.workspaces, now.settings.desired.is_draining())
}

/// The methods.
#[derive(Debug)]
pub(super) struct WorkspacesMethods {
    sources: Sources,
    submitter: Submitter,
    readers: Turnstile,
    looks: Semaphore,
}

/// The workspace of a text, as far as it has to be right before it is asked for: the rest is judged with what is there by then.
fn wanted(bytes: &[u8]) -> std::result::Result<WorkspaceAsk, Refusal> {
    let wrong = |why: &str| invalid(WORKSPACE.argument, why);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
    let wish = WishText::new(text);
    wish.value().map_err(|unread| wrong(&unread.to_string()))?;
    let head = WorkspaceHead::of_text(&wish).map_err(|refused| wrong(&refused.to_string()))?;
    Ok(WorkspaceAsk::Set { id: head.id, wish })
}

/// A mode of removal among the options.
fn mode(parser: &mut Parser) -> std::result::Result<Option<PruneMode>, Refusal> {
    let Some(text) = parser.text(MODE, 32)? else { return Ok(None) };
    let known = || PruneMode::ALL.iter().copied().map(PruneMode::code).collect::<Vec<_>>().join(", ");
    PruneMode::from_code(&text).map(Some).ok_or_else(|| invalid(MODE, format!("expected one of {}", known())))
}

impl WorkspacesMethods {
    /// Methods that reach the core through this.
    pub(super) fn new(sources: &Sources, submitter: Submitter) -> Self {
        Self { sources: sources.clone(), submitter, readers: Turnstile::new(READERS), looks: Semaphore::new(LOOKS) }
    }

    /// The staged workspaces that are here now.
    fn staged(&self) -> Vec<WorkspaceId> {
        let state = self.sources.workspaces.borrow();
        let staged = state.workspaces.iter().filter(|one| one.kind == WorkspaceKind::Staged);
        staged.map(|one| one.id.clone()).collect()
    }

    async fn submit(
        &self,
        header: &Header<'_>,
        member: &'static str,
        plain: Standard,
        command: Command,
    ) -> Result<OwnedObjectPath> {
        let admission = self.submitter.gate.admit(header, WORKSPACES_INTERFACE, member, plain, &[]).await?;
        self.submitter.submit(admission.authorize(command)?).await
    }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Workspaces")]
impl WorkspacesMethods {
    /// Has a workspace on this host, whatever a manager wants, or changes the one of its id that was created here. It is read from a
    /// pipe, file or socket (JSON in the shape of an entry of `workspaces` of a desired state, at most 256 KiB), so that a secret in its
    /// environment is in no message. The job finishes when the wish is taken up; the object of the workspace shows how far it is, and
    /// what the policy of this host refuses. Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn create_workspace(
        &self,
        workspace: OwnedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, WORKSPACES_INTERFACE, "CreateWorkspace", plain, &[]).await?;
        let bytes = self.readers.read(workspace.into(), WORKSPACE).await?;
        let command = Command::Workspace(Box::new(wanted(&bytes)?));
        self.submitter.submit(admission.authorize(command)?).await
    }

    /// Deletes what the newest revision of a manager's document deletes, although that is more than one revision may delete
    /// (RemovalsHeld). Action: org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn confirm_removals(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let command = Command::Workspace(Box::new(WorkspaceAsk::ConfirmRemovals));
        self.submit(&header, "ConfirmRemovals", plain, command).await
    }

    /// Deletes every workspace of the kind staged, with its files: none of them was given to a user yet. Action:
    /// org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn delete_staged(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        self.submit(&header, "DeleteStaged", plain, Command::DeleteStaged(self.staged())).await
    }

    /// The images that Docker has, as JSON: LookedAt, DockerFault, Mode, Disk, DiskAvailableBytes, DiskReserveBytes, and Images with Id,
    /// Image, Ours, Digests, Tags, SizeBytes, Containers, PulledAt, NeededAt and Kept (a stable code why it stays; null: PruneImages
    /// removes it). All callers together have Docker asked at most each 2 s; if it does not answer within 5 s the reply has what it
    /// showed last. Options: mode (s: off, emergency, normal or aggressive; without it the mode in force).
    #[zbus(out_args("images"))]
    async fn list_images(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let mut parser = Parser::new(options);
        let mode = mode(&mut parser)?;
        let plain = parser.finish()?;
        self.submitter.gate.admit(&header, WORKSPACES_INTERFACE, "ListImages", plain, &[]).await?;
        let board = self.sources.publisher.images();
        let asked = tokio::time::timeout(LOOK_WITHIN, board.ask(ImageAsk::Look(mode)));
        let state = match (self.looks.try_acquire(), asked) {
            (Ok(_place), asked) => match asked.await {
                Ok(Ok(answer)) => answer.state,
                Ok(Err(_)) | Err(_) => Arc::clone(&board.shown().borrow()),
            },
            (Err(_), _) => Arc::clone(&board.shown().borrow()),
        };
        let attempted = "write the images as JSON".to_owned();
        let fault = |e: serde_json::Error| Refusal::HostFault { attempted, said: e.to_string() };
        Ok(serde_json::to_string(&ImagesView::from(&*state)).map_err(fault)?)
    }

    /// Removes images that gpuhostd has pulled: those that no container has in whatever state, that neither the desired state nor NVIDIA's
    /// containers name, that have no tag and were not pulled within the last hour. The remark of the job has how many. Action:
    /// org.gpuhost.agent1.workspaces. Options: mode (s: normal keeps what was needed within a day, aggressive does not; normal
    /// without it), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn prune_images(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let mode = mode(&mut parser)?.unwrap_or(PruneMode::Normal);
        let plain = parser.finish()?;
        self.submit(&header, "PruneImages", plain, Command::PruneImages(mode)).await
    }

    /// Has this host take no new workspaces from now on, over the configuration files, or has it take them again; those that run go on.
    /// A document that sets `agent.draining` sets it again. Drained shows when no container of a workspace runs any more. Action:
    /// org.gpuhost.agent1.workspaces. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn set_draining(
        &self,
        draining: bool,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let settings = vec![HostSetting::Draining(Some(draining))];
        self.submit(&header, "SetDraining", plain, Command::Configure(settings)).await
    }
}
