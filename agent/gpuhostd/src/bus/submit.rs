//! The way of a caller to the core: through the gate, then the command is handed in, and answers with the path of the job when its object is on the bus.

use super::failure::Refused;
use super::gate::Gate;
use engine::command::Authorized;
use engine::handle::Handle;
use engine::mig_look::MigLook;
use model::message::Message;
use model::refusal::Refusal;
use model::{JobId, PciAddress};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::dbus::job_path;
use zbus::OwnedObjectPath;

/// How long a caller is kept until the object of its job is on the bus.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);

/// The way of every object on the bus to the core.
#[derive(Debug, Clone)]
pub(super) struct Submitter {
    handle: Handle,
    published: watch::Receiver<Option<JobId>>,
    /// Lets callers in.
    pub(super) gate: Arc<Gate>,
}

impl Submitter {
    /// `published` has the number of the newest job whose object is on the bus.
    pub(super) const fn new(handle: Handle, published: watch::Receiver<Option<JobId>>, gate: Arc<Gate>) -> Self {
        Self { handle, published, gate }
    }

    /// MIG of a GPU as it is now.
    pub(super) async fn look_at_mig(&self, gpu: PciAddress) -> Result<MigLook, Refusal> {
        self.handle.look_at_mig(gpu).await
    }

    /// Hands the command in and answers with the path of its job, whose object is on the bus by then.
    pub(super) async fn submit(&self, authorized: Authorized) -> Result<OwnedObjectPath, Refused> {
        let id = self.handle.submit(authorized).await?;
        let mut published = self.published.clone();
        let there = published.wait_for(|newest| newest.is_some_and(|newest| newest >= id));
        if !matches!(tokio::time::timeout(PUBLISH_DEADLINE, there).await, Ok(Ok(_))) {
            tracing::warn!(
                message_id = Message::JobNotPublished.id(),
                JOB_ID = id.0,
                "the job has started, but its object is not on the bus yet"
            );
        }
        let path = OwnedObjectPath::try_from(job_path(id));
        Ok(path
            .map_err(|e| Refusal::HostFault { attempted: format!("name job {id} on the bus"), said: e.to_string() })?)
    }
}
