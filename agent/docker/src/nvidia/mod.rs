//! NVIDIA's driver and toolkit containers: looked at, and a closed list of things that are done to them.

mod deeds;
mod log_tail;
mod look;
mod shape;
mod toolkit_probe;

use crate::pulls::Pulls;
use crate::registry_logins::LoginSource;
use crate::within;
use model::driver::ProbeError;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{NvidiaDeed, NvidiaLook, NvidiaRole, ToolkitProbe, ToolkitWay};
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use std::sync::Arc;
use std::time::Duration;

/// A pull that shows no progress for so long is aborted: a connection that a firewall forgot never ends by itself.
pub const STALLED_AFTER: Duration = Duration::from_secs(120);

/// The two containers on one Docker. It remembers the pulls that it has begun, and all clones share them.
#[derive(Debug, Clone)]
pub struct NvidiaContainers {
    socket: Arc<str>,
    pulls: Arc<Pulls>,
}

impl NvidiaContainers {
    /// Those of the Docker at this socket; a pull without progress is aborted after `stalled_after`.
    #[must_use]
    pub fn new(socket: &str, stalled_after: Duration) -> Self {
        Self { socket: socket.into(), pulls: Arc::new(Pulls::new(stalled_after, LoginSource::default())) }
    }

    /// With the logins of this host to registries.
    #[must_use]
    pub fn with_logins(socket: &str, stalled_after: Duration, logins: LoginSource) -> Self {
        Self { socket: socket.into(), pulls: Arc::new(Pulls::new(stalled_after, logins)) }
    }

    /// Looks at the containers of a role, and at an image.
    ///
    /// # Errors
    /// Docker is absent, refuses, or does not answer in time.
    pub async fn look(
        &self,
        role: NvidiaRole,
        image: Option<&ImageRef>,
        deadline: Duration,
    ) -> Result<NvidiaLook, ProbeError> {
        let looking = look::look(&self.socket, &self.pulls, role, image);
        within(&self.what(), deadline, looking).await
    }

    /// Does one thing. The containers that it is done to are ours: label, command and mounts agree. A pull is only begun.
    ///
    /// # Errors
    /// The policy or the state of the container denies it, Docker refuses it, or cannot be asked; then it may have happened.
    pub async fn apply(&self, deed: &NvidiaDeed, policy: &NvidiaPolicy, deadline: Duration) -> Result<(), ActError> {
        deeds::apply(&self.socket, &self.pulls, deed, policy, deadline).await
    }

    /// The last lines of a container of ours, oldest first: printable, bounded, and without secrets.
    ///
    /// # Errors
    /// There is no such container of ours, or Docker cannot be asked.
    pub async fn log(&self, role: NvidiaRole, id: &ContainerId, deadline: Duration) -> Result<Vec<String>, ProbeError> {
        within(&self.what(), deadline, log_tail::log_tail(&self.socket, role, id, deadline)).await
    }

    /// Starts one short container from the toolkit's image in the way of a workspace, and looks whether it has a device.
    ///
    /// # Errors
    /// The policy denies it, or Docker cannot be asked. That Docker does not start it is an answer.
    pub async fn probe_toolkit(
        &self,
        image: &ImageRef,
        way: ToolkitWay,
        policy: &NvidiaPolicy,
        deadline: Duration,
    ) -> Result<ToolkitProbe, ProbeError> {
        if let Err((key, why)) = policy.allows(NvidiaRole::Toolkit, image) {
            return Err(ProbeError::Failed { what: self.what(), status: 0, said: format!("{key}: {why}") });
        }
        within(&self.what(), deadline, toolkit_probe::probe(&self.socket, image, way, deadline)).await
    }

    fn what(&self) -> String {
        format!("Docker ({})", self.socket)
    }
}
