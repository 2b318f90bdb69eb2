//! Docker itself gone, killed, restarted and silent on each engine, and containers that another hand removed.

use crate::world::{Hand, World, driver_spec};
use docker_engines::stand_in::Driver;
use docker_engines::{Engine, releases, until};
use model::driver::ProbeError;
use model::nvidia_container::{ContainerRun, NvidiaDeed, NvidiaRole};
use model::ports::ActError;
use nix::sys::signal::Signal;
use std::time::Duration;

const ROLE: NvidiaRole = NvidiaRole::Driver;

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_docker_that_is_gone_or_silent_is_a_fault_and_no_empty_look() {
    let world = World::new();
    let image = world.driver("580", Driver::Sound);
    for release in releases() {
        let mut engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        let id = hand.start(driver_spec(&image, "1")).await;
        let stop = NvidiaDeed::Stop { role: ROLE, id: id.clone() };

        engine.signal(Signal::SIGSTOP);
        let soon = Duration::from_secs(1);
        let silent = hand.nvidia.look(ROLE, Some(&image), soon).await;
        assert!(matches!(silent, Err(ProbeError::Timeout { .. })), "{release}: {silent:?}");
        let silent = hand.nvidia.apply(&stop, &hand.policy, soon).await;
        assert!(matches!(silent, Err(ActError::Unreachable { .. })), "{release}: {silent:?}");
        engine.signal(Signal::SIGCONT);
        until("it to answer again", || engine.ping().then_some(()));

        engine.kill();
        let gone = hand.nvidia.look(ROLE, Some(&image), Duration::from_secs(60)).await;
        assert!(matches!(gone, Err(ProbeError::Absent { .. })), "{release}: {gone:?}");
        let gone = hand.apply(stop).await;
        assert!(matches!(gone, Err(ActError::Unreachable { .. })), "{release}: {gone:?}");

        // Without live-restore the next Docker ends what the one before left.
        engine.start_again();
        let seen = hand.look(ROLE, Some(&image)).await.containers.pop().unwrap();
        assert_eq!((&seen.id, seen.foreign), (&id, None), "{release}: it is found again");
        assert!(matches!(seen.run, ContainerRun::Ended { .. }), "{release}: {:?}", seen.run);
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn one_that_another_hand_removed_is_gone_and_cannot_be_started() {
    let world = World::new();
    let image = world.driver("580", Driver::Sound);
    for release in releases() {
        let engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        let id = hand.start(driver_spec(&image, "1")).await;
        engine.docker(&["rm", "--force", id.as_str()]);
        assert!(hand.look(ROLE, None).await.containers.is_empty(), "{release}");
        hand.apply(NvidiaDeed::Stop { role: ROLE, id: id.clone() }).await.unwrap();
        hand.apply(NvidiaDeed::Remove { role: ROLE, id: id.clone() }).await.unwrap();
        let refused = hand.apply(NvidiaDeed::Start { role: ROLE, id }).await.unwrap_err().to_string();
        assert!(refused.contains("gone"), "{release}: {refused}");

        // An image that was removed by force from under a container leaves the container, without digests.
        hand.apply(NvidiaDeed::Create(driver_spec(&image, "2"))).await.unwrap();
        let name = format!("{}@{}", image.repository(), image.digest().unwrap());
        engine.docker(&["rmi", "--force", &name]);
        let look = hand.look(ROLE, Some(&image)).await;
        assert_eq!(look.image, model::nvidia_container::ImageSeen::Absent, "{release}");
        assert!(
            look.containers[0].foreign.is_none() && look.containers[0].image_digests.is_empty(),
            "{release}: {look:?}"
        );
    }
}
