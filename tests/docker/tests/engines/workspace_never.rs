//! What no workspace gets on any engine, whatever the front asks for and whatever its image says: refused by the hand's own list, or shown by
//! the container itself as absent.

use crate::workspace_world::{Host, OTHER_UUID, by_cdi, by_runtime, container, image, workspace};
use crate::world::World;
use docker_engines::stand_in::UUID;
use docker_engines::{Release, releases};
use model::workspace::{GpuInjection, PortProtocol, PublishedPort, WorkspaceContainer, WorkspaceMount, WorkspaceNode};
use model::workspace_life::WorkspaceDeed;
use serde_json::{Value, json};

type Change = Box<dyn Fn(&mut WorkspaceContainer)>;

fn variable(name: &'static str) -> Change {
    Box::new(move |one| drop(one.environment.insert(name.to_owned(), "all".to_owned())))
}

fn mount(is_volume: bool, source: &'static str, target: &'static str) -> Change {
    let mount = WorkspaceMount { is_volume, source: source.to_owned(), target: target.to_owned(), read_only: true };
    Box::new(move |one| one.mounts.push(mount.clone()))
}

fn node(on_host: &'static str) -> Change {
    let node = WorkspaceNode { on_host: on_host.to_owned(), inside: "/dev/x".to_owned() };
    Box::new(move |one| one.nodes.push(node.clone()))
}

fn network(name: &'static str) -> Change {
    Box::new(move |one| one.networks.push(name.to_owned()))
}

fn way(way: GpuInjection) -> Change {
    Box::new(move |one| {
        one.gpus = vec![UUID.to_owned()];
        one.way = way.clone();
    })
}

fn runtime(name: &str, visible: &str) -> Change {
    way(GpuInjection::Runtime { name: name.to_owned(), visible: vec![visible.to_owned()] })
}

fn cdi(device: &str) -> Change {
    way(GpuInjection::Cdi { devices: vec![device.to_owned()] })
}

fn port(host: u16, listen: &str) -> Change {
    let port =
        PublishedPort { container: 80, protocol: PortProtocol::Tcp, host: Some(host), listen: listen.parse().unwrap() };
    Box::new(move |one| one.ports.push(port.clone()))
}

