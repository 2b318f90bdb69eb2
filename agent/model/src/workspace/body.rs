//! The request by which Docker creates the container: nothing of the document is passed on, all of it is set again.

use super::CreateRequest;
use super::environment::VISIBLE_DEVICES;
use super::gpus::Given;
use super::host::{DescribedGpu, DescribedHost};
use super::places::{Mount, Port};
use super::refused::WorkspaceRefused;
use super::spec::{GpuWish, Spec};
use crate::cdi::{CdiState, GpuWay, KIND, gpu_way};
use crate::docker::DockerFacts;
use crate::features::FeatureName;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Prefix of the names of our containers; Docker wants two characters at least.
const PREFIX: &str = "gpuhost-";
/// Prefix of our labels.
const LABELS: &str = "org.gpuhost.Agent1.";

/// How NVIDIA's GPUs get into the container.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// By Docker itself, from CDI files: the devices of the request.
    Cdi(Vec<String>),
    /// By NVIDIA's runtime of this name, from a variable.
    Runtime(String),
    /// There are none.
    None,
}

/// The request.
pub(super) fn request(host: &DescribedHost, spec: &Spec, given: &Given) -> Result<CreateRequest, WorkspaceRefused> {
    let nvidia: Vec<&str> =
        given.shared.iter().filter(|(gpu, _)| gpu.is_nvidia()).map(|(_, name)| name.as_str()).collect();
    let way = way(host, &nvidia)?;
    let mut body = Map::new();
    body.insert("Image".to_owned(), spec.image.as_str().into());
    body.insert("Env".to_owned(), environment(spec, &way, &nvidia).into());
    body.insert("Labels".to_owned(), labels(spec, given));
    if let Some(name) = &spec.run.hostname {
        body.insert("Hostname".to_owned(), name.as_str().into());
    }
    if !spec.ports.is_empty() {
        let exposed = spec.ports.iter().map(|port| (port_name(port), json!({})));
        body.insert("ExposedPorts".to_owned(), Value::Object(exposed.collect()));
    }
    body.insert("HostConfig".to_owned(), host_config(host, spec, given, &way));
    if !spec.networks.is_empty() {
        let ends: Map<String, Value> = spec.networks.iter().map(|name| (name.clone(), json!({}))).collect();
        body.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": ends }));
    }
    let mut gpus = given.shared_names();
    gpus.extend(given.whole.iter().map(|gpu| gpu.name().to_owned()));
    Ok(CreateRequest { name: format!("{PREFIX}{}", spec.id), gpus, body: Value::Object(body) })
}

/// What Docker can do decides, not its version.
fn way(host: &DescribedHost, nvidia: &[&str]) -> Result<Way, WorkspaceRefused> {
    if nvidia.is_empty() {
        return Ok(Way::None);
    }
    let fresh = host.cdi_devices.iter().filter_map(|name| name.strip_prefix(KIND)?.strip_prefix('='));
    let state = CdiState {
        enabled: !host.docker.cdi_spec_dirs.is_empty(),
        fresh: fresh.map(str::to_owned).collect(),
        ..CdiState::default()
    };
    let docker = DockerFacts { runtimes: host.docker.runtimes.clone(), ..DockerFacts::default() };
    match gpu_way(&state, &docker, nvidia) {
        GpuWay::Cdi { devices } => Ok(Way::Cdi(devices)),
        GpuWay::Runtime { name } => Ok(Way::Runtime(name)),
        GpuWay::None(broken) => {
            let wanted = u64::try_from(nvidia.len()).unwrap_or(u64::MAX);
            Err(WorkspaceRefused::NoGpu { wanted, available: 0, why: broken.why() })
        }
    }
}

