//! What containers and images of all kinds are looked at for: one container by its full id, what it does, and how far an image is.

use crate::client::clean;
use crate::http::{DockerError, get};
use crate::images::{found, present};
use crate::json::Json;
use crate::pulls::Pulls;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, ImageSeen};

/// A container by its full id; none where there is none. Docker would also take a container that is *named* like the id.
pub(crate) async fn inspect(socket: &str, id: &ContainerId) -> Result<Option<Json>, DockerError> {
    let found = found(get(socket, &format!("/containers/{}/json", id.as_str())).await)?;
    Ok(found.filter(|found| found.get("Id").text() == Some(id.as_str())))
}

/// What a container does, from its `State`.
pub(crate) fn run(state: &Json) -> ContainerRun {
    match state.get("Status").text() {
        Some("created") => ContainerRun::Created,
        Some("running") => ContainerRun::Running,
        Some("paused") => ContainerRun::Paused,
        Some("exited") => ContainerRun::Ended {
            exit: state.get("ExitCode").number().unwrap_or(-1),
            oom: state.get("OOMKilled").flag() == Some(true),
        },
        other => ContainerRun::Other(clean(other.unwrap_or("unknown"))),
    }
}

/// How far the image is.
pub(crate) async fn image_seen(socket: &str, pulls: &Pulls, image: &ImageRef) -> Result<ImageSeen, DockerError> {
    if let Some(progress) = pulls.progress(image) {
        return Ok(progress);
    }
    Ok(match present(socket, image).await? {
        // A pull that failed has not changed what was loaded or tagged by hand.
        Some(digests) if digests.is_empty() => {
            pulls.failure(image).map_or(ImageSeen::Present { digests }, |why| ImageSeen::PullFailed { why })
        }
        Some(digests) => {
            pulls.forget_failure(image);
            ImageSeen::Present { digests }
        }
        None => pulls.failure(image).map_or(ImageSeen::Absent, |why| ImageSeen::PullFailed { why }),
    })
}
