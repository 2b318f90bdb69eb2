//! The toolkit container on each engine, and the probe container that finds out whether its way gives a device.

use crate::world::{Hand, World, toolkit_spec, until};
use docker_engines::stand_in::Toolkit;
use docker_engines::{Engine, Options, PATIENCE, Release, releases};
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, NvidiaDeed, NvidiaRole, ToolkitProbe, ToolkitWay};
use std::fs;

const ROLE: NvidiaRole = NvidiaRole::Toolkit;
const WITH_RUNTIME: &str = r#"{"runtimes": {"nvidia": {"path": "/usr/local/nvidia/toolkit/nvidia-container-runtime"}}, "features": {"cdi": true}}"#;
/// 20.10 refuses to start with a feature that it does not know the type of; it has none of CDI.
const WITHOUT_CDI: &str = r#"{"runtimes": {"nvidia": {"path": "/usr/local/nvidia/toolkit/nvidia-container-runtime"}}}"#;

fn start(release: Release) -> Engine {
    let config = if release == Release::V20_10 { WITHOUT_CDI } else { WITH_RUNTIME };
    Engine::start_with(release, Options { config: config.into(), ..Options::default() })
}

async fn install(hand: &Hand, engine: &Engine, image: &ImageRef) {
    let id = hand.start(toolkit_spec(image)).await;
    until("the toolkit", || async {
        let log = hand.nvidia.log(ROLE, &id, PATIENCE).await.unwrap();
        log.iter().any(|line| line.contains("Waiting for signal")).then_some(())
    })
    .await;
    assert!(engine.path("/usr/local/nvidia/toolkit/nvidia-container-runtime").exists());
}

async fn probe(hand: &Hand, image: &ImageRef, way: ToolkitWay) -> ToolkitProbe {
    hand.nvidia.probe_toolkit(image, way, &hand.policy, PATIENCE).await.unwrap()
}

fn probes(engine: &Engine) -> String {
    engine.docker(&["ps", "--all", "--quiet", "--filter", "label=org.gpuhost.Agent1.role=probe"])
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn the_probe_sees_a_device_by_the_runtime_and_what_it_installed_outlives_it() {
    let world = World::new();
    let (sound, blind) = (world.toolkit("1.17.8", Toolkit::Sound), world.toolkit("1.17.9", Toolkit::NoDevice));
    for release in releases() {
        let engine = start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        hand.pull(ROLE, &sound).await;
        let ToolkitProbe::Refused { why } = probe(&hand, &sound, ToolkitWay::Runtime).await else {
            panic!("{release}: nothing is installed yet")
        };
        assert!(why.contains("nvidia-container-runtime"), "{release}: {why}");
        assert_eq!(probes(&engine), "", "{release}");

        install(&hand, &engine, &sound).await;
        assert_eq!(probe(&hand, &sound, ToolkitWay::Runtime).await, ToolkitProbe::Device, "{release}");
        let before = fs::read(engine.config()).unwrap();
        let id = hand.look(ROLE, None).await.containers.pop().unwrap().id;
        hand.apply(NvidiaDeed::Stop { role: ROLE, id: id.clone() }).await.unwrap();
        hand.container(ROLE, "it has ended", |run| matches!(run, ContainerRun::Ended { exit: 0, .. })).await;
        hand.apply(NvidiaDeed::Remove { role: ROLE, id }).await.unwrap();
        assert_eq!(fs::read(engine.config()).unwrap(), before, "it edited nothing");
        assert!(!engine.path("/run/nvidia/.docker-was-reloaded").exists());
        assert_eq!(
            probe(&hand, &sound, ToolkitWay::Runtime).await,
            ToolkitProbe::Device,
            "{release}: without the container"
        );

        install(&hand, &engine, &blind).await;
        assert_eq!(probe(&hand, &blind, ToolkitWay::Runtime).await, ToolkitProbe::NoDevice, "{release}");
        assert_eq!(probes(&engine), "", "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn the_probe_sees_a_device_by_cdi_where_docker_knows_it() {
    let world = World::new();
    let image = world.toolkit("1.17.8", Toolkit::Sound);
    for release in releases() {
        let engine = start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        hand.pull(ROLE, &image).await;
        let refused = probe(&hand, &image, ToolkitWay::Cdi).await;
        assert!(matches!(refused, ToolkitProbe::Refused { .. }), "{release}: {refused:?}");
        if release == Release::V20_10 {
            continue;
        }
        let device = r#"{"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}]}}"#;
        let spec = format!(r#"{{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{device}]}}"#);
        fs::create_dir_all(engine.path("/run/cdi")).unwrap();
        fs::write(engine.path("/run/cdi/nvidia.json"), &spec).unwrap();
        assert_eq!(probe(&hand, &image, ToolkitWay::Cdi).await, ToolkitProbe::Device, "{release}");
        fs::write(engine.path("/run/cdi/nvidia.json"), spec.replace("/dev/nvidia0", "/dev/other0")).unwrap();
        let blind = until("the new specification", || async {
            let seen = probe(&hand, &image, ToolkitWay::Cdi).await;
            (seen != ToolkitProbe::Device).then_some(seen)
        })
        .await;
        assert_eq!(blind, ToolkitProbe::NoDevice, "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn what_a_hand_that_was_killed_left_of_a_probe_is_removed_by_the_next() {
    let world = World::new();
    let image = world.toolkit("1.17.8", Toolkit::Sound);
    for release in releases() {
        let engine = start(release);
        let hand = Hand::new(&engine, world.policy(&[]));
        install(&hand, &engine, &image).await;
        let name = format!("{}@{}", image.repository(), image.digest().unwrap());
        let label = "--label=org.gpuhost.Agent1.role=probe";
        engine.docker(&[
            "run",
            "--detach",
            "--name=gpuhostd-toolkit-probe",
            "--network=none",
            "--entrypoint=/bin/sh",
            label,
            &name,
            "-c",
            "sleep 1000",
        ]);
        assert_eq!(probe(&hand, &image, ToolkitWay::Runtime).await, ToolkitProbe::Device, "{release}");
        assert_eq!(probes(&engine), "", "{release}");
        assert_eq!(
            hand.look(ROLE, None).await.containers.len(),
            1,
            "{release}: the toolkit's container is none of them"
        );
    }
}
