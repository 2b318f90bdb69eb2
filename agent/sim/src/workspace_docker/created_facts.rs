//! What Docker shows of a container that was created by the very request that the product composes.

use model::workspace::WorkspaceContainer;
use model::workspace_life::WorkspaceFacts;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `NVIDIA_VISIBLE_DEVICES=` of a container's environment.
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES=";

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Created {
    image: String,
    env: Vec<String>,
    labels: BTreeMap<String, String>,
    host_config: CreatedHostConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreatedHostConfig {
    privileged: bool,
    restart_policy: CreatedPolicy,
    network_mode: String,
    pid_mode: String,
    ipc_mode: String,
    cap_add: Vec<String>,
    security_opt: Vec<String>,
    devices: Vec<CreatedDevice>,
    device_requests: Vec<CreatedRequest>,
    mounts: Vec<CreatedMount>,
    nano_cpus: u64,
    memory: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreatedPolicy {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreatedDevice {
    path_on_host: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreatedRequest {
    #[serde(rename = "DeviceIDs")]
    device_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreatedMount {
    r#type: String,
    source: String,
}

/// As `GET /containers/ID/json` shows it.
pub(super) fn facts_of(container: &WorkspaceContainer) -> WorkspaceFacts {
    let Created { image, env, labels, host_config: host } =
        serde_json::from_value(container.body()).unwrap_or_default();
    let is_shared = |mode: &String| mode == "host" || mode.starts_with("container:");
    let volumes = host.mounts.into_iter().filter(|mount| mount.r#type == "volume");
    WorkspaceFacts {
        name: container.name(),
        image,
        labels,
        is_privileged: host.privileged
            || [host.network_mode, host.pid_mode, host.ipc_mode].iter().any(is_shared)
            || !host.cap_add.is_empty()
            || !host.security_opt.is_empty(),
        restart_policy: host.restart_policy.name,
        visible_devices: env.iter().find_map(|one| one.strip_prefix(VISIBLE).map(str::to_owned)),
        device_requests: host.device_requests.into_iter().flat_map(|one| one.device_ids).collect(),
        device_nodes: host.devices.into_iter().map(|one| one.path_on_host).collect(),
        volumes: volumes.map(|mount| mount.source).collect(),
        nano_cpus: host.nano_cpus,
        memory_bytes: host.memory,
    }
}
