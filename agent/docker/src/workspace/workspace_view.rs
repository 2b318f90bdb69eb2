//! How Docker shows the containers of workspaces and the images that are wanted for them: a list, then each by its full id.

use super::busy_containers::{BusyContainers, SeenAt};
use super::workspace_list::{Listed, listed};
use super::workspace_shape::{WorkspaceShape, unreadable};
use crate::client::words;
use crate::http::DockerError;
use crate::inspected::image_seen;
use crate::pulls::Pulls;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::image_ref::ImageRef;
use model::nvidia_container::ImageSeen;
use model::workspace_life::WorkspaceLook;

/// Questions to Docker at once.
const AT_ONCE: usize = 4;

/// Looks afresh.
pub(super) async fn look(
    socket: &str,
    pulls: &Pulls,
    busy: &BusyContainers,
    images: &[ImageRef],
) -> Result<WorkspaceLook, DockerError> {
    let inspecting = listed(socket).await?.into_iter().map(async |listed| match busy.last_seen(&listed.id) {
        Some(seen) => Ok(Some(seen)),
        None => inspected(socket, listed).await,
    });
    let found: Vec<Option<SeenAt>> = stream::iter(inspecting).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut containers: Vec<SeenAt> = found.into_iter().flatten().collect();
    containers.sort_by(|(one, first), (two, second)| (one, &first.id).cmp(&(two, &second.id)));
    busy.keep(&containers);
    let mut wanted = images.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let looking = wanted.into_iter().map(|image| wanted_image(socket, pulls, image));
    let images = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
    Ok(WorkspaceLook { containers: containers.into_iter().map(|(_, seen)| seen).collect(), images })
}

/// One of the list, with when it was created; none where it is gone meanwhile. One that Docker cannot show costs itself, but that
/// Docker is gone is a fault of the look.
async fn inspected(socket: &str, listed: Listed) -> Result<Option<SeenAt>, DockerError> {
    match WorkspaceShape::of(socket, &listed.id).await {
        Ok(None) => Ok(None),
        Ok(Some(shape)) => Ok(shape.seen().map(|seen| (shape.created(), seen))),
        Err(error @ (DockerError::Refused { .. } | DockerError::Garbled { .. })) => {
            let why = format!("Docker lists it and cannot show it: {}", words(&error));
            Ok(unreadable(listed, &why).map(|seen| (None, seen)))
        }
        Err(error) => Err(error),
    }
}

async fn wanted_image(socket: &str, pulls: &Pulls, image: ImageRef) -> Result<(ImageRef, ImageSeen), DockerError> {
    let seen = image_seen(socket, pulls, &image).await?;
    Ok((image, seen))
}
