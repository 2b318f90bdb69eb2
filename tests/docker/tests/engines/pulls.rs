//! Pulls that fail on each engine, and what is reported of them.

use crate::world::{Hand, World, until};
use docker::NvidiaContainers;
use docker_engines::stand_in::Driver;
use docker_engines::{Behaviour, Engine, Image, Options, Relay, Release, releases};
use model::image_ref::ImageRef;
use model::nvidia_container::{ImageSeen, NvidiaDeed, NvidiaRole};
use std::time::Duration;

const ROLE: NvidiaRole = NvidiaRole::Driver;

/// By itself Docker tries a download again five times, for a minute.
fn start(release: Release, data_mib: Option<u32>) -> Engine {
    let arguments = vec!["--max-download-attempts=1".to_owned()];
    Engine::start_with(release, Options { arguments, data_mib, ..Options::default() })
}

fn why(seen: ImageSeen) -> String {
    let ImageSeen::PullFailed { why } = seen else { panic!("{seen:?}") };
    why
}

fn through(relay: &Relay, image: &ImageRef, world: &World) -> ImageRef {
    image.to_string().replace(world.registry.address(), relay.address()).parse().unwrap()
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_tag_becomes_its_digest_and_what_does_not_exist_says_so() {
    let world = World::new();
    let image = world.driver("580.126.16", Driver::Sound);
    for release in releases() {
        let engine = start(release, None);
        let hand = Hand::new(&engine, world.policy(&[]));
        let tag = image.tagged("580.126.16").unwrap();
        assert_eq!(hand.pull(ROLE, &tag).await, ImageSeen::Present { digests: vec![image.digest().unwrap().clone()] });

        let other_tag = image.tagged("570").unwrap();
        let said = why(hand.pull(ROLE, &other_tag).await);
        assert!(said.contains("not found") || said.contains("manifest unknown"), "{release}: {said}");
        let other_digest = image.at(format!("sha256:{}", "a".repeat(64)).parse().unwrap());
        let said = why(hand.pull(ROLE, &other_digest).await);
        assert!(said.contains("not found") || said.contains("manifest unknown"), "{release}: {said}");
        let nowhere: ImageRef = "127.0.0.1:1/nvidia/driver:580".parse().unwrap();
        let mut anywhere = Hand::new(&engine, world.policy(&["127.0.0.1:1"]));
        let said = why(anywhere.pull(ROLE, &nowhere).await);
        assert!(said.contains("refused"), "{release}: {said}");

        anywhere.policy.images.clear();
        let denied =
            anywhere.apply(NvidiaDeed::Pull { role: ROLE, image: image.clone() }).await.unwrap_err().to_string();
        assert!(denied.contains("host.nvidia.images"), "{denied}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_pull_that_is_cut_fails_and_succeeds_when_it_is_asked_for_again() {
    let world = World::new();
    let image = world.push(&Image::new().ballast(3_000_000, 5), "nvidia/large:1");
    for release in releases() {
        let engine = start(release, None);
        let relay = Relay::start(world.registry.address(), Behaviour::Cut(200_000));
        let hand = Hand::new(&engine, world.policy(&[relay.address()]));
        let image = through(&relay, &image, &world);
        let said = why(hand.pull(ROLE, &image).await);
        assert!(!said.is_empty(), "{release}");
        relay.behave(Behaviour::Through);
        assert!(matches!(hand.pull(ROLE, &image).await, ImageSeen::Present { .. }), "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_pull_that_stalls_is_aborted_and_shows_how_far_it_is_until_then() {
    let world = World::new();
    let image = world.push(&Image::new().ballast(3_000_000, 5), "nvidia/large:1");
    for release in releases() {
        let engine = start(release, None);
        let relay = Relay::start(world.registry.address(), Behaviour::Stall(1_000_000));
        let image = through(&relay, &image, &world);
        let mut hand = Hand::new(&engine, world.policy(&[relay.address()]));
        hand.apply(NvidiaDeed::Pull { role: ROLE, image: image.clone() }).await.unwrap();
        hand.apply(NvidiaDeed::Pull { role: ROLE, image: image.clone() }).await.expect("it runs already");
        let (done, total) = until("bytes to be there", || async {
            match hand.look(ROLE, Some(&image)).await.image {
                ImageSeen::Pulling { done_bytes, total_bytes } if done_bytes > 0 => Some((done_bytes, total_bytes)),
                ImageSeen::Pulling { .. } => None,
                other => panic!("{release}: {other:?}"),
            }
        })
        .await;
        assert!(done < total && total > 3_000_000, "{release}: {done} of {total} bytes");

        // Another process, which gives up sooner: the first one goes, and with it its pull.
        hand.nvidia = NvidiaContainers::new(&engine.socket(), Duration::from_secs(3));
        let said = why(hand.pull(ROLE, &image).await);
        assert!(said.contains("3000 ms") || said.contains("imeout"), "{release}: {said}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_full_disk_fails_the_pull_in_dockers_words() {
    let world = World::new();
    let image = world.push(&Image::new().ballast(40_000_000, 3), "nvidia/large:1");
    for release in releases() {
        let engine = start(release, Some(30));
        let hand = Hand::new(&engine, world.policy(&[]));
        let said = why(hand.pull(ROLE, &image).await);
        assert!(said.contains("no space left on device"), "{release}: {said}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_docker_that_is_killed_in_mid_pull_fails_it() {
    let world = World::new();
    let image = world.push(&Image::new().ballast(3_000_000, 5), "nvidia/large:1");
    for release in releases() {
        let mut engine = start(release, None);
        let relay = Relay::start(world.registry.address(), Behaviour::Stall(1_000_000));
        let image = through(&relay, &image, &world);
        let hand = Hand::new(&engine, world.policy(&[relay.address()]));
        hand.apply(NvidiaDeed::Pull { role: ROLE, image: image.clone() }).await.unwrap();
        until("the pull to begin", || async {
            let seen = hand.look(ROLE, Some(&image)).await.image;
            matches!(seen, ImageSeen::Pulling { done_bytes: 1.., .. }).then_some(())
        })
        .await;
        engine.kill();
        engine.start_again();
        relay.behave(Behaviour::Through);
        let said = until("the pull to fail", || async {
            match hand.look(ROLE, Some(&image)).await.image {
                ImageSeen::PullFailed { why } => Some(why),
                _ => None,
            }
        })
        .await;
        assert!(!said.is_empty(), "{release}");
        assert!(matches!(hand.pull(ROLE, &image).await, ImageSeen::Present { .. }), "{release}");
    }
}