/// `NVIDIA_VISIBLE_DEVICES` is always there: the image's own would count otherwise, and an image that reports `all` gets every GPU
/// where Docker's default runtime is NVIDIA's.
fn environment(spec: &Spec, way: &Way, nvidia: &[&str]) -> Vec<String> {
    let mut variables: BTreeMap<&str, String> =
        spec.environment.variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let visible = if matches!(way, Way::Runtime(_)) { nvidia.join(",") } else { "void".to_owned() };
    variables.insert(VISIBLE_DEVICES, visible);
    if *way != Way::None {
        let capabilities: Vec<&str> = capabilities(spec.gpu.as_ref()).into_iter().collect();
        variables.insert("NVIDIA_DRIVER_CAPABILITIES", capabilities.join(","));
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Parts of the driver that the features need.
fn capabilities(wish: Option<&GpuWish>) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::from(["compute", "utility"]);
    for feature in wish.map(|wish| wish.features.as_slice()).unwrap_or_default() {
        all.extend(match feature {
            FeatureName::Cuda | FeatureName::Vaapi => &[][..],
            FeatureName::Nvenc | FeatureName::Nvdec => &["video"],
            FeatureName::Dri3 => &["display", "graphics"],
            FeatureName::Egl | FeatureName::Vulkan => &["graphics"],
        });
    }
    all.extend(wish.map(|wish| wish.capabilities.as_slice()).unwrap_or_default());
    all
}

/// No value of the document but the id: labels can be read by all who can ask Docker.
fn labels(spec: &Spec, given: &Given) -> Value {
    let mut labels = Map::new();
    let mut label = |name: &str, value: String| drop(labels.insert(format!("{LABELS}{name}"), value.into()));
    label("workspace", spec.id.clone());
    label("generation", spec.generation.to_string());
    if !given.shared.is_empty() {
        label("gpus", given.shared_names().join(","));
    }
    if !given.whole.is_empty() {
        label("vfio", given.whole.iter().map(|gpu| gpu.bdf.as_str()).collect::<Vec<_>>().join(","));
    }
    Value::Object(labels)
}

fn host_config(host: &DescribedHost, spec: &Spec, given: &Given, way: &Way) -> Value {
    let (devices, groups) = devices(host, spec, given);
    let mut config = json!({
        "Runtime": if let Way::Runtime(name) = way { name.as_str() } else { "runc" },
        "RestartPolicy": { "Name": "no" },
        "Privileged": false,
        "AutoRemove": false,
        "NanoCpus": nano_cpus(spec.cores),
        "Memory": spec.memory,
        "ShmSize": spec.shm_size,
        "ReadonlyRootfs": spec.run.read_only,
    });
    let mut set = |name: &str, value: Value| {
        if let Some(config) = config.as_object_mut() {
            config.insert(name.to_owned(), value);
        }
    };
    if spec.run.init {
        set("Init", true.into());
    }
    if !devices.is_empty() {
        set("Devices", devices.into_iter().map(|(host, inside)| device(&host, &inside)).collect());
    }
    if !groups.is_empty() {
        set("GroupAdd", groups.iter().map(|group| Value::from(group.to_string())).collect());
    }
    if let Way::Cdi(names) = way {
        set("DeviceRequests", json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": names }]));
    }
    if !given.whole.is_empty() {
        set("Ulimits", json!([{ "Name": "memlock", "Soft": -1, "Hard": -1 }]));
    }
    let mounts = mounts(host, spec);
    if !mounts.is_empty() {
        set("Mounts", mounts.into());
    }
    if !spec.ports.is_empty() {
        let published = spec.ports.iter().map(|port| (port_name(port), binding(port)));
        set("PortBindings", Value::Object(published.collect()));
    }
    if let Some(first) = spec.networks.first() {
        set("NetworkMode", first.as_str().into());
    }
    config
}

/// Billionths of a core.
fn nano_cpus(cores: f64) -> u64 {
    format!("{:.0}", cores * 1e9).parse().unwrap_or(0)
}

fn device(on_host: &str, inside: &str) -> Value {
    json!({ "PathOnHost": on_host, "PathInContainer": inside, "CgroupPermissions": "rwm" })
}

/// Device nodes, and the groups that may open them.
fn devices(host: &DescribedHost, spec: &Spec, given: &Given) -> (Vec<(String, String)>, BTreeSet<u32>) {
    let (mut devices, mut groups) = (Vec::new(), BTreeSet::new());
    let same = |path: &str| (path.to_owned(), path.to_owned());
    for (number, gpu) in given.shared.iter().map(|(gpu, _)| gpu).filter(|gpu| wants_nodes(spec, gpu)).enumerate() {
        // The link by address is resolved at every start; images look for these names inside.
        for (kind, inside) in [("card", format!("card{number}")), ("render", format!("renderD{}", 128 + number))] {
            devices.push((format!("/dev/dri/by-path/pci-{}-{kind}", gpu.bdf), format!("/dev/dri/{inside}")));
        }
        groups
            .extend(gpu.drm.iter().flat_map(|drm| [drm.card_gid, drm.render_gid]).flatten().filter(|group| *group > 0));
    }
    if host.wsl && spec.acceleration {
        devices.extend(["/dev/dxg", "/dev/dri/card0", "/dev/dri/renderD128"].map(same));
    }
    if spec.nested {
        devices.extend(["/dev/kvm", "/dev/net/tun"].map(same));
        groups.extend(host.groups.get("kvm"));
    }
    if !given.whole.is_empty() {
        devices.push(same("/dev/vfio/vfio"));
        let numbers: BTreeSet<u32> = given.whole.iter().filter_map(|gpu| gpu.iommu_group).collect();
        devices.extend(numbers.into_iter().map(|number| same(&format!("/dev/vfio/{number}"))));
    }
    (devices, groups)
}

/// NVIDIA's GPUs work without their nodes below /dev/dri but for drawing to a screen.
fn wants_nodes(spec: &Spec, gpu: &DescribedGpu) -> bool {
    let draws = spec.gpu.as_ref().is_some_and(|wish| wish.features.contains(&FeatureName::Dri3));
    gpu.drm.is_some() && (!gpu.is_nvidia() || spec.acceleration || draws)
}

fn mounts(host: &DescribedHost, spec: &Spec) -> Vec<Value> {
    let mut mounts: Vec<Value> = spec.mounts.iter().map(mount).collect();
    if host.wsl && spec.acceleration {
        let libraries = "/usr/lib/wsl".to_owned();
        mounts.push(mount(&Mount { is_volume: false, source: libraries.clone(), target: libraries, read_only: true }));
    }
    mounts
}

fn mount(mount: &Mount) -> Value {
    let Mount { is_volume, source, target, read_only } = mount;
    let mut value = json!({ "Type": if *is_volume { "volume" } else { "bind" }, "Source": source, "Target": target, "ReadOnly": read_only });
    if let (false, Some(value)) = (*is_volume, value.as_object_mut()) {
        value.insert("BindOptions".to_owned(), json!({ "Propagation": "rprivate" }));
    }
    value
}

fn port_name(port: &Port) -> String {
    format!("{}/{}", port.container, port.protocol)
}

fn binding(port: &Port) -> Value {
    let number = port.host.map_or_else(String::new, |port| port.to_string());
    json!([{ "HostIp": port.listen.to_string(), "HostPort": number }])
}
