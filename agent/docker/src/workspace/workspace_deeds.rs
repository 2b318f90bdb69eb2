//! What is done to the containers of workspaces. Each thing is done to a container of ours by its full id, and looked at again first;
//! nothing is ever forced. A container that is there already where it was to be brought is done.

use super::workspace_create::create;
use super::workspace_shape::WorkspaceShape;
use super::{bind_sources, volumes};
use crate::client::{CONFLICT, NOT_FOUND, client, status};
use crate::not_done::{NotDone, do_within};
use crate::pulls::Pulls;
use bollard::errors::Error;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::ContainerRun;
use model::policy::HostPolicy;
use model::ports::ActError;
use model::workspace::WorkspaceId;
use model::workspace_life::WorkspaceDeed;
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn apply(
    socket: &str,
    pulls: &Arc<Pulls>,
    deed: &WorkspaceDeed,
    policy: &HostPolicy,
    deadline: Duration,
) -> Result<(), ActError> {
    let deadline = deadline.min(most(deed));
    let docker = Docker { socket, within: deadline };
    let doing = async {
        match deed {
            WorkspaceDeed::Pull { image, login } => {
                allowed(policy, image)?;
                pulls.begin(socket, image, login.as_ref()).map_err(NotDone::Denied)
            }
            WorkspaceDeed::Create(container) => create(socket, container, policy, deadline).await,
            WorkspaceDeed::Start { workspace_id, id } => docker.start(workspace_id, id, policy).await,
            WorkspaceDeed::Stop { workspace_id, id, grace_s } => docker.stop(workspace_id, id, *grace_s).await,
            WorkspaceDeed::Pause { workspace_id, id } => docker.pause(workspace_id, id).await,
            WorkspaceDeed::Unpause { workspace_id, id } => docker.unpause(workspace_id, id).await,
            WorkspaceDeed::Remove { workspace_id, id } => docker.remove(workspace_id, id).await,
            WorkspaceDeed::RemoveVolume { name } => volumes::remove(socket, name, deadline).await,
        }
    };
    do_within(socket, deed, deadline, doing).await
}

/// A Docker that hangs does not hold what takes no time. A new volume is filled from the image when its container is created.
fn most(deed: &WorkspaceDeed) -> Duration {
    match deed {
        WorkspaceDeed::Stop { grace_s, .. } => Duration::from_secs(u64::from(*grace_s).saturating_add(50)),
        WorkspaceDeed::Pull { .. } | WorkspaceDeed::Pause { .. } | WorkspaceDeed::Unpause { .. } => {
            Duration::from_secs(40)
        }
        WorkspaceDeed::Create(_)
        | WorkspaceDeed::Start { .. }
        | WorkspaceDeed::Remove { .. }
        | WorkspaceDeed::RemoveVolume { .. } => Duration::from_secs(170),
    }
}

/// An image that may be pulled and run: by its digest, from a registry that the policy lists.
fn allowed(policy: &HostPolicy, image: &ImageRef) -> Result<(), NotDone> {
    let workspaces = &policy.workspaces;
    if !workspaces.allowed {
        return Err(NotDone::Denied("host.workspaces.allowed in the policy is false".to_owned()));
    }
    if image.digest().is_none() {
        return Err(NotDone::Denied(format!("{image} has no digest: a tag can change after it was pulled")));
    }
    if !workspaces.registries.iter().any(|known| known == image.registry()) {
        let registry = image.registry();
        return Err(NotDone::Denied(format!("{registry} is not among host.workspaces.registries of the policy")));
    }
    Ok(())
}

/// Docker, and how long one request may take.
struct Docker<'a> {
    socket: &'a str,
    within: Duration,
}

