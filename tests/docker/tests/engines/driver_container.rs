//! The driver container on each engine, from an image that is absent to a container that is gone.

use crate::world::{Hand, World, driver_spec, until};
use docker::smi_in_driver_container;
use docker_engines::stand_in::Driver;
use docker_engines::{Engine, PATIENCE, releases};
use model::nvidia_container::{ContainerRun, ImageSeen, NvidiaDeed, NvidiaRole};
use std::fs;

const ROLE: NvidiaRole = NvidiaRole::Driver;

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_driver_container_lives_from_pull_to_removal() {
    let world = World::new();
    let image = world.driver("580.126.16", Driver::Sound);
    for release in releases() {
        let engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        assert_eq!(hand.look(ROLE, Some(&image)).await.image, ImageSeen::Absent, "{release}");
        let digests = vec![image.digest().unwrap().clone()];
        assert_eq!(hand.pull(ROLE, &image).await, ImageSeen::Present { digests: digests.clone() }, "{release}");

        let spec = driver_spec(&image, "1");
        hand.apply(NvidiaDeed::Create(spec.clone())).await.unwrap();
        hand.apply(NvidiaDeed::Create(spec.clone())).await.expect("an answer that was lost is asked for again");
        let look = hand.look(ROLE, None).await;
        let [created] = look.containers.as_slice() else { panic!("{release}: {look:?}") };
        assert_eq!(
            (&created.run, created.foreign, created.started_at),
            (&ContainerRun::Created, None, None),
            "{release}"
        );
        assert_eq!((&created.name, created.spec_digest.as_ref()), (&spec.container_name(), Some(&spec.digest())));
        assert_eq!(created.image_digests, digests, "{release}");
        let id = created.id.clone();

        hand.apply(NvidiaDeed::Start { role: ROLE, id: id.clone() }).await.unwrap();
        hand.apply(NvidiaDeed::Start { role: ROLE, id: id.clone() }).await.expect("it runs already");
        let running = hand.container(ROLE, "it runs", |run| *run == ContainerRun::Running).await;
        assert!(running.started_at.is_some(), "{release}");
        let status = engine.path("/run/nvidia/validations/.driver-daemons-status");
        until("the driver", || async { (fs::read_to_string(&status).ok()? == "Ready\n").then_some(()) }).await;
        let report = smi_in_driver_container(&engine.socket(), PATIENCE).await.unwrap();
        assert_eq!(report.driver_version.known().map(String::as_str), Some("580.126.16"), "{release}");
        let log = hand.nvidia.log(ROLE, &id, PATIENCE).await.unwrap();
        assert!(log.iter().any(|line| line == "Done, now waiting for signal"), "{release}: {log:?}");

        let refused = hand.apply(NvidiaDeed::Remove { role: ROLE, id: id.clone() }).await.unwrap_err().to_string();
        assert!(refused.contains("running"), "{release}: {refused}");
        hand.apply(NvidiaDeed::Stop { role: ROLE, id: id.clone() }).await.unwrap();
        let ended = hand.container(ROLE, "it has ended", |run| matches!(run, ContainerRun::Ended { .. })).await;
        assert_eq!(ended.run, ContainerRun::Ended { exit: 0, oom: false }, "{release}");
        assert!(!engine.path("/run/nvidia/.module").exists(), "{release}: it had time to unload the driver");
        hand.apply(NvidiaDeed::Remove { role: ROLE, id: id.clone() }).await.unwrap();
        hand.apply(NvidiaDeed::Remove { role: ROLE, id: id.clone() }).await.expect("it is gone already");
        assert!(hand.look(ROLE, None).await.containers.is_empty(), "{release}");
        assert!(hand.nvidia.log(ROLE, &id, PATIENCE).await.is_err());
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn one_that_exits_at_once_shows_why_without_its_password() {
    let world = World::new();
    let image = world.driver("580.1", Driver::Exits);
    for release in releases() {
        let engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        let id = hand.start(driver_spec(&image, "1")).await;
        let ended = hand.container(ROLE, "it has ended", |run| matches!(run, ContainerRun::Ended { .. })).await;
        assert_eq!(ended.run, ContainerRun::Ended { exit: 1, oom: false }, "{release}");
        let log = hand.nvidia.log(ROLE, &id, PATIENCE).await.unwrap().join("\n");
        assert!(log.contains("Failed to fetch linux-headers") && log.contains("driver 580.1"), "{release}: {log}");
        assert!(!log.contains("hunter2"), "{release}: {log}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_new_one_is_created_beside_the_old_one() {
    let world = World::new();
    let (old, new) = (world.driver("580.1", Driver::Sound), world.driver("580.2", Driver::Sound));
    for release in releases() {
        let engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        let first = hand.start(driver_spec(&old, "1")).await;
        hand.pull(ROLE, &new).await;
        hand.apply(NvidiaDeed::Create(driver_spec(&new, "2"))).await.unwrap();
        let look = hand.look(ROLE, Some(&new)).await;
        let [one, two] = look.containers.as_slice() else { panic!("{release}: {look:?}") };
        assert_eq!(
            (&one.id, &one.run, &two.run),
            (&first, &ContainerRun::Running, &ContainerRun::Created),
            "{release}"
        );
        assert_eq!(one.image_digests, [old.digest().unwrap().clone()], "{release}");
        assert_eq!(two.image_digests, [new.digest().unwrap().clone()], "{release}");
    }
}
