//! The host of the lives, as the planner sees it: four GPUs, two of them on vfio-pci.

use model::absence::Reading;
use model::driver::UnplacedMig;
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::pci::{DrmNodes, VENDOR_AMD};
use model::policy::Policy;
use model::time::{BootMillis, UnixMillis};
use model::workspace::{DescribedGpu, DescribedHost, WorkspaceId};
use model::workspace_life::{WorkspaceGpuNeeds, WorkspaceHostSide, WorkspaceSeen, described};
use sim::SimHost;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static HOST: LazyLock<HostObservation> = LazyLock::new(|| {
    let mut description = sim::load("l40s-server").unwrap();
    description.driver.as_mut().unwrap().in_container = false;
    for gpu in description.gpus.iter_mut().skip(3) {
        gpu.driver = Some("vfio-pci".parse().unwrap());
    }
    let raw = SimHost::new(description).unwrap().asked();
    judge(raw, ObservationMeta { sequence: 1, observed_at: UnixMillis(0), observed_boot: BootMillis(0) }, None)
});

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut policy = Policy::default();
    policy.host.workspaces.allowed = true;
    policy.host.workspaces.registries = vec!["registry.example".to_owned()];
    policy.host.passthrough.allowed = true;
    policy.manager.passthrough = true;
    policy
});

pub(crate) fn policy() -> &'static Policy {
    &POLICY
}

pub(crate) fn described_host(seen: &[WorkspaceSeen], starting: &BTreeSet<WorkspaceId>) -> DescribedHost {
    described(&HOST, HOST.docker.as_ref().unwrap(), (seen, starting), (&WorkspaceHostSide::default(), policy()))
}

pub(crate) fn gpu_needs(seen: &[WorkspaceSeen]) -> BTreeMap<WorkspaceId, WorkspaceGpuNeeds> {
    let needs =
        |one: &WorkspaceSeen| Some((one.workspace_id.clone()?, WorkspaceGpuNeeds::of(&HOST, &one.gpus, &one.vfio)));
    seen.iter().filter(|one| one.foreign.is_none()).filter_map(needs).collect()
}

/// Without the display of the board.
fn of_nvidia() -> Vec<DescribedGpu> {
    described_host(&[], &BTreeSet::new()).gpus.into_iter().filter(|gpu| gpu.vendor == "nvidia").collect()
}

/// UUID and PCI address of each GPU; a GPU on vfio-pci has no UUID.
pub(crate) fn gpus() -> Vec<(Option<String>, String)> {
    of_nvidia().into_iter().map(|gpu| (gpu.uuid, gpu.bdf)).collect()
}

pub(crate) fn cards() -> BTreeMap<String, String> {
    gpus().into_iter().filter_map(|(uuid, bdf)| Some((uuid?, bdf))).collect()
}

#[test]
fn two_gpus_can_be_shared_and_two_given_whole() {
    let gpus = of_nvidia();
    let shared: Vec<bool> = gpus.iter().map(|gpu| gpu.not_shared.is_none() && gpu.uuid.is_some()).collect();
    let whole: Vec<bool> = gpus.iter().map(|gpu| gpu.not_whole.is_none() && gpu.iommu_group.is_some()).collect();
    assert_eq!(shared, [true, true, false, false], "{gpus:#?}");
    assert_eq!(whole, [false, false, true, true], "{gpus:#?}");
}

fn needs_of(host: &HostObservation, gpus: &[&str], vfio: &[&str]) -> WorkspaceGpuNeeds {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    WorkspaceGpuNeeds::of(host, &owned(gpus), &owned(vfio))
}

#[test]
fn a_workspace_of_which_the_driver_shows_nothing_is_not_idle() {
    let gone = needs_of(&HOST, &["GPU-none"], &[]);
    assert_eq!((gone.gone.len() + gone.unknown.len(), gone.is_idle), (1, false), "{gone:?}");
    let whole = HOST.gpus.iter().filter(|gpu| gpu.pci.is_bound_to("vfio-pci")).map(|gpu| gpu.pci.address.to_string());
    for address in whole {
        assert!(!needs_of(&HOST, &[], &[&address]).is_idle, "{address}");
    }
}

#[test]
fn a_mig_device_is_not_gone_while_another_one_has_no_name() {
    let mut host = HOST.clone();
    let driver = host.gpus.iter_mut().find_map(|gpu| gpu.driver.as_mut()).unwrap();
    driver.mig_unplaced.push(UnplacedMig {
        index: 0,
        uuid: Reading::default(),
        profile: Reading::default(),
        memory_total_mib: Reading::default(),
    });
    let needs = needs_of(&host, &["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"], &[]);
    assert_eq!((needs.gone.len(), needs.unknown.len(), needs.is_idle), (0, 1, false), "{needs:?}");
}

#[test]
fn a_drm_node_is_needed_only_where_the_gpu_has_a_render_node_and_so_was_given_with_it() {
    for render in [None, Some("renderD135".to_owned())] {
        let mut host = HOST.clone();
        let gpu = host.gpus.first_mut().unwrap();
        let address = gpu.pci.address.to_string();
        gpu.pci.id.vendor = VENDOR_AMD;
        gpu.pci.drm = DrmNodes { card: Some("card7".to_owned()), render: render.clone() };
        let needs = needs_of(&host, &[&address], &[]);
        let card = needs.nodes.iter().find(|node| node.path == "/dev/dri/card7").unwrap();
        assert_eq!(card.is_required, render.is_some());
    }
}
