//! How Docker shows the containers of a role and an image.

use super::shape::Shape;
use crate::client::clean;
use crate::http::{DockerError, get};
use crate::images::image_digests;
use crate::inspected::{image_seen, inspect, run};
use crate::json::Json;
use crate::pulls::Pulls;
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::{ImageSeen, NvidiaContainerSeen, NvidiaLook, NvidiaRole, NvidiaSpec};
use model::time::UnixMillis;

/// More containers with our label are not looked at: there are two at most, during an upgrade.
const CONTAINERS_MAX: usize = 16;

/// Looks afresh.
pub(crate) async fn look(
    socket: &str,
    pulls: &Pulls,
    role: NvidiaRole,
    image: Option<&ImageRef>,
) -> Result<NvidiaLook, DockerError> {
    let mut containers = Vec::new();
    for id in labelled(socket, NvidiaSpec::ROLE_LABEL, role.code()).await? {
        if let Some(found) = inspect(socket, &id).await?
            && Shape(&found).has_role(role)
        {
            // The list has whole seconds only: two that were created in one would come in any order.
            let created = found.get("Created").text().and_then(UnixMillis::from_rfc3339).map(|at| at.0);
            containers.push((created, seen(socket, role, id, &found).await?));
        }
    }
    containers.sort_by(|(one, first), (two, second)| (one, &first.id).cmp(&(two, &second.id)));
    let containers = containers.into_iter().map(|(_, seen)| seen).collect();
    let image = match image {
        Some(image) => image_seen(socket, pulls, image).await?,
        None => ImageSeen::Absent,
    };
    Ok(NvidiaLook { containers, image })
}

/// The full ids of the containers with a label, the oldest first to the second.
pub(crate) async fn labelled(socket: &str, key: &str, value: &str) -> Result<Vec<ContainerId>, DockerError> {
    let path = format!("/containers/json?all=true&filters=%7B%22label%22%3A%5B%22{key}%3D{value}%22%5D%7D");
    let listed = get(socket, &path).await?;
    if !matches!(listed, Json::List(_)) {
        return Err(DockerError::Garbled { path, why: "the list of containers is not a list".to_owned() });
    }
    let item = |item: &Json| Some((item.get("Created").number::<i64>()?, item.get("Id").text()?.parse().ok()?));
    let mut found: Vec<(i64, ContainerId)> = listed.items().iter().filter_map(item).collect();
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, id)| id).take(CONTAINERS_MAX).collect())
}

async fn seen(
    socket: &str,
    role: NvidiaRole,
    id: ContainerId,
    found: &Json,
) -> Result<NvidiaContainerSeen, DockerError> {
    let shape = Shape(found);
    let image = found.get("Image").text().and_then(|image| image.parse::<ImageDigest>().ok());
    let image_digests = match image {
        Some(image) => image_digests(socket, image.as_str(), None).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let state = found.get("State");
    Ok(NvidiaContainerSeen {
        id,
        name: clean(found.get("Name").text().unwrap_or_default().trim_start_matches('/')),
        foreign: shape.foreign(role),
        spec_digest: shape.spec_digest().map(str::to_owned),
        image_digests,
        run: run(state),
        // Docker writes the year 1 where it was never started.
        started_at: state.get("StartedAt").text().and_then(UnixMillis::from_rfc3339).filter(|at| at.0 > 0),
    })
}
