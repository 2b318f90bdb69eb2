//! Which digests an image has in registries. They identify it, its id does not: that is another digest in each of Docker's stores.

use crate::http::{DockerError, get};
use crate::json::Json;
use hyper::StatusCode;
use model::image_ref::{ImageDigest, ImageRef};

/// What Docker has under a name; none where it has nothing.
pub(crate) fn found(answer: Result<Json, DockerError>) -> Result<Option<Json>, DockerError> {
    match answer {
        Err(DockerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The digests of an image in its repository; none where Docker has it not. With a digest only that one counts, whatever the tag is.
pub(crate) async fn present(socket: &str, image: &ImageRef) -> Result<Option<Vec<ImageDigest>>, DockerError> {
    let name = match image.digest() {
        Some(digest) => format!("{}@{digest}", image.repository()),
        None => image.name().to_owned(),
    };
    image_digests(socket, &name, Some(image.repository())).await
}

/// The digests of an image, of one repository or of all; none where Docker has it not.
pub(crate) async fn image_digests(
    socket: &str,
    name: &str,
    repository: Option<&str>,
) -> Result<Option<Vec<ImageDigest>>, DockerError> {
    let Some(found) = found(get(socket, &format!("/images/{name}/json")).await)? else { return Ok(None) };
    let digests = found.get("RepoDigests").items().iter().filter_map(|item| item.text()?.split_once('@'));
    let repository = repository.map(as_docker_names);
    let digests = digests.filter(|(of, _)| repository.is_none_or(|repository| repository == *of));
    let mut digests: Vec<ImageDigest> = digests.filter_map(|(_, digest)| digest.parse().ok()).collect();
    digests.sort_unstable();
    digests.dedup();
    Ok(Some(digests))
}

/// Docker leaves out its own registry, and there the folder of its own images.
fn as_docker_names(repository: &str) -> &str {
    let Some(path) = repository.strip_prefix("docker.io/") else { return repository };
    path.strip_prefix("library/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_own_registry_is_left_out_as_docker_does() {
        for (named, docker) in [
            ("docker.io/nvidia/driver", "nvidia/driver"),
            ("docker.io/library/busybox", "busybox"),
            ("nvcr.io/nvidia/driver", "nvcr.io/nvidia/driver"),
        ] {
            assert_eq!(as_docker_names(named), docker);
        }
    }
}
