//! What a document has of an image besides its name: the login for its registry, and its size.

use crate::image_ref::ImageRef;
use crate::registry_login::{RegistryLogin, registry_of};
use crate::workspace::{Document, Image};

/// The entry of an image, by its digest and its repository.
fn entry<'a>(document: &'a Document, image: &ImageRef) -> Option<&'a Image> {
    let is_it = |entry: &&Image| {
        let Ok(named) = entry.name.parse::<ImageRef>() else { return false };
        let digest = named.digest().map_or(entry.hash.as_deref(), |digest| Some(digest.as_str()));
        named.repository() == image.repository() && digest == image.digest().map(crate::image_ref::ImageDigest::as_str)
    };
    document.images.iter().find(is_it)
}

/// The login of an entry, where it is for the registry of the image and for no other one.
pub(super) fn login_of(document: &Document, image: &ImageRef) -> Option<RegistryLogin> {
    let entry = entry(document, image)?;
    let given = entry.docker_registry.as_deref().filter(|name| !name.trim().is_empty());
    let registry = given.map_or_else(|| image.registry().to_owned(), |name| registry_of(name).0);
    let username = entry.docker_user.clone().filter(|user| !user.is_empty())?;
    let password = entry.docker_token.as_ref()?.reveal().to_owned();
    (registry == image.registry()).then_some(RegistryLogin { registry, username, password })
}

/// Its size once it is unpacked, in bytes; 0 = the document does not have it.
pub(super) fn size_of(document: &Document, image: &ImageRef) -> u64 {
    entry(document, image).map_or(0, |entry| entry.uncompressed_size_mb.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(name: &str) -> ImageRef {
        format!("{name}@sha256:{}", "a".repeat(64)).parse().unwrap()
    }

    fn login(entry: serde_json::Value, of: &str) -> Option<String> {
        let document = Document { images: vec![serde_json::from_value(entry).unwrap()], ..Document::default() };
        login_of(&document, &image(of)).map(|login| format!("{}/{}:{}", login.registry, login.username, login.password))
    }

    #[test]
    fn a_login_is_taken_for_the_registry_of_its_image_alone() {
        let hash = format!("sha256:{}", "a".repeat(64));
        let entry = |registry: Option<&str>, user: Option<&str>| {
            json!({"image_id": "i", "name": "r.example/x", "hash": hash, "enabled": true, "docker_registry": registry,
                   "docker_user": user, "docker_token": "t", "uncompressed_size_mb": 3})
        };
        let found = Some("r.example/u:t".to_owned());
        assert_eq!(login(entry(None, Some("u")), "r.example/x"), found);
        assert_eq!(login(entry(Some("https://R.example/v2/"), Some("u")), "r.example/x"), found);
        assert_eq!(login(entry(Some("other.example"), Some("u")), "r.example/x"), None);
        assert_eq!(login(entry(None, Some("")), "r.example/x"), None);
        assert_eq!(login(entry(None, None), "r.example/x"), None);
        assert_eq!(login(entry(None, Some("u")), "r.example/y"), None, "it is another image");
        let hub = json!({"image_id": "i", "name": image("kasm/x").to_string(), "enabled": true,
                         "docker_registry": "https://index.docker.io/v1/", "docker_user": "u", "docker_token": "t"});
        assert_eq!(login(hub, "kasm/x"), Some("docker.io/u:t".to_owned()));
        let document =
            Document { images: vec![serde_json::from_value(entry(None, None)).unwrap()], ..Document::default() };
        assert_eq!(size_of(&document, &image("r.example/x")), 3_000_000);
        assert_eq!(size_of(&document, &image("r.example/y")), 0);
        let shown = format!("{:?}", serde_json::from_value::<Image>(json!({"image_id": "i", "name": "x", "enabled": true,
            "docker_token": "canary"})).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
