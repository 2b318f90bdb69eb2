//! Docker's facts, nvidia-smi in the driver container, which containers map MIG instances, NVIDIA's two containers, and workspaces.

mod answer;
mod cdi;
mod client;
mod driver_container;
mod each_container;
mod http;
mod images;
mod inspected;
mod json;
mod mig_claims;
mod not_done;
mod nvidia;
mod pull_progress;
mod pulls;
mod registry_logins;
mod runtime_users;
mod workspace;

pub use driver_container::smi_in_driver_container;
pub use mig_claims::mig_claims;
pub use nvidia::{NvidiaContainers, STALLED_AFTER};
pub use registry_logins::{LoginSource, RegistryLogins};
pub use runtime_users::runtime_users;
pub use workspace::{PULL_STALLED_AFTER, WorkspaceContainers};

use http::{DockerError, get};
use json::Json;
use model::docker::DockerFacts;
use model::driver::ProbeError;
use model::time::whole_millis;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time for the CDI specifications, which are on a disk of this host.
const CDI_WITHIN: Duration = Duration::from_secs(2);

/// Asks Docker for its version and its settings, and reads the CDI specifications in its folders. One field of another type than
/// expected costs that field, and one broken specification itself.
///
/// # Errors
/// Docker is absent, refuses, or does not answer in time.
pub async fn facts(socket: &str, deadline: Duration) -> Result<DockerFacts, ProbeError> {
    let what = format!("Docker ({socket})");
    // The files have what is left, and at least half a second.
    let begin = Instant::now();
    let mut facts = within(&what, deadline, async {
        let (version, info) = tokio::join!(get(socket, "/version"), get(socket, "/info"));
        let version = match version {
            // What it says of itself stands in the other answer too.
            Err(DockerError::Refused { .. } | DockerError::Garbled { .. }) => Json::Null,
            version => version?,
        };
        Ok(answer::facts(&version, &info?))
    })
    .await?;
    let left = deadline.saturating_sub(begin.elapsed());
    cdi::add(&mut facts, left.clamp(Duration::from_millis(500), CDI_WITHIN)).await;
    Ok(facts)
}

/// Runs a conversation with Docker under one deadline.
async fn within<T>(
    what: &str,
    deadline: Duration,
    conversation: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, ProbeError> {
    match timeout(deadline, conversation).await {
        Ok(outcome) => outcome.map_err(|error| error.into_fault(what)),
        Err(_) => {
            let after_ms = whole_millis(deadline);
            Err(ProbeError::Timeout { what: what.to_owned(), after_ms })
        }
    }
}

/// The facts in the answers to `GET /version` and `GET /info`; nothing where they are no JSON objects.
#[must_use]
pub fn facts_of(version: &[u8], info: &[u8]) -> DockerFacts {
    let read = |bytes| Json::read(bytes).unwrap_or_default();
    answer::facts(&read(version), &read(info))
}
