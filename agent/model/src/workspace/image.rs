//! References of images: a registry, a path and a digest, nothing else.

use super::refused::WorkspaceRefused;
use crate::image_ref::{BadImageRef, ImageDigest, ImageRef};

/// Reads a reference; `digest` is used where it has none. `field` names it in refusals.
pub(super) fn read_image(
    text: &str,
    digest: Option<&str>,
    registries: Option<&[String]>,
    field: &str,
) -> Result<ImageRef, WorkspaceRefused> {
    let wrong = |why: BadImageRef| WorkspaceRefused::invalid(field, why.to_string());
    if !text.contains('@') && digest.is_none() {
        return Err(WorkspaceRefused::denied(
            field,
            "an image is named with its digest, NAME@sha256:…: a tag can be moved to another image",
        ));
    }
    let image: ImageRef = text.parse().map_err(wrong)?;
    let given = digest.map(str::parse::<ImageDigest>).transpose();
    let image = match (image.digest(), given) {
        (Some(_), _) => image,
        (None, Ok(Some(digest))) => image.at(digest),
        (None, Ok(None) | Err(_)) => return Err(wrong(BadImageRef::Digest)),
    };
    let registry = image.registry();
    if registries.is_some_and(|known| !known.iter().any(|one| one == registry)) {
        return Err(WorkspaceRefused::denied(
            field,
            format!("the registry {registry} is not among those that this host allows"),
        ));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "a".repeat(64))
    }

    #[test]
    fn a_reference_has_a_digest_of_its_own_or_is_given_one() {
        let own = format!("registry.example:5000/ws/desktop@{}", digest());
        assert_eq!(read_image(&own, None, None, "image").unwrap().to_string(), own);
        let given = read_image("ws/desktop:1.9", Some(&digest()), None, "image").unwrap();
        assert_eq!(given.to_string(), format!("ws/desktop:1.9@{}", digest()));
        assert_eq!(read_image("ws/desktop:1.9", None, None, "i").unwrap_err().code(), "denied_by_local_policy");
    }

    #[test]
    fn what_is_no_reference_and_what_is_of_another_registry_is_refused() {
        let known = ["registry.example".to_owned()];
        let read = |name: &str| read_image(name, Some(&digest()), Some(&known), "image");
        assert!(read("registry.example/a/b").is_ok());
        for (name, code) in [
            ("", "invalid_argument"),
            ("-v", "invalid_argument"),
            ("../x", "invalid_argument"),
            ("UPPER/x", "invalid_argument"),
            ("registry.example/../evil/x", "invalid_argument"),
            ("registry.example//x", "invalid_argument"),
            ("https://registry.example/x", "invalid_argument"),
            ("registry.example/x:a b", "invalid_argument"),
            ("registry.example/x\n", "invalid_argument"),
            ("docker.io/library/x", "denied_by_local_policy"),
            ("library/x", "denied_by_local_policy"),
            ("localhost:5000/x", "denied_by_local_policy"),
            ("registry.example.evil/x", "denied_by_local_policy"),
        ] {
            assert_eq!(read(name).unwrap_err().code(), code, "{name:?}");
        }
        for digest in ["", "sha256:short", "md5:abc", "sha256:AAAA", &format!("{}a", digest())] {
            let refused = read_image("registry.example/x", Some(digest), None, "image").unwrap_err();
            assert_eq!(refused.code(), "invalid_argument", "{digest:?}");
        }
    }
}
