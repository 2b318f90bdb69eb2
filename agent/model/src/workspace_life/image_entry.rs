//! What a document has of an image besides its name: the login for its registry, and its size.

use super::workspace_world::WorkspacesWorld;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::nvidia_container::ImageSeen;
use crate::registry_login::{RegistryLogin, registry_of};
use crate::workspace::{Document, Image};

/// The entry of an image, by its digest and its repository.
fn entry<'a>(document: &'a Document, image: &ImageRef) -> Option<&'a Image> {
    let is_it = |entry: &&Image| {
        let Ok(named) = entry.name.parse::<ImageRef>() else { return false };
        let digest = named.digest().map_or(entry.hash.as_deref(), |digest| Some(digest.as_str()));
        named.repository() == image.repository() && digest == image.digest().map(ImageDigest::as_str)
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
fn size_of(document: &Document, image: &ImageRef) -> u64 {
    entry(document, image).map_or(0, |entry| entry.uncompressed_size_mb.saturating_mul(1_000_000))
}

/// What the pull of an image lacks on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiskLack {
    /// So much has to be free before it is begun, in bytes.
    pub(super) wanted_bytes: u64,
    /// With all numbers.
    pub(super) message: String,
}

/// Why an image may not be pulled now: with it so many times the reserve of the disk would not be free. What is being pulled has its
/// room already.
pub(super) fn disk_lack(
    world: &WorkspacesWorld,
    begun: impl Iterator<Item = ImageRef>,
    (image, reserves): (&ImageRef, u64),
) -> Option<DiskLack> {
    let room = world.room.as_ref()?;
    let factor = if world.is_store_doubled { 2 } else { 1 };
    let size = |image: &ImageRef| size_of(&world.document, image).saturating_mul(factor);
    let left = |image: ImageRef| match world.look.image(&image) {
        ImageSeen::Pulling { done_bytes, .. } => size(&image).saturating_sub(done_bytes),
        ImageSeen::Absent => size(&image),
        ImageSeen::Present { .. } | ImageSeen::PullFailed { .. } => 0,
    };
    let others = begun.filter(|other| other != image).map(left).fold(0, u64::saturating_add);
    let needed = size(image);
    let reserve_bytes = room.reserve_bytes.saturating_mul(reserves);
    let wanted_bytes = reserve_bytes.saturating_add(others).saturating_add(needed);
    if room.available_bytes >= wanted_bytes && room.lacking_bytes() == 0 {
        return None;
    }
    let mib = |bytes: u64| bytes >> 20;
    let twice = if world.is_store_doubled { ", packed and unpacked" } else { "" };
    let kept = if reserves > 1 { "stay free where no workspace waits" } else { "are its reserve" };
    let message = format!(
        "{image} needs {} MiB{twice}, and {} has {} MiB free, of which {} MiB {kept} and {} MiB are for pulls that go on; \
         `gpuhostctl prune` removes what nothing needs",
        mib(needed),
        room.path,
        mib(room.available_bytes),
        mib(reserve_bytes),
        mib(others)
    );
    Some(DiskLack { wanted_bytes, message })
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
        let shown = format!(
            "{:?}",
            serde_json::from_value::<Image>(json!({"image_id": "i", "name": "x", "enabled": true,
            "docker_token": "canary"}))
            .unwrap()
        );
        assert!(!shown.contains("canary"), "{shown}");
    }
}
