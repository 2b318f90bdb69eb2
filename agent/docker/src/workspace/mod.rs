//! The containers of workspaces: looked at, waited for, and a closed list of things that are done to them.

mod bind_sources;
mod busy_containers;
mod events;
mod networks;
mod stored_images;
mod unusual;
mod volumes;
mod workspace_create;
mod workspace_deeds;
mod workspace_list;
mod workspace_shape;
mod workspace_view;

use crate::not_done::do_within;
use crate::pulls::Pulls;
use crate::registry_logins::LoginSource;
use crate::within;
use busy_containers::BusyContainers;
use model::driver::ProbeError;
use model::image_ref::{ImageDigest, ImageRef};
use model::policy::HostPolicy;
use model::ports::ActError;
use model::time::UnixMillis;
use model::workspace_life::{StoredImage, WorkspaceDeed, WorkspaceLook};
use std::sync::Arc;
use std::time::Duration;

/// A pull of a workspace's image that shows no progress for so long is aborted: one that is cut again and again shows none for minutes.
pub const PULL_STALLED_AFTER: Duration = Duration::from_secs(60);

/// The containers of workspaces on one Docker. It remembers the pulls that it has begun, and all clones share them.
#[derive(Debug, Clone)]
pub struct WorkspaceContainers {
    socket: Arc<str>,
    pulls: Arc<Pulls>,
    busy: BusyContainers,
}

impl WorkspaceContainers {
    /// Those of the Docker at this socket; a pull without progress is aborted after `stalled_after`.
    #[must_use]
    pub fn new(socket: &str, stalled_after: Duration) -> Self {
        Self::with_logins(socket, stalled_after, LoginSource::default())
    }

    /// With the logins of this host to registries.
    #[must_use]
    pub fn with_logins(socket: &str, stalled_after: Duration, logins: LoginSource) -> Self {
        let pulls = Arc::new(Pulls::new(stalled_after, logins));
        Self { socket: socket.into(), pulls, busy: BusyContainers::default() }
    }

    /// Looks at every container with our label, and at images. One that something is being done to by this value is as it was seen last.
    ///
    /// # Errors
    /// Docker is absent, refuses, or does not answer in time. One container that cannot be inspected is no error.
    pub async fn look(&self, images: &[ImageRef], deadline: Duration) -> Result<WorkspaceLook, ProbeError> {
        within(&self.what(), deadline, workspace_view::look(&self.socket, &self.pulls, &self.busy, images)).await
    }

    /// Does one thing. The container that it is done to is ours: name, labels, options and devices agree. A pull is only begun.
    ///
    /// # Errors
    /// The policy or the state of the container denies it, Docker refuses it, or cannot be asked; then it may have happened.
    pub async fn apply(&self, deed: &WorkspaceDeed, policy: &HostPolicy, deadline: Duration) -> Result<(), ActError> {
        let _busy = deed.container().map(|id| self.busy.begin(id));
        workspace_deeds::apply(&self.socket, &self.pulls, deed, policy, deadline).await
    }

    /// Waits until something of our containers, of Docker's images or of Docker itself has changed since then, or a pull has ended;
    /// `most` at most. That Docker exits is a change too.
    ///
    /// # Errors
    /// Docker is absent, or refuses.
    pub async fn await_event(&self, since: UnixMillis, most: Duration) -> Result<(), ProbeError> {
        let waiting = events::await_event(&self.socket, &self.pulls, since, most);
        waiting.await.map_err(|error| error.into_fault(&self.what()))
    }

    /// Every image that Docker has, with the containers that are created from it.
    ///
    /// # Errors
    /// Docker is absent, refuses, or does not answer in time.
    pub async fn stored_images(&self, deadline: Duration) -> Result<Vec<StoredImage>, ProbeError> {
        within(&self.what(), deadline, stored_images::stored_images(&self.socket)).await
    }

    /// Removes an image by its id. One that is gone is done.
    ///
    /// # Errors
    /// A container is created from it, it has a tag, the policy does not list its registry, or Docker refuses or cannot be asked.
    pub async fn remove_stored_image(
        &self,
        id: &ImageDigest,
        policy: &HostPolicy,
        deadline: Duration,
    ) -> Result<(), ActError> {
        let removing = stored_images::remove(&self.socket, id, policy, deadline);
        do_within(&self.socket, &format!("remove the image {id}"), deadline, removing).await
    }

    fn what(&self) -> String {
        format!("Docker ({})", self.socket)
    }
}
