//! What other users of Docker do on each engine: forged labels, our name taken or changed, a name like an id, volumes with options.

use crate::workspace_world::{Host, by_runtime, container, image, workspace};
use crate::world::World;
use docker_engines::releases;
use docker_engines::stand_in::UUID;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::workspace_life::{WhyNotOurs, WorkspaceDeed};

const LABELS: [&str; 4] = [
    "--label=org.gpuhost.Agent1.workspace=w-1",
    "--label=org.gpuhost.Agent1.generation=1",
    "--label=org.gpuhost.Agent1.spec=0123456789abcdef",
    "--label=org.gpuhost.Agent1.source=manager",
];

/// A container of a stranger, with all of our labels and these arguments.
fn forged(host: &Host, image: &ImageRef, arguments: &[&str]) -> ContainerId {
    let name = format!("{}@{}", image.repository(), image.digest().unwrap());
    let mut all = vec!["create", "--env=NVIDIA_VISIBLE_DEVICES=void"];
    all.extend(LABELS);
    all.extend(arguments);
    all.push(&name);
    host.engine.docker(&all).parse().unwrap()
}

fn deeds(id: &ContainerId) -> [WorkspaceDeed; 5] {
    let (workspace_id, id) = (workspace("w-1"), id.clone());
    [
        WorkspaceDeed::Start { workspace_id: workspace_id.clone(), id: id.clone() },
        WorkspaceDeed::Stop { workspace_id: workspace_id.clone(), id: id.clone(), grace_s: 1 },
        WorkspaceDeed::Pause { workspace_id: workspace_id.clone(), id: id.clone() },
        WorkspaceDeed::Unpause { workspace_id: workspace_id.clone(), id: id.clone() },
        WorkspaceDeed::Remove { workspace_id, id },
    ]
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn forged_labels_make_no_workspace_and_nothing_is_done_to_it() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let name = "--name=gpuhost-w-1";
        let gpus = "--label=org.gpuhost.Agent1.gpus=GPU-5ca1ab1e-0000-4000-8000-000000000001";
        let rows: [(&[&str], WhyNotOurs); 14] = [
            (&["--name=other"], WhyNotOurs::Name),
            (&[name, "--label=org.gpuhost.Agent1.workspace=/etc"], WhyNotOurs::Id),
            (&[name, "--label=org.gpuhost.Agent1.source=root"], WhyNotOurs::Labels),
            (&[name, "--privileged"], WhyNotOurs::Privileged),
            (&[name, "--pid=host"], WhyNotOurs::Privileged),
            (&[name, "--network=host"], WhyNotOurs::Privileged),
            (&[name, "--cap-add=SYS_ADMIN"], WhyNotOurs::Privileged),
            (&[name, "--security-opt=seccomp=unconfined"], WhyNotOurs::Privileged),
            (&[name, "--security-opt=systempaths=unconfined"], WhyNotOurs::Privileged),
            (&[name, "--volume=/:/host"], WhyNotOurs::Privileged),
            (&[name, "--device=/dev/mem"], WhyNotOurs::Privileged),
            (&[name, "--restart=always"], WhyNotOurs::RestartPolicy),
            (&[name, "--env=NVIDIA_VISIBLE_DEVICES=all"], WhyNotOurs::Devices),
            (&[name, gpus], WhyNotOurs::Devices),
        ];
        for (arguments, why) in rows {
            let id = forged(&host, &image, arguments);
            let look = host.look().await;
            let [seen] = look.containers.as_slice() else { panic!("{release}: {look:?}") };
            assert_eq!((&seen.id, seen.foreign), (&id, Some(why)), "{release}: {arguments:?}");
            for deed in deeds(&id) {
                let refused = host.refused(deed.clone()).await;
                assert!(refused.contains(why.why()), "{release}: {arguments:?}: {deed}: {refused}");
            }
            assert_eq!(host.engine.inspect(id.as_str())["State"]["Status"], "created", "{release}: {arguments:?}");
            host.engine.docker(&["rm", id.as_str()]);
        }
        // Without labels, under our name: the creation names it.
        let name = format!("{}@{}", image.repository(), image.digest().unwrap());
        let id = host.engine.docker(&["create", "--name=gpuhost-w-1", "--network=none", &name]);
        assert!(host.look().await.containers.is_empty(), "{release}");
        let refused = host.refused(WorkspaceDeed::Create(Box::new(container("w-1", &image)))).await;
        assert!(refused.contains("gpuhost-w-1") && refused.contains(&id[..12]), "{release}: {refused}");
        assert!(refused.contains("not created by gpuhostd"), "{release}: {refused}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_workspace_that_was_renamed_or_removed_is_left_alone_and_another_of_its_ids_name_does_not_take_its_place() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        // One that runs cannot be renamed on an engine without a bridge.
        let id = host.create(by_runtime("w-1", &image, &[UUID])).await;
        host.engine.docker(&["rename", "gpuhost-w-1", "mine"]);
        let look = host.look().await;
        assert_eq!(look.containers[0].foreign, Some(WhyNotOurs::Name), "{release}");
        assert_eq!(look.containers[0].gpus, [UUID], "{release}: it has its GPU all the same");
        for deed in deeds(&id) {
            assert!(host.refused(deed).await.contains("renamed"), "{release}");
        }
        host.engine.docker(&["rename", "mine", "gpuhost-w-1"]);
        assert_eq!(host.look().await.containers[0].foreign, None, "{release}: and is ours again");

        // A container of another name that is our full id: Docker finds it by that when ours is gone.
        let other = host.create(container("w-2", &image)).await;
        host.engine.docker(&["rm", "--force", id.as_str()]);
        host.engine.docker(&["rename", other.as_str(), id.as_str()]);
        let stop = WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 1 };
        host.apply(stop).await.expect("ours is gone");
        let remove = WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id: id.clone() };
        host.apply(remove).await.expect("ours is gone");
        assert_eq!(host.engine.inspect(other.as_str())["State"]["Status"], "created", "{release}: the other is there");
        // And one that is named like the short id of ours.
        host.engine.docker(&["rename", other.as_str(), "gpuhost-w-2"]);
        let short = host.engine.docker(&["create", "--network=none", "--name", other.short(), &image_name(&image)]);
        let remove = WorkspaceDeed::Remove { workspace_id: workspace("w-2"), id: other.clone() };
        host.apply(remove).await.unwrap();
        assert_eq!(host.engine.inspect(&short)["State"]["Status"], "created", "{release}: the other is there");
        assert!(host.look().await.containers.is_empty(), "{release}");
    }
}

