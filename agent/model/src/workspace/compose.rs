//! From what a workspace wants and what it is given to its container.

use super::gpus::Given;
use super::host::{DescribedGpu, DescribedHost};
use super::refused::WorkspaceRefused;
use super::spec::{GpuWish, Spec};
use super::workspace_container::{GpuInjection, WorkspaceContainer, WorkspaceMount, WorkspaceNode};
use crate::cdi::{CdiState, GpuWay, KIND, gpu_way};
use crate::docker::DockerFacts;
use crate::features::FeatureName;
use crate::policy::Requester;
use std::collections::BTreeSet;

/// The container.
pub(super) fn container(
    host: &DescribedHost,
    spec: &Spec,
    given: &Given,
    requester: Requester,
) -> Result<WorkspaceContainer, WorkspaceRefused> {
    let nvidia: Vec<&str> =
        given.shared.iter().filter(|(gpu, _)| gpu.is_nvidia()).map(|(_, name)| name.as_str()).collect();
    let way = way(host, &nvidia)?;
    let capabilities = match way {
        GpuInjection::None => BTreeSet::new(),
        GpuInjection::Cdi { .. } | GpuInjection::Runtime { .. } => capabilities(spec.gpu.as_ref()),
    };
    let (nodes, groups) = devices(host, spec, given);
    Ok(WorkspaceContainer {
        workspace_id: spec.id.clone(),
        requester,
        generation: spec.generation,
        spec_digest: spec.digest(),
        security_context: spec.context.clone(),
        image: spec.image.clone(),
        environment: spec.environment.variables.clone(),
        hostname: spec.run.hostname.clone(),
        ports: spec.ports.clone(),
        mounts: mounts(host, spec),
        networks: spec.networks.clone(),
        way,
        capabilities,
        gpus: given.shared_names(),
        vfio: given.whole.iter().map(|gpu| gpu.bdf.clone()).collect(),
        nodes,
        groups,
        nano_cpus: nano_cpus(spec.cores),
        memory_bytes: spec.memory,
        shm_bytes: spec.shm_size,
        init: spec.run.init,
        read_only: spec.run.read_only,
    })
}

/// What Docker can do decides, not its version.
fn way(host: &DescribedHost, nvidia: &[&str]) -> Result<GpuInjection, WorkspaceRefused> {
    if nvidia.is_empty() {
        return Ok(GpuInjection::None);
    }
    let fresh = host.cdi_devices.iter().filter_map(|name| name.strip_prefix(KIND)?.strip_prefix('='));
    let state = CdiState {
        enabled: !host.docker.cdi_spec_dirs.is_empty(),
        fresh: fresh.map(str::to_owned).collect(),
        ..CdiState::default()
    };
    let docker = DockerFacts { runtimes: host.docker.runtimes.clone(), ..DockerFacts::default() };
    match gpu_way(&state, &docker, nvidia) {
        GpuWay::Cdi { devices } => Ok(GpuInjection::Cdi { devices }),
        GpuWay::Runtime { name } => {
            Ok(GpuInjection::Runtime { name, visible: nvidia.iter().map(|name| (*name).to_owned()).collect() })
        }
        GpuWay::None(broken) => {
            let wanted = u64::try_from(nvidia.len()).unwrap_or(u64::MAX);
            Err(WorkspaceRefused::NoGpu { wanted, available: 0, why: broken.why() })
        }
    }
}

/// Parts of the driver that the features need.
fn capabilities(wish: Option<&GpuWish>) -> BTreeSet<String> {
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
    all.into_iter().map(str::to_owned).collect()
}

/// Billionths of a core.
fn nano_cpus(cores: f64) -> u64 {
    format!("{:.0}", cores * 1e9).parse().unwrap_or(0)
}

/// Device nodes, and the groups that may open them.
fn devices(host: &DescribedHost, spec: &Spec, given: &Given) -> (Vec<WorkspaceNode>, BTreeSet<u32>) {
    let (mut nodes, mut groups) = (Vec::new(), BTreeSet::new());
    let same = |path: &str| WorkspaceNode { on_host: path.to_owned(), inside: path.to_owned() };
    for (number, gpu) in given.shared.iter().map(|(gpu, _)| gpu).filter(|gpu| wants_nodes(spec, gpu)).enumerate() {
        // The link by address is resolved at every start; images look for these names inside.
        for (kind, inside) in [("card", format!("card{number}")), ("render", format!("renderD{}", 128 + number))] {
            let on_host = format!("/dev/dri/by-path/pci-{}-{kind}", gpu.bdf);
            nodes.push(WorkspaceNode { on_host, inside: format!("/dev/dri/{inside}") });
        }
        groups.extend(gpu.drm.iter().flat_map(|drm| [drm.card_gid, drm.render_gid]).flatten());
    }
    if host.wsl && spec.acceleration {
        nodes.extend(["/dev/dxg", "/dev/dri/card0", "/dev/dri/renderD128"].map(same));
        groups.extend(["dxg", "card0", "renderD128"].iter().filter_map(|name| host.groups.get(*name)));
    }
    if spec.nested {
        nodes.extend(["/dev/kvm", "/dev/net/tun"].map(same));
        groups.extend(["kvm", "tun"].iter().filter_map(|name| host.groups.get(*name)));
    }
    if !given.whole.is_empty() {
        nodes.push(same("/dev/vfio/vfio"));
        let numbers: BTreeSet<u32> = given.whole.iter().filter_map(|gpu| gpu.iommu_group).collect();
        nodes.extend(numbers.into_iter().map(|number| same(&format!("/dev/vfio/{number}"))));
    }
    // The group of root opens every file of it: no workspace is in it.
    groups.remove(&0);
    (nodes, groups)
}

/// NVIDIA's GPUs work without their nodes below /dev/dri but for drawing to a screen.
fn wants_nodes(spec: &Spec, gpu: &DescribedGpu) -> bool {
    let draws = spec.gpu.as_ref().is_some_and(|wish| wish.features.contains(&FeatureName::Dri3));
    gpu.drm.is_some() && (!gpu.is_nvidia() || spec.acceleration || draws)
}

fn mounts(host: &DescribedHost, spec: &Spec) -> Vec<WorkspaceMount> {
    let mut mounts = spec.mounts.clone();
    if host.wsl && spec.acceleration {
        let libraries = super::places::WSL_LIBRARIES.to_owned();
        mounts.push(WorkspaceMount { is_volume: false, source: libraries.clone(), target: libraries, read_only: true });
    }
    mounts
}
