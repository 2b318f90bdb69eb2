//! Containers that have our label, our name or our id's beginning, and are not ours: seen, reported, and left alone on each engine.

use crate::world::{Hand, World, driver_spec};
use docker_engines::stand_in::{self, Driver};
use docker_engines::{Engine, releases};
use model::ids::ContainerId;
use model::nvidia_container::{NvidiaDeed, NvidiaRole, WhyForeign};

const ROLE: NvidiaRole = NvidiaRole::Driver;
const LABEL: &str = "--label=org.gpuhost.Agent1.role=driver";

fn create(engine: &Engine, arguments: &[&str]) -> ContainerId {
    let all: Vec<&str> = ["create", "--network=none"].into_iter().chain(arguments.iter().copied()).collect();
    engine.docker(&all).parse().unwrap()
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_label_alone_makes_none_of_ours() {
    let world = World::new();
    for release in releases() {
        let engine = Engine::start(release);
        stand_in::driver("580", Driver::Sound).import(&engine, "driver:1");
        let hand = Hand::new(&engine, world.policy(&[]));
        let other_command = create(&engine, &[LABEL, "driver:1", "sleep"]);
        let no_mounts = create(&engine, &[LABEL, "driver:1", "init"]);
        let mounts = ["--volume=/run/nvidia:/run/nvidia", "--volume=/run/nvidia:/lib/firmware"];
        let no_spec = create(&engine, &[LABEL, mounts[0], mounts[1], "driver:1", "init"]);
        let unlabelled = create(&engine, &["driver:1", "init"]);
        let look = hand.look(ROLE, None).await;
        let mut why: Vec<_> = look.containers.iter().map(|seen| (seen.id.clone(), seen.foreign)).collect();
        let mut expected = vec![
            (other_command.clone(), Some(WhyForeign::Command)),
            (no_mounts, Some(WhyForeign::Mounts)),
            (no_spec, Some(WhyForeign::NoSpec)),
        ];
        why.sort_by(|one, two| one.0.cmp(&two.0));
        expected.sort_by(|one, two| one.0.cmp(&two.0));
        assert_eq!(why, expected, "{release}");
        assert!(hand.look(NvidiaRole::Toolkit, None).await.containers.is_empty());
        for id in look.containers.into_iter().map(|seen| seen.id).chain([unlabelled]) {
            for deed in [
                NvidiaDeed::Start { role: ROLE, id: id.clone() },
                NvidiaDeed::Stop { role: ROLE, id: id.clone() },
                NvidiaDeed::Remove { role: ROLE, id: id.clone() },
            ] {
                let refused = hand.apply(deed.clone()).await.unwrap_err().to_string();
                assert!(refused.contains("label"), "{release}: {deed}: {refused}");
            }
            assert_eq!(engine.inspect(id.as_str())["State"]["Status"], "created", "{release}");
        }
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn one_that_is_named_like_the_id_of_ours_does_not_take_its_place() {
    let world = World::new();
    let image = world.driver("580", Driver::Sound);
    for release in releases() {
        let engine = Engine::start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        let id = hand.start(driver_spec(&image, "1")).await;
        stand_in::driver("580", Driver::Sound).import(&engine, "driver:1");
        let other = create(&engine, &["--name", id.short(), "driver:1"]);
        assert_eq!(hand.look(ROLE, None).await.containers.pop().unwrap().id, id, "{release}");
        engine.docker(&["rm", "--force", id.as_str()]);
        engine.docker(&["rename", other.as_str(), id.as_str()]);
        // Docker finds the other one by this name now.
        hand.apply(NvidiaDeed::Remove { role: ROLE, id: id.clone() }).await.unwrap();
        assert_eq!(engine.inspect(other.as_str())["State"]["Status"], "created", "{release}: it is still there");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_name_that_another_has_taken_and_a_policy_that_changed_are_refusals() {
    let world = World::new();
    let image = world.driver("580", Driver::Sound);
    for release in releases() {
        let engine = Engine::start(release);
        let mut hand = Hand::new(&engine, world.policy(&[]));
        hand.pull(ROLE, &image).await;
        stand_in::driver("580", Driver::Sound).import(&engine, "driver:1");
        let spec = driver_spec(&image, "1");
        create(&engine, &["--name", &spec.container_name(), "driver:1"]);
        let refused = hand.apply(NvidiaDeed::Create(spec)).await.unwrap_err().to_string();
        assert!(refused.contains("already in use"), "{release}: {refused}");

        let unpinned = driver_spec(&image.tagged("580").unwrap(), "1");
        let refused = hand.apply(NvidiaDeed::Create(unpinned)).await.unwrap_err().to_string();
        assert!(refused.contains("no digest"), "{refused}");

        hand.apply(NvidiaDeed::Create(driver_spec(&image, "2"))).await.unwrap();
        let id = hand.look(ROLE, None).await.containers.pop().unwrap().id;
        hand.policy.driver = false;
        for deed in [NvidiaDeed::Create(driver_spec(&image, "3")), NvidiaDeed::Start { role: ROLE, id: id.clone() }] {
            let refused = hand.apply(deed).await.unwrap_err().to_string();
            assert!(refused.contains("host.nvidia.driver"), "{release}: {refused}");
        }
        hand.apply(NvidiaDeed::Remove { role: ROLE, id }).await.expect("what is ours may always be removed");
    }
}
