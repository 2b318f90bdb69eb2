//! The life of a workspace on each engine: created, started, frozen, stopped, removed, with its GPUs seen from inside and its files kept.

use crate::workspace_world::{Host, OTHER_UUID, by_cdi, by_runtime, container, image, workspace};
use crate::world::World;
use docker_engines::stand_in::UUID;
use docker_engines::{Release, releases};
use model::nvidia_container::ContainerRun;
use model::policy::Requester;
use model::workspace_life::WorkspaceDeed;

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_workspace_lives_with_its_gpu_by_the_runtime_and_its_files_outlive_it() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let spec = by_runtime("w-1", &image, &[OTHER_UUID]);
        let id = host.create(spec.clone()).await;
        let seen = host.seen(&workspace("w-1")).await;
        assert_eq!((seen.run.clone(), seen.foreign), (ContainerRun::Created, None), "{release}");
        assert_eq!(
            (seen.gpus.as_slice(), seen.volumes.as_slice()),
            (&[OTHER_UUID.to_owned()][..], &["gpuhost-w-1".to_owned()][..])
        );
        assert_eq!((seen.requester, seen.generation), (Some(Requester::Manager), 1));
        assert_eq!((seen.nano_cpus, seen.memory_bytes), (500_000_000, 64 << 20));
        host.apply(WorkspaceDeed::Create(Box::new(spec)))
            .await
            .expect("an answer that was lost is no second container");

        let start = || WorkspaceDeed::Start { workspace_id: workspace("w-1"), id: id.clone() };
        host.apply(start()).await.unwrap();
        host.apply(start()).await.expect("it runs already");
        assert_eq!(host.nodes(&id).await, ["/dev/nvidia1 1:7"], "{release}: /dev/full, and no other");
        let seen = host.does("w-1", "it to run", |run| *run == ContainerRun::Running).await;
        assert!(seen.pid.is_some() && seen.started_at.is_some() && seen.ended_at.is_none(), "{release}: {seen:?}");

        let pause = || WorkspaceDeed::Pause { workspace_id: workspace("w-1"), id: id.clone() };
        let unpause = || WorkspaceDeed::Unpause { workspace_id: workspace("w-1"), id: id.clone() };
        host.apply(unpause()).await.expect("it is not frozen");
        host.apply(pause()).await.unwrap();
        host.apply(pause()).await.expect("it is frozen already");
        assert_eq!(host.seen(&workspace("w-1")).await.run, ContainerRun::Paused, "{release}");
        host.apply(unpause()).await.unwrap();

        let remove = || WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id: id.clone() };
        let refused = host.refused(remove()).await;
        assert!(refused.contains("running"), "{release}: {refused}");
        assert_eq!(host.seen(&workspace("w-1")).await.run, ContainerRun::Running, "{release}: nothing was forced");

        let stop = || WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 60 };
        host.apply(stop()).await.unwrap();
        let seen = host.seen(&workspace("w-1")).await;
        assert_eq!(
            seen.run,
            ContainerRun::Ended { exit: 0, oom: false },
            "{release}: it had the time to end by itself"
        );
        assert!(seen.ended_at.is_some() && seen.pid.is_none());
        host.apply(stop()).await.expect("it has ended already");
        let refused = host.refused(pause()).await;
        assert!(refused.contains("not running"), "{release}: {refused}");
        host.apply(remove()).await.unwrap();
        host.apply(remove()).await.expect("it is gone already");
        host.apply(stop()).await.expect("what is gone is stopped");
        assert!(host.look().await.containers.is_empty(), "{release}");
        assert!(host.refused(start()).await.contains("gone"));

        // What it wrote into its volume is there for the next one.
        host.run(container("w-1", &image)).await;
        assert_eq!(host.engine.docker(&["exec", "gpuhost-w-1", "cat", "/data/ended"]), "ended", "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_workspace_gets_its_gpu_by_cdi_and_a_broken_link_is_reported_at_its_start() {
    let world = World::new();
    let image = image(&world, "1", &["ENV NVIDIA_VISIBLE_DEVICES=all"]);
    for release in releases().into_iter().filter(|release| *release != Release::V20_10) {
        let host = Host::start(release, &world, "runc");
        host.put_cdi(&[(UUID, "/dev/nvidia0", "/dev/zero"), (OTHER_UUID, "/dev/nvidia1", "/dev/full")]);
        host.pull(&image).await;
        let id = host.run(by_cdi("w-1", &image, &[UUID])).await;
        assert_eq!(host.nodes(&id).await, ["/dev/nvidia0 1:5"], "{release}: /dev/zero, and no other");
        let seen = host.seen(&workspace("w-1")).await;
        assert_eq!((seen.foreign, seen.gpus.as_slice()), (None, &[UUID.to_owned()][..]), "{release}");
        let both = host.run(by_cdi("w-2", &image, &[UUID, OTHER_UUID])).await;
        assert_eq!(host.nodes(&both).await, ["/dev/nvidia0 1:5", "/dev/nvidia1 1:7"], "{release}");

        host.put_cdi(&[(UUID, "/dev/nvidia0", "/dev/none-such")]);
        let id = host.create(by_cdi("w-3", &image, &[UUID])).await;
        let refused = crate::world::until("the engine to read the new file", || async {
            let start = WorkspaceDeed::Start { workspace_id: workspace("w-3"), id: id.clone() };
            let refused = host.apply(start).await.err().map(|refused| refused.to_string());
            if refused.is_none() {
                let stop = WorkspaceDeed::Stop { workspace_id: workspace("w-3"), id: id.clone(), grace_s: 0 };
                host.apply(stop).await.unwrap();
            }
            refused
        })
        .await;
        assert!(refused.contains("/dev/none-such"), "{release}: {refused}");
        assert!(!host.seen(&workspace("w-3")).await.is_live(), "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn what_does_not_end_in_its_grace_is_ended_by_docker_also_while_it_is_frozen() {
    let world = World::new();
    let deaf = image(&world, "deaf", &[r#"ENV KIND=deaf"#]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&deaf).await;
        // Its own handler takes a second.
        let id = host.run(container("w-1", &deaf)).await;
        host.apply(WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id, grace_s: 0 }).await.unwrap();
        let seen = host.seen(&workspace("w-1")).await;
        assert_eq!(seen.run, ContainerRun::Ended { exit: 137, oom: false }, "{release}");

        let id = host.run(container("w-2", &deaf)).await;
        host.apply(WorkspaceDeed::Pause { workspace_id: workspace("w-2"), id: id.clone() }).await.unwrap();
        host.apply(WorkspaceDeed::Stop { workspace_id: workspace("w-2"), id, grace_s: 1 }).await.unwrap();
        let seen = host.seen(&workspace("w-2")).await;
        assert!(matches!(seen.run, ContainerRun::Ended { .. }), "{release}: {:?}", seen.run);
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn the_images_own_volume_goes_with_its_container_and_a_named_one_only_when_it_is_asked_for() {
    let world = World::new();
    let image = image(&world, "volume", &["VOLUME /scratch"]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let id = host.create(container("w-1", &image)).await;
        assert_eq!(host.engine.docker(&["volume", "ls", "--quiet"]).lines().count(), 2, "{release}");
        let volume = WorkspaceDeed::RemoveVolume { name: "gpuhost-w-1".to_owned() };
        let refused = host.refused(volume.clone()).await;
        assert!(refused.contains("in use"), "{release}: {refused}");
        host.apply(WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id }).await.unwrap();
        assert_eq!(host.engine.docker(&["volume", "ls", "--quiet"]), "gpuhost-w-1", "{release}");
        host.apply(volume.clone()).await.unwrap();
        host.apply(volume).await.expect("it is gone already");
        assert_eq!(host.engine.docker(&["volume", "ls", "--quiet"]), "", "{release}");
    }
}