impl Docker<'_> {
    /// The container, where it is ours and of this workspace; none where it is gone.
    async fn ours(&self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<Option<WorkspaceShape>, NotDone> {
        let Some(found) = WorkspaceShape::of(self.socket, id).await? else { return Ok(None) };
        let denied = |why: String| Err(NotDone::Denied(why));
        let Some(seen) = found.seen() else {
            return denied("it does not have the label of a workspace".to_owned());
        };
        if let Some(why) = seen.foreign {
            let setting = found.unusual().map(|name| format!(" (HostConfig.{name})")).unwrap_or_default();
            return denied(format!("it has gpuhostd's label and is not gpuhostd's: {}{setting}", why.why()));
        }
        match seen.workspace_id {
            Some(of) if of == *workspace_id => Ok(Some(found)),
            _ => denied("it is the container of another workspace".to_owned()),
        }
    }

    /// The same, where it must be there.
    async fn there(&self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<WorkspaceShape, NotDone> {
        self.ours(workspace_id, id).await?.ok_or_else(|| NotDone::Denied("it is gone".to_owned()))
    }

    async fn start(&self, workspace_id: &WorkspaceId, id: &ContainerId, policy: &HostPolicy) -> Result<(), NotDone> {
        let found = self.there(workspace_id, id).await?;
        let image = found.image().parse::<ImageRef>();
        let image = image.map_err(|_| NotDone::Denied("Docker does not show which image it is from".to_owned()))?;
        allowed(policy, &image)?;
        let binds = found.binds();
        bind_sources::check_policy(&binds, policy)?;
        bind_sources::check_links(binds.into_iter().map(|(source, _)| source).collect()).await?;
        let docker = client(self.socket, self.within).await?;
        Ok(docker.start_container(id.as_str(), None::<StartContainerOptions>).await?)
    }

    async fn stop(&self, workspace_id: &WorkspaceId, id: &ContainerId, grace_s: u32) -> Result<(), NotDone> {
        if self.ours(workspace_id, id).await?.is_none() {
            return Ok(());
        }
        let seconds = i32::try_from(grace_s.min(WorkspaceDeed::GRACE_MOST_S)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let docker = client(self.socket, self.within).await?;
        gone_is_done(docker.stop_container(id.as_str(), Some(options)).await)
    }

    async fn pause(&self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), NotDone> {
        self.there(workspace_id, id).await?;
        let docker = client(self.socket, self.within).await?;
        self.unless_is(id, docker.pause_container(id.as_str()).await, &ContainerRun::Paused).await
    }

    async fn unpause(&self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), NotDone> {
        self.there(workspace_id, id).await?;
        let docker = client(self.socket, self.within).await?;
        self.unless_is(id, docker.unpause_container(id.as_str()).await, &ContainerRun::Running).await
    }

    /// A refusal is done where the container does what was asked for. Older engines answer such with 500.
    async fn unless_is(
        &self,
        id: &ContainerId,
        answer: Result<(), Error>,
        wanted: &ContainerRun,
    ) -> Result<(), NotDone> {
        match answer {
            Err(error) if status(&error).is_some() => {
                let found = WorkspaceShape::of(self.socket, id).await?;
                if found.is_some_and(|found| found.run() == *wanted) { Ok(()) } else { Err(error.into()) }
            }
            answer => Ok(answer?),
        }
    }

    /// Docker refuses it while it runs. Volumes without a name go with it: they are the image's own, and no other container has them.
    async fn remove(&self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), NotDone> {
        if self.ours(workspace_id, id).await?.is_none() {
            return Ok(());
        }
        let docker = client(self.socket, self.within).await?;
        let options = RemoveContainerOptionsBuilder::new().force(false).v(true).build();
        match docker.remove_container(id.as_str(), Some(options)).await {
            // Another request removes it: it is done when that is.
            Err(error) if status(&error) == Some(CONFLICT) && self.is_being_removed(id, &error).await? => Ok(()),
            answer => gone_is_done(answer),
        }
    }

    async fn is_being_removed(&self, id: &ContainerId, error: &Error) -> Result<bool, NotDone> {
        if crate::client::said(error).contains("already in progress") {
            return Ok(true);
        }
        let found = WorkspaceShape::of(self.socket, id).await?;
        Ok(found.is_none_or(|found| found.run() == ContainerRun::Other("removing".to_owned())))
    }
}

fn gone_is_done(answer: Result<(), Error>) -> Result<(), NotDone> {
    match answer {
        Err(error) if status(&error) == Some(NOT_FOUND) => Ok(()),
        answer => Ok(answer?),
    }
}
