//! Every container of Docker, running and stopped, as it is inspected.

use crate::http::{DockerError, get, get_list};
use crate::json::Json;
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::StatusCode;
use model::ids::ContainerId;
use serde::Deserialize;

/// All of them, also those that never ran.
const ALL: &str = "/containers/json?all=true";
/// Most that is read of the list, in bytes: with long commands, labels and mounts each container takes some KiB.
const LIST_MAX_BYTES: usize = 32 * 1024 * 1024;
/// More are not inspected one by one: then it is not known which container has what.
const CONTAINERS_MAX: usize = 8192;
/// Questions to Docker at once.
const AT_ONCE: usize = 4;
/// Parts of an inspected container. The last of these is the last part of the answer: it is there only if nothing before it was cut off
/// by a bound.
const PARTS: [&str; 3] = ["HostConfig", "Config", "NetworkSettings"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: ContainerId,
}

/// What `read` finds in each of them, in the order of the list. One that goes meanwhile is left out.
///
/// # Errors
/// Docker does not answer, or its list or one container cannot be read whole: then anything may be in any container.
pub(crate) async fn each_container<T>(
    socket: &str,
    read: impl Fn(&ContainerId, &Json) -> Option<T>,
) -> Result<Vec<T>, DockerError> {
    let listed: Vec<Listed> = get_list(socket, ALL, LIST_MAX_BYTES).await?;
    if listed.len() > CONTAINERS_MAX {
        let why = format!("Docker has {} containers, {CONTAINERS_MAX} can be inspected", listed.len());
        return Err(DockerError::Garbled { path: ALL.to_owned(), why });
    }
    // No more than a few of the answers are held at once.
    let reading = listed.into_iter().map(async |Listed { id }| {
        let seen = inspected(socket, &id).await?;
        Ok::<_, DockerError>(seen.and_then(|seen| read(&id, &seen)))
    });
    let all: Vec<Option<T>> = stream::iter(reading).buffered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

async fn inspected(socket: &str, id: &ContainerId) -> Result<Option<Json>, DockerError> {
    let path = format!("/containers/{}/json", id.as_str());
    let seen = match get(socket, &path).await {
        // It is gone meanwhile.
        Err(DockerError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Ok(None),
        seen => seen?,
    };
    match PARTS.iter().find(|part| !matches!(seen.get(part), Json::Object(_))) {
        Some(part) => Err(DockerError::Garbled { path, why: format!("it has no {part} that can be read") }),
        None => Ok(Some(seen)),
    }
}
