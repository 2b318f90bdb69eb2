//! The removal of images on each engine: listed with who uses them, removed by their id and never from under a container, also on a full disk.

use crate::workspace_world::{Host, container, image};
use crate::world::World;
use docker_engines::PATIENCE;
use docker_engines::{Image, releases};
use model::image_ref::ImageRef;
use model::ports::ActError;
use model::workspace_life::StoredImage;

async fn stored(host: &Host, image: &ImageRef) -> Option<StoredImage> {
    let digest = image.digest().unwrap();
    host.hand.stored_images(PATIENCE).await.unwrap().into_iter().find(|one| one.digests.contains(digest))
}

async fn remove(host: &Host, image: &StoredImage) -> Result<(), String> {
    match host.hand.remove_stored_image(&image.id, &host.policy, 2 * PATIENCE).await {
        Ok(()) => Ok(()),
        Err(refused @ ActError::Refused { .. }) => Err(refused.to_string()),
        Err(other) => panic!("{}: {other}", host.engine.release()),
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn an_image_goes_by_its_id_and_never_from_under_a_container_or_from_another_user() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let mut host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        Image::new().import(&host.engine, "strangers:1");
        let pulled = stored(&host, &image).await.expect("it is listed");
        assert!(pulled.tags.is_empty() && pulled.used_by.is_empty() && pulled.size_bytes > 0, "{release}: {pulled:?}");
        let all = host.hand.stored_images(PATIENCE).await.unwrap();
        let strangers = all.iter().find(|one| one.tags == ["strangers:1"]).expect("it is listed too");
        assert!(remove(&host, strangers).await.unwrap_err().contains("strangers:1"), "{release}");

        let id = host.create(container("w-1", &image)).await;
        let used = stored(&host, &image).await.unwrap();
        assert_eq!(used.used_by.as_slice(), std::slice::from_ref(&id), "{release}");
        assert!(remove(&host, &used).await.unwrap_err().contains(id.short()), "{release}");
        assert!(stored(&host, &image).await.is_some(), "{release}: it is there");
        host.engine.docker(&["rm", id.as_str()]);

        let registries = std::mem::take(&mut host.policy.workspaces.registries);
        assert!(remove(&host, &used).await.unwrap_err().contains("policy"), "{release}");
        host.policy.workspaces.registries = registries;
        host.engine.docker(&["tag", used.id.as_str(), "named:1"]);
        assert!(remove(&host, &used).await.unwrap_err().contains("named:1"), "{release}");
        host.engine.docker(&["rmi", "named:1"]);
        remove(&host, &used).await.unwrap();
        assert!(stored(&host, &image).await.is_none(), "{release}");
        remove(&host, &used).await.expect("it is gone already");
        assert_eq!(host.hand.stored_images(PATIENCE).await.unwrap().len(), 1, "{release}: the stranger's is there");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn an_image_of_two_repositories_goes_without_force() {
    let world = World::new();
    let one = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&one).await;
        let name = format!("{}@{}", one.repository(), one.digest().unwrap());
        world.registry.push(&host.engine, &name, "kasm/other:1");
        // What was pulled has the same manifest in each repository.
        let other = name.replace("/kasm/desktop@", "/kasm/other@").parse().unwrap();
        host.pull(&other).await;
        let names = host.engine.inspect(&name)["RepoDigests"].clone();
        assert_eq!(names.as_array().unwrap().len(), 2, "{release}: {names}");
        let both = stored(&host, &one).await.unwrap();
        remove(&host, &both).await.unwrap();
        assert!(host.hand.stored_images(PATIENCE).await.unwrap().is_empty(), "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn on_a_full_disk_an_image_goes_all_the_same() {
    let world = World::new();
    let large = world.push(&Image::new().ballast(20_000_000, 3), "kasm/large:1");
    for release in releases() {
        let host = Host::start_with(release, &world, "runc", Some(150));
        host.pull(&large).await;
        let pulled = stored(&host, &large).await.unwrap();
        let data = host.engine.path(&host.engine.folder().join("data").display().to_string());
        fill(&data.join("ballast"));
        remove(&host, &pulled).await.unwrap_or_else(|why| panic!("{release}: {why}"));
        assert!(host.hand.stored_images(PATIENCE).await.unwrap().is_empty(), "{release}");
        let free = std::fs::write(data.join("more"), vec![1; 1_000_000]);
        assert!(free.is_ok(), "{release}: its room is free again: {free:?}");
    }
}

/// Writes until there is not one byte of room.
fn fill(file: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [1_000_000, 4096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}
