//! The request by which Docker creates the container of a workspace: all of it is set here, and nothing of a document is passed on.

use super::environment::VISIBLE_DEVICES;
use super::workspace_container::{GpuInjection, PublishedPort, WorkspaceContainer, WorkspaceMount, WorkspaceNode};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which parts of its driver NVIDIA's runtime gives.
const DRIVER_CAPABILITIES: &str = "NVIDIA_DRIVER_CAPABILITIES";
/// Most processes and threads of one workspace.
const PIDS_MOST: u32 = 16_384;
/// What an image could ask NVIDIA's runtime for beside GPUs, with the values by which it gives none of it: nodes of RDMA, NVSwitch and
/// storage of the host, and the right to repartition GPUs.
const NOT_GIVEN: [(&str, &str); 7] = [
    ("NVIDIA_GDRCOPY", "disabled"),
    ("NVIDIA_GDS", "disabled"),
    ("NVIDIA_IMEX_CHANNELS", ""),
    ("NVIDIA_MIG_CONFIG_DEVICES", ""),
    ("NVIDIA_MIG_MONITOR_DEVICES", ""),
    ("NVIDIA_MOFED", "disabled"),
    ("NVIDIA_NVSWITCH", "disabled"),
];

impl WorkspaceContainer {
    /// The body of `POST /containers/create`.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("Image".to_owned(), self.image.to_string().into());
        body.insert("Env".to_owned(), self.variables().into());
        let labels = self.labels().into_iter().map(|(name, value)| (name, value.into()));
        body.insert("Labels".to_owned(), Value::Object(labels.collect()));
        if let Some(name) = &self.hostname {
            body.insert("Hostname".to_owned(), name.as_str().into());
        }
        if !self.ports.is_empty() {
            let exposed = self.ports.iter().map(|port| (port_name(port), json!({})));
            body.insert("ExposedPorts".to_owned(), Value::Object(exposed.collect()));
        }
        body.insert("HostConfig".to_owned(), self.host_config());
        if !self.networks.is_empty() {
            let ends: Map<String, Value> = self.networks.iter().map(|name| (name.clone(), json!({}))).collect();
            body.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": ends }));
        }
        Value::Object(body)
    }

    /// `NVIDIA_VISIBLE_DEVICES` is always there: the image's own would count otherwise, and an image that reports `all` gets every GPU
    /// where Docker's default runtime is NVIDIA's.
    fn variables(&self) -> Vec<String> {
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut variables: BTreeMap<&str, String> = own.collect();
        let visible = match &self.way {
            GpuInjection::Runtime { visible, .. } => visible.join(","),
            GpuInjection::Cdi { .. } | GpuInjection::None => "void".to_owned(),
        };
        variables.insert(VISIBLE_DEVICES, visible);
        if matches!(self.way, GpuInjection::Runtime { .. }) {
            variables.extend(NOT_GIVEN.map(|(name, value)| (name, value.to_owned())));
        }
        if self.way != GpuInjection::None {
            let all: Vec<&str> = self.capabilities.iter().map(String::as_str).collect();
            variables.insert(DRIVER_CAPABILITIES, all.join(","));
        }
        variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn host_config(&self) -> Value {
        let mut config = json!({
            "Runtime": if let GpuInjection::Runtime { name, .. } = &self.way { name.as_str() } else { "runc" },
            "RestartPolicy": { "Name": "no" },
            "Privileged": false,
            "AutoRemove": false,
            "NanoCpus": self.nano_cpus,
            "Memory": self.memory_bytes,
            // No swap beyond it, no more processes than a machine can bear, no log that fills the disk.
            "MemorySwap": self.memory_bytes,
            "PidsLimit": PIDS_MOST,
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } },
            "ShmSize": self.shm_bytes,
            "ReadonlyRootfs": self.read_only,
        });
        let mut set = |name: &str, value: Value| {
            if let Some(config) = config.as_object_mut() {
                config.insert(name.to_owned(), value);
            }
        };
        if self.init {
            set("Init", true.into());
        }
        if !self.nodes.is_empty() {
            set("Devices", self.nodes.iter().map(node).collect());
        }
        if !self.groups.is_empty() {
            set("GroupAdd", self.groups.iter().map(|group| Value::from(group.to_string())).collect());
        }
        if let GpuInjection::Cdi { devices } = &self.way {
            set("DeviceRequests", json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": devices }]));
        }
        if !self.vfio.is_empty() {
            set("Ulimits", json!([{ "Name": "memlock", "Soft": -1, "Hard": -1 }]));
        }
        if !self.mounts.is_empty() {
            set("Mounts", self.mounts.iter().map(mount).collect());
        }
        if !self.ports.is_empty() {
            let published = self.ports.iter().map(|port| (port_name(port), binding(port)));
            set("PortBindings", Value::Object(published.collect()));
        }
        if let Some(first) = self.networks.first() {
            set("NetworkMode", first.as_str().into());
        }
        config
    }
}

fn node(node: &WorkspaceNode) -> Value {
    json!({ "PathOnHost": node.on_host, "PathInContainer": node.inside, "CgroupPermissions": "rwm" })
}

fn mount(mount: &WorkspaceMount) -> Value {
    let WorkspaceMount { is_volume, source, target, read_only } = mount;
    let mut value = json!({ "Type": if *is_volume { "volume" } else { "bind" }, "Source": source, "Target": target, "ReadOnly": read_only });
    if let (false, Some(value)) = (*is_volume, value.as_object_mut()) {
        value.insert("BindOptions".to_owned(), json!({ "Propagation": "rprivate" }));
    }
    value
}

fn port_name(port: &PublishedPort) -> String {
    format!("{}/{}", port.container, port.protocol.code())
}

fn binding(port: &PublishedPort) -> Value {
    let number = port.host.map_or_else(String::new, |port| port.to_string());
    json!([{ "HostIp": port.listen.to_string(), "HostPort": number }])
}
