//! Every container of Docker, running and stopped, as it is inspected.

use crate::http::{DockerError, get};
use crate::json::Json;
use hyper::StatusCode;

/// All of them, also those that never ran.
const ALL: &str = "/containers/json?all=true";
/// More are not asked one by one: then nobody can say who has what.
const CONTAINERS_MAX: usize = 2048;

/// Their ids with what Docker answers about each. One that goes meanwhile is left out.
///
/// # Errors
/// Docker does not answer, or not as it should: then anything may be in any container.
pub(crate) async fn each_container(socket: &str) -> Result<Vec<(String, Json)>, DockerError> {
    let garbled = |path: &str, why: &str| DockerError::Garbled { path: path.to_owned(), why: why.to_owned() };
    let listed = get(socket, ALL).await?;
    if !matches!(listed, Json::List(_)) || listed.items().len() > CONTAINERS_MAX {
        return Err(garbled(ALL, "the list of containers is not a list, or too long to be read"));
    }
    let mut all = Vec::new();
    for container in listed.items() {
        let id = container.get("Id").text().filter(|id| id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let id = id.ok_or_else(|| garbled(ALL, "a container has no id"))?;
        let path = format!("/containers/{id}/json");
        let seen = match get(socket, &path).await {
            // It is gone meanwhile.
            Err(DockerError::Refused { status: StatusCode::NOT_FOUND, .. }) => continue,
            seen => seen?,
        };
        if !matches!(seen.get("Config"), Json::Object(_)) || !matches!(seen.get("HostConfig"), Json::Object(_)) {
            return Err(garbled(&path, "it has no configuration that can be read"));
        }
        all.push((id.to_owned(), seen));
    }
    Ok(all)
}
