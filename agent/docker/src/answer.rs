//! What `GET /version` and `GET /info` say, field by field: a value of another type than expected costs that field.

use crate::json::Json;
use model::docker::{ContainerEngine, DockerFacts};

/// The facts in both answers.
pub(crate) fn facts(version: &Json, info: &Json) -> DockerFacts {
    let text = |json: &Json| json.text().map(str::to_owned);
    let texts = |json: &Json| json.items().iter().filter_map(text).collect();
    // Only Podman says which Buildah it is built on.
    let is_podman = is_made_of_podman(version) || info.get("BuildahVersion").text().is_some();
    DockerFacts {
        version: text(version.get("Version")).or_else(|| text(info.get("ServerVersion"))),
        api: text(version.get("ApiVersion")),
        root_dir: text(info.get("DockerRootDir")),
        runtimes: info.get("Runtimes").keys(),
        default_runtime: text(info.get("DefaultRuntime")),
        cdi_spec_dirs: texts(info.get("CDISpecDirs")),
        cdi_devices: cdi_devices(info.get("DiscoveredDevices")),
        cdi_all: None,
        cdi_files: Vec::new(),
        cdi_problems: Vec::new(),
        has_containerd_store: has_containerd_store(info),
        engine: if is_podman { ContainerEngine::Podman } else { ContainerEngine::Docker },
        rootless: is_rootless(info),
        cgroup_version: text(info.get("CgroupVersion")),
        cgroup_driver: text(info.get("CgroupDriver")),
        live_restore: info.get("LiveRestoreEnabled").flag(),
        containers_running: info.get("ContainersRunning").number(),
    }
}

/// The classic store has no type among the pairs of its status.
fn has_containerd_store(info: &Json) -> bool {
    let is_snapshotter = |pair: &Json| match pair.items() {
        [name, value] => name.text() == Some("driver-type") && value.text() == Some("io.containerd.snapshotter.v1"),
        _ => false,
    };
    info.get("DriverStatus").items().iter().any(is_snapshotter)
}

fn is_made_of_podman(version: &Json) -> bool {
    let names = version.get("Components").items().iter().filter_map(|component| component.get("Name").text());
    names.into_iter().any(|name| name.starts_with("Podman"))
}

/// Docker reports it among its security options, Podman with a word of its own.
fn is_rootless(info: &Json) -> bool {
    let mut options = info.get("SecurityOptions").items().iter().filter_map(Json::text);
    info.get("Rootless").flag() == Some(true)
        || options.any(|option| option.split(',').any(|part| part == "name=rootless"))
}

fn cdi_devices(discovered: &Json) -> Vec<String> {
    let devices = discovered.items().iter().filter(|device| device.get("Source").text() == Some("cdi"));
    let mut devices: Vec<String> = devices.filter_map(|device| device.get("ID").text()).map(str::to_owned).collect();
    devices.sort_unstable();
    devices
}
