//! The images that Docker has, and the removal of one by its id: never by force, which takes it from under a stopped container, and never
//! by Docker's prune, for which every image that was pulled by its digest is dangling.

use crate::client::{CONFLICT, NOT_FOUND, client, status};
use crate::http::{DockerError, get_list};
use crate::not_done::NotDone;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::policy::HostPolicy;
use model::time::UnixMillis;
use model::workspace_life::StoredImage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most that is read of either list, in bytes: ten thousand containers have 15 MB.
const LIST_MAX_BYTES: usize = 32 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedImage {
    id: ImageDigest,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    created: i64,
}

impl ListedImage {
    /// Docker writes `<none>` for what is missing.
    fn tags(&self) -> Vec<String> {
        let tags = self.repo_tags.iter().flatten();
        tags.filter(|tag| !tag.starts_with("<none>") && !tag.ends_with(":<none>")).cloned().collect()
    }

    fn names(&self) -> Vec<&str> {
        let names = self.repo_digests.iter().flatten().map(String::as_str);
        names.filter(|name| !name.starts_with("<none>")).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedContainer {
    id: ContainerId,
    #[serde(rename = "ImageID", default)]
    image_id: String,
}

/// All of them, each with the containers that are created from it.
pub(crate) async fn stored_images(socket: &str) -> Result<Vec<StoredImage>, DockerError> {
    let images = listed_images(socket).await?;
    // After the images: a container that is created meanwhile is one of an image that is listed.
    let mut users = users(socket).await?;
    let stored = |image: ListedImage| {
        let digests = image.names().into_iter().filter_map(|name| name.split_once('@')?.1.parse().ok()).collect();
        StoredImage {
            digests,
            tags: image.tags(),
            size_bytes: u64::try_from(image.size).unwrap_or_default(),
            created_at: (image.created > 0).then(|| UnixMillis(image.created.saturating_mul(1000))),
            used_by: users.remove(image.id.as_str()).unwrap_or_default(),
            id: image.id,
        }
    };
    Ok(images.into_iter().map(stored).collect())
}

async fn listed_images(socket: &str) -> Result<Vec<ListedImage>, DockerError> {
    get_list(socket, "/images/json", LIST_MAX_BYTES).await
}

/// Containers by the id of their image, running or not.
async fn users(socket: &str) -> Result<BTreeMap<String, Vec<ContainerId>>, DockerError> {
    let mut users: BTreeMap<String, Vec<ContainerId>> = BTreeMap::new();
    let listed = get_list::<ListedContainer>(socket, "/containers/json?all=true", LIST_MAX_BYTES).await?;
    for ListedContainer { id, image_id } in listed {
        users.entry(image_id).or_default().push(id);
    }
    Ok(users)
}

/// Removes one. On a full disk Docker fails to write down that its name is gone and has forgotten it all the same: then it is removed by its id.
pub(crate) async fn remove(
    socket: &str,
    id: &ImageDigest,
    policy: &HostPolicy,
    within: Duration,
) -> Result<(), NotDone> {
    let images = listed_images(socket).await?;
    let Some(image) = images.iter().find(|image| image.id == *id) else { return Ok(()) };
    let denied = |why: String| Err(NotDone::Denied(why));
    if let Some(tag) = image.tags().first() {
        return denied(format!("it has the name {tag}: another user of Docker may need it"));
    }
    let names = image.names();
    let foreign = names.iter().find(|name| !name.parse().is_ok_and(|image| may_remove(&image, policy)));
    if let Some(name) = foreign {
        return denied(format!("the policy lists neither its registry nor its repository: {name}"));
    }
    if names.is_empty() {
        return denied("it was never pulled from a registry".to_owned());
    }
    if let Some(user) = users(socket).await?.get(id.as_str()).and_then(|users| users.first()) {
        return denied(format!("container {} is created from it", user.short()));
    }
    let docker = client(socket, within).await?;
    // Each name goes by itself first: an image with several is only removed by force otherwise.
    let several = if names.len() > 1 { names } else { Vec::new() };
    let mut last = None;
    for target in several.into_iter().chain([id.as_str(), id.as_str()]) {
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        match docker.remove_image(target, Some(options), None).await {
            Err(error) if status(&error) == Some(NOT_FOUND) => {}
            Err(error) if status(&error) == Some(CONFLICT) => return Err(error.into()),
            Err(error) => last = Some(error),
            Ok(_) => {}
        }
    }
    match last {
        Some(error) if listed_images(socket).await?.iter().any(|one| one.id == *id) => Err(error.into()),
        Some(_) | None => Ok(()),
    }
}

/// From a registry of workspaces, or NVIDIA's own.
fn may_remove(image: &ImageRef, policy: &HostPolicy) -> bool {
    policy.workspaces.registries.iter().any(|known| known == image.registry())
        || policy.nvidia.images.iter().any(|known| known == image.repository())
}
