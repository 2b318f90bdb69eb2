//! The host of the lives, as the planner sees it: four GPUs, two of them on vfio-pci.

use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
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