fn image_name(image: &ImageRef) -> String {
    format!("{}@{}", image.repository(), image.digest().unwrap())
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_volume_with_options_or_without_our_label_is_never_mounted_or_removed() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let label = "--label=org.gpuhost.Agent1.volume=gpuhost-w-1";
        let shows_etc = ["--opt=type=none", "--opt=o=bind", "--opt=device=/etc"];
        let with_label: Vec<&str> = shows_etc.iter().copied().chain([label]).collect();
        let rows: [(&[&str], &str); 4] = [
            (&shows_etc, "driver options"),
            (&with_label, "driver options"),
            (&[], "not created by gpuhostd"),
            (&["--label=org.gpuhost.Agent1.volume=gpuhost-w-2"], "not created by gpuhostd"),
        ];
        for (arguments, why) in rows {
            let all: Vec<&str> = ["volume", "create"].iter().chain(arguments).copied().chain(["gpuhost-w-1"]).collect();
            host.engine.docker(&all);
            let refused = host.refused(WorkspaceDeed::Create(Box::new(container("w-1", &image)))).await;
            assert!(refused.contains(why) && refused.contains("gpuhost-w-1"), "{release}: {arguments:?}: {refused}");
            let refused = host.refused(WorkspaceDeed::RemoveVolume { name: "gpuhost-w-1".to_owned() }).await;
            assert!(refused.contains(why), "{release}: {arguments:?}: {refused}");
            assert_eq!(host.engine.docker(&["ps", "--all", "--quiet"]), "", "{release}");
            host.engine.docker(&["volume", "rm", "gpuhost-w-1"]);
        }
        for name in ["other", "gpuhost-", "../gpuhost-x", "gpuhost-x?force=1"] {
            let refused = host.refused(WorkspaceDeed::RemoveVolume { name: name.to_owned() }).await;
            assert!(refused.contains("not a name"), "{release}: {name}: {refused}");
        }
        let id = host.create(container("w-1", &image)).await;
        assert_eq!(host.seen(&workspace("w-1")).await.id, id);
        let volume =
            host.engine.docker(&["volume", "inspect", "--format", "{{json .Labels}} {{.Driver}}", "gpuhost-w-1"]);
        assert_eq!(volume, r#"{"org.gpuhost.Agent1.volume":"gpuhost-w-1"} local"#, "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn an_earlier_specification_keeps_its_name_and_no_secret_is_repeated() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        host.create(container("w-1", &image)).await;
        let mut other = container("w-1", &image);
        other.spec_digest = "fedcba9876543210".to_owned();
        let refused = host.refused(WorkspaceDeed::Create(Box::new(other.clone()))).await;
        assert!(refused.contains("earlier specification"), "{release}: {refused}");
        // Docker itself refuses these, each in its own words.
        other.workspace_id = workspace("w-9");
        other.memory_bytes = 1;
        let refused = host.refused(WorkspaceDeed::Create(Box::new(other.clone()))).await;
        assert!(refused.contains("emory") && !refused.contains("hunter2"), "{release}: {refused}");
        other.memory_bytes = 64 << 20;
        other.nano_cpus = 100_000_000_000_000;
        let refused = host.refused(WorkspaceDeed::Create(Box::new(other.clone()))).await;
        assert!(refused.contains("CPU") && !refused.contains("hunter2"), "{release}: {refused}");
        other.nano_cpus = 500_000_000;
        other.image = image.at(format!("sha256:{}", "a".repeat(64)).parse().unwrap());
        let refused = host.refused(WorkspaceDeed::Create(Box::new(other.clone()))).await;
        assert!(refused.contains("No such image") && !refused.contains("hunter2"), "{release}: {refused}");
        let look = host.look().await;
        let shown = format!("{other:?} {look:?} {}", serde_json::to_string(&look).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