/// Each with what it is refused by.
fn never() -> Vec<(&'static str, &'static str, Change)> {
    let environment = [
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_CUDA",
        "NVIDIA_DISABLE_REQUIRE",
        "NVIDIA_IMEX_CHANNELS",
        "NVIDIA_MIG_CONFIG_DEVICES",
        "NVIDIA_MIG_MONITOR_DEVICES",
        "nvidia_visible_devices",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "A\nNVIDIA_VISIBLE_DEVICES",
        "A=B",
        "",
    ];
    let sources = ["/", "/etc", "/root", "/run", "/proc", "/sys", "/dev", "/var/run/docker.sock", "/srv/../etc", "etc"];
    let targets =
        ["/", "/proc/x", "/sys", "/dev/nvidia0", "/run/x", "/var/run/nvidia-container-devices/all", "/data/../etc"];
    let nodes = [
        "/dev/sda",
        "/dev/nvidia0",
        "/dev/nvidia-caps/nvidia-cap1",
        "/dev/mem",
        "/dev/dri/card1",
        "/dev/vfio/vfio",
        "/dev/kvm/../mem",
    ];
    let networks = ["host", "none", "bridge", "container:x", "default"];
    let volumes = ["other", "gpuhost-", "gpuhost-../x", "/etc"];
    let mut rows: Vec<(&'static str, &'static str, Change)> = Vec::new();
    rows.extend(environment.into_iter().map(|name| (name, "environment", variable(name))));
    rows.extend(sources.into_iter().map(|path| (path, "mounts", mount(false, path, "/x"))));
    rows.extend(targets.into_iter().map(|path| (path, "mounts", mount(true, "gpuhost-x", path))));
    rows.extend(volumes.into_iter().map(|name| (name, "mounts", mount(true, name, "/x"))));
    rows.extend(nodes.into_iter().map(|path| (path, "devices", node(path))));
    rows.extend(networks.into_iter().map(|name| (name, "networks", network(name))));
    rows.push(("another runtime", "way", runtime("crun", UUID)));
    for name in ["all", "0", " 0 ,", "void", "nvidia.com/gpu=0", OTHER_UUID] {
        rows.push(("visible devices", "way", runtime("nvidia", name)));
    }
    for name in ["nvidia.com/gpu=all", "nvidia.com/gpu=0", "other.com/device=1", "nvidia.com/mofed=all"] {
        rows.push(("a CDI device", "way", cdi(name)));
    }
    rows.push(("another's GPU by CDI", "way", cdi(&format!("nvidia.com/gpu={OTHER_UUID}"))));
    rows.push(("a low port", "ports", port(80, "127.0.0.1")));
    rows.push(("every address", "ports", port(8080, "0.0.0.0")));
    rows.push(("a GPU of its own", "vfio", Box::new(|one| one.vfio.push("0000:41:00.0".to_owned()))));
    rows.push(("a tag alone", "image", Box::new(|one| one.image = one.image.tagged("1").unwrap())));
    rows.push((
        "another registry",
        "image",
        Box::new(|one| {
            one.image = format!("r.example/x@{}", one.image.digest().unwrap()).parse().unwrap();
        }),
    ));
    rows
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn what_the_front_may_not_ask_for_is_refused_by_its_name_and_nothing_is_created() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let mut host = Host::start(release, &world, "nvidia");
        host.policy.passthrough.allowed = false;
        host.pull(&image).await;
        for (what, field, change) in never() {
            let mut one = container("w-1", &image);
            change(&mut one);
            let refused = host.refused(WorkspaceDeed::Create(Box::new(one))).await;
            assert!(refused.contains(field), "{release}: {what:?}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        // Networks that are not of their own are refused also where the policy lists them, and so are those that are not there.
        host.policy.workspaces.networks = ["host", "none", "ours", "bridge"].map(str::to_owned).to_vec();
        for name in ["host", "none", "ours"] {
            let mut one = container("w-1", &image);
            one.networks.push(name.to_owned());
            let refused = host.refused(WorkspaceDeed::Create(Box::new(one))).await;
            assert!(refused.contains("network"), "{release}: {name}: {refused}");
        }
        host.policy.workspaces.allowed = false;
        let refused = host.refused(WorkspaceDeed::Create(Box::new(container("w-1", &image)))).await;
        assert!(refused.contains("host.workspaces.allowed"), "{refused}");
        assert_eq!(host.engine.docker(&["ps", "--all", "--quiet"]), "", "{release}");
        assert_eq!(host.engine.docker(&["volume", "ls", "--quiet"]), "", "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_container_that_was_created_shows_none_of_what_is_never_set() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "nvidia");
        host.put_cdi(&[(UUID, "/dev/nvidia0", "/dev/zero")]);
        host.pull(&image).await;
        let mut specs = vec![container("w-1", &image), by_runtime("w-2", &image, &[UUID])];
        if release != Release::V20_10 {
            specs.push(by_cdi("w-3", &image, &[UUID]));
        }
        for spec in specs {
            let id = host.run(spec).await;
            let shown = host.engine.inspect(id.as_str());
            assert_shows_nothing_of_it(&shown, release);
        }
        assert!(
            host.look().await.containers.iter().all(|one| one.foreign.is_none()),
            "{release}: what ours set is known"
        );
    }
}

/// The never-list as the container itself shows it.
fn assert_shows_nothing_of_it(shown: &Value, release: Release) {
    let config = &shown["HostConfig"];
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    for name in [
        "Privileged",
        "PidMode",
        "UTSMode",
        "UsernsMode",
        "CapAdd",
        "SecurityOpt",
        "CgroupParent",
        "DeviceCgroupRules",
        "Sysctls",
        "VolumesFrom",
        "Annotations",
        "Links",
        "Binds",
        "Tmpfs",
        "Devices",
        "PublishAllPorts",
        "OomKillDisable",
        "AutoRemove",
        "VolumeDriver",
        "StorageOpt",
        "ExtraHosts",
        "Cgroup",
        "OomScoreAdj",
    ] {
        assert!(is_empty(&config[name]), "{release}: {name}: {}", config[name]);
    }
    assert_eq!((&config["RestartPolicy"]["Name"], &config["IpcMode"]), (&json!("no"), &json!("private")), "{release}");
    assert!(
        ["default", "none", "bridge"].contains(&config["NetworkMode"].as_str().unwrap()),
        "{}",
        config["NetworkMode"]
    );
    assert!(!is_empty(&config["MaskedPaths"]) && !is_empty(&config["ReadonlyPaths"]), "{release}");
    assert_eq!(shown["Config"]["Healthcheck"], Value::Null, "{release}");
    let mounts = shown["Mounts"].as_array().unwrap();
    assert!(
        mounts.iter().all(|mount| mount["Type"] == "volume" && mount["Driver"] == "local"),
        "{release}: {mounts:?}"
    );
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn an_image_that_asks_for_every_gpu_gets_those_that_are_given_also_where_nvidia_is_the_default_runtime() {
    let world = World::new();
    let greedy = image(&world, "greedy", &["ENV NVIDIA_VISIBLE_DEVICES=all", "ENV NVIDIA_DRIVER_CAPABILITIES=all"]);
    for release in releases() {
        let host = Host::start(release, &world, "nvidia");
        host.pull(&greedy).await;
        // So does the image with this engine by itself.
        let name = format!("{}@{}", greedy.repository(), greedy.digest().unwrap());
        let by_itself = host.engine.docker(&["run", "--detach", "--volume=/data", "--network=none", &name]);
        let all = host.nodes(&by_itself.parse().unwrap()).await;
        assert_eq!(all, ["/dev/nvidia0 1:5", "/dev/nvidia1 1:7"], "{release}");

        let none = host.run(container("w-1", &greedy)).await;
        assert_eq!(host.nodes(&none).await, Vec::<String>::new(), "{release}: without a GPU");
        let one = host.run(by_runtime("w-2", &greedy, &[UUID])).await;
        assert_eq!(host.nodes(&one).await, ["/dev/nvidia0 1:5"], "{release}: its own alone");
        let environment = host.engine.inspect("gpuhost-w-2")["Config"]["Env"].clone();
        assert!(
            environment.as_array().unwrap().contains(&json!("NVIDIA_DRIVER_CAPABILITIES=compute,utility")),
            "{environment}"
        );
        let seen = host.seen(&workspace("w-2")).await;
        assert_eq!(seen.foreign, None, "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_directory_of_the_host_is_mounted_as_the_policy_lists_it_and_never_by_a_link() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let mut host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let top = host.folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("models/a")).unwrap();
        std::fs::write(top.join("models/a/file"), "of the host\n").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("models/link")).unwrap();
        host.policy.workspaces.host_paths = vec![top.join("models").display().to_string()];
        let with = |id: &str, path: &str, read_only: bool| {
            let mut one = container(id, &image);
            let source = top.join(path).display().to_string();
            one.mounts.push(WorkspaceMount { is_volume: false, source, target: "/models".to_owned(), read_only });
            one
        };
        let id = host.run(with("w-1", "models/a", true)).await;
        assert_eq!(host.engine.docker(&["exec", id.as_str(), "cat", "/models/file"]), "of the host", "{release}");
        assert!(!host.engine.try_docker(&["exec", id.as_str(), "touch", "/models/x"]).status.success(), "{release}");
        for (path, read_only, why) in [
            ("models/a", false, "mounts"),
            ("models/link", true, "symbolic link"),
            ("models/link/ssl", true, "symbolic link"),
        ] {
            let refused = host.refused(WorkspaceDeed::Create(Box::new(with("w-2", path, read_only)))).await;
            assert!(refused.contains(why), "{release}: {path}: {refused}");
        }

        // Of a directory that workspaces may write only itself is mounted: a workspace could put a link in the place of what is below it.
        std::fs::create_dir_all(top.join("scratch/a")).unwrap();
        host.policy.workspaces.host_paths_writable = vec![top.join("scratch").display().to_string()];
        let writer = host.run(with("w-3", "scratch", false)).await;
        host.engine.docker(&["exec", writer.as_str(), "ln", "-sfn", "/etc", "/models/b"]);
        for (path, read_only) in [("scratch/a", false), ("scratch/a", true), ("scratch/b", true)] {
            let refused = host.refused(WorkspaceDeed::Create(Box::new(with("w-2", path, read_only)))).await;
            assert!(refused.contains("can be mounted"), "{release}: {path}: {refused}");
        }

        // What became a link since, and a policy that changed since, count at the next start.
        let stop = WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 20 };
        let start = || WorkspaceDeed::Start { workspace_id: workspace("w-1"), id: id.clone() };
        host.apply(stop).await.unwrap();
        std::fs::rename(top.join("models/a"), top.join("models/b")).unwrap();
        std::os::unix::fs::symlink("/etc", top.join("models/a")).unwrap();
        assert!(host.refused(start()).await.contains("symbolic link"), "{release}");
        std::fs::remove_file(top.join("models/a")).unwrap();
        std::fs::rename(top.join("models/b"), top.join("models/a")).unwrap();
        host.policy.workspaces.host_paths.clear();
        assert!(host.refused(start()).await.contains("host.workspaces.host_paths"), "{release}");
    }
}
