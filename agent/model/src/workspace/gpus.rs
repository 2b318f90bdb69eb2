//! Which GPUs a workspace is given: the least used that have what is wanted, and never one in two security contexts.

use super::admission::Admission;
use super::document::DesiredGpu;
use super::fields::shown;
use super::host::{DescribedGpu, MigDevice, RunningWorkspace};
use super::refused::WorkspaceRefused;
use super::spec::{Count, GpuWish, Mode, Spec};
use crate::features::FeatureName;
use crate::policy::Requester;

/// A GPU, or a MIG device of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit<'a> {
    pub(super) gpu: &'a DescribedGpu,
    mig: Option<&'a MigDevice>,
}

impl<'a> Unit<'a> {
    /// UUID; the PCI address where a GPU has none.
    pub(super) fn name(self) -> &'a str {
        self.mig.map_or_else(|| self.gpu.name(), |mig| &mig.uuid)
    }

    fn is(self, name: &str) -> bool {
        self.name() == name || (self.mig.is_none() && self.gpu.bdf == name)
    }

    /// Who has it.
    fn users(self, running: &[RunningWorkspace]) -> impl Iterator<Item = &RunningWorkspace> {
        running.iter().filter(move |one| one.gpus.iter().any(|name| self.is(name)))
    }
}

/// What a workspace is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Given {
    /// GPUs and MIG devices that it shares, with their names.
    pub(super) shared: Vec<(DescribedGpu, String)>,
    /// GPUs that it gets whole.
    pub(super) whole: Vec<DescribedGpu>,
}

impl Given {
    pub(super) fn has_nvidia(&self) -> bool {
        self.shared.iter().any(|(gpu, _)| gpu.is_nvidia())
    }

    /// Names of what it shares.
    pub(super) fn shared_names(&self) -> Vec<String> {
        self.shared.iter().map(|(_, name)| name.clone()).collect()
    }
}

/// Chooses.
pub(super) fn choose(admission: &Admission<'_>, spec: &Spec) -> Result<Given, WorkspaceRefused> {
    let mut given = match &spec.gpu {
        Some(wish) if wish.mode == Mode::Passthrough => passthrough(admission, wish)?,
        Some(wish) => share(admission, spec, wish, false)?,
        None if spec.acceleration && !admission.host.wsl => share(admission, spec, &any_one(), true)?,
        None => Given::default(),
    };
    if let Some(names) = &spec.environment.visible {
        let field = "environment.NVIDIA_VISIBLE_DEVICES";
        if let Some(name) = names.iter().find(|name| !given.shared.iter().any(|(_, own)| own == *name)) {
            return Err(WorkspaceRefused::denied(field, format!("{name} is not given to this workspace")));
        }
        given.shared.retain(|(gpu, own)| !gpu.is_nvidia() || names.contains(own));
    }
    Ok(given)
}

fn any_one() -> GpuWish {
    GpuWish {
        mode: Mode::Share,
        count: Count::Exactly(1),
        devices: Vec::new(),
        addresses: Vec::new(),
        mig_profile: None,
        features: Vec::new(),
        capabilities: Vec::new(),
        min_memory_mib: 0,
    }
}

/// All GPUs and MIG devices. A GPU with MIG is given by its MIG devices alone.
fn units<'a>(admission: &Admission<'a>) -> Vec<Unit<'a>> {
    admission.host.gpus.iter().flat_map(units_of).collect()
}

fn units_of(gpu: &DescribedGpu) -> Vec<Unit<'_>> {
    match &gpu.mig {
        Some(mig) if gpu.has_mig() => mig.devices.iter().map(|mig| Unit { gpu, mig: Some(mig) }).collect(),
        _ => vec![Unit { gpu, mig: None }],
    }
}

fn share(admission: &Admission<'_>, spec: &Spec, wish: &GpuWish, needs_node: bool) -> Result<Given, WorkspaceRefused> {
    let all = units(admission);
    let physical = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let wanted = match wish.count {
        Count::Exactly(count) if count > physical && physical > 0 => {
            return Err(WorkspaceRefused::GpuCountExceedsPhysical { wanted: count, physical });
        }
        Count::Exactly(count) => Some(count),
        Count::All => None,
    };
    let mut why = without_devices(admission);
    let mut fitting: Vec<(usize, Unit<'_>)> = Vec::new();
    for unit in &all {
        match obstacle(admission, spec, wish, *unit, needs_node) {
            Some(obstacle) => why.push(format!("{}: {obstacle}", unit.name())),
            None => fitting.push((unit.users(&admission.running).count(), *unit)),
        }
    }
    // What it has already, a whole GPU before a part of one, the least used first; the order of the host among equals.
    let has = |unit: Unit<'_>| admission.has_or_had(|name| unit.is(name));
    // What the stopped container of another one was created with is kept for it where there is a choice, and where nobody computes is
    // better than where somebody does.
    let others = |unit: Unit<'_>| {
        let is_other = |one: &&RunningWorkspace| one.workspace_id != spec.id.as_str();
        admission.host.stopped.iter().filter(is_other).any(|one| one.gpus.iter().any(|name| unit.is(name)))
    };
    fitting.sort_by_key(|(users, unit)| (!has(*unit), unit.mig.is_some(), *users, others(*unit), unit.gpu.processes));
    let shares_left = shares(admission).map_or(u64::MAX, |(total, used)| total.saturating_sub(used));
    let available = u64::try_from(fitting.len()).unwrap_or(u64::MAX).min(shares_left);
    let count = wanted.unwrap_or(available.max(1));
    if available < count {
        return Err(WorkspaceRefused::NoGpu { wanted: count, available, why });
    }
    let take = usize::try_from(count).unwrap_or(usize::MAX);
    let shared = fitting.iter().take(take).map(|(_, unit)| (unit.gpu.clone(), unit.name().to_owned())).collect();
    Ok(Given { shared, whole: Vec::new() })
}

/// GPUs with MIG on and no MIG device.
fn without_devices(admission: &Admission<'_>) -> Vec<String> {
    let empty = admission.host.gpus.iter().filter(|gpu| units_of(gpu).is_empty());
    empty.map(|gpu| format!("{}: MIG is on, and it has no MIG device", gpu.name())).collect()
}

/// Shares of whole GPUs, where the document reports that there are more or fewer than GPUs: all, and those in use.
fn shares(admission: &Admission<'_>) -> Option<(u64, u64)> {
    let total = Some(admission.document.agent.overrides.cuda_gpus).filter(|count| *count > 0)?;
    let whole = units(admission).into_iter().filter(|unit| unit.mig.is_none());
    let used: usize = whole.map(|unit| unit.users(&admission.running).count()).sum();
    Some((total, u64::try_from(used).unwrap_or(u64::MAX)))
}

/// How many workspaces may have a unit at once: one, or more where the document shows it.
fn places(admission: &Admission<'_>, unit: Unit<'_>) -> u64 {
    let whole = units(admission).into_iter().filter(|unit| unit.mig.is_none()).count();
    match (shares(admission), u64::try_from(whole)) {
        (Some((total, _)), Ok(whole)) if unit.mig.is_none() && whole > 0 => total.div_ceil(whole),
        _ => 1,
    }
}

fn entries<'a>(admission: &'a Admission<'_>, gpu: &'a DescribedGpu) -> impl Iterator<Item = &'a DesiredGpu> {
    let fits = |wanted: &Option<String>, own: Option<&str>| wanted.as_deref().is_none_or(|wanted| own == Some(wanted));
    admission.document.gpus.iter().filter(move |entry| {
        let matches = &entry.matches;
        let says = matches.uuid.is_some() || matches.bdf.is_some() || matches.pci_id.is_some();
        says && fits(&matches.uuid, gpu.uuid.as_deref())
            && fits(&matches.bdf, Some(&gpu.bdf))
            && fits(&matches.pci_id, gpu.pci_id.as_deref())
    })
}

/// Why a unit cannot be shared with this workspace.
fn obstacle(
    admission: &Admission<'_>,
    spec: &Spec,
    wish: &GpuWish,
    unit: Unit<'_>,
    needs_node: bool,
) -> Option<String> {
    let gpu = unit.gpu;
    if !wish.devices.is_empty() && !wish.devices.iter().any(|name| unit.is(name)) {
        return Some("it is not among those that are named".to_owned());
    }
    if let Some(other) = other_address(wish, gpu, |uuid| unit.is(uuid)) {
        return Some(other);
    }
    match (&wish.mig_profile, unit.mig) {
        (Some(profile), Some(mig)) if mig.profile != *profile => return Some(format!("it is a {}", mig.profile)),
        (Some(_), None) => return Some("it is not partitioned with MIG".to_owned()),
        _ => {}
    }
    if gpu.health.as_deref() == Some("failed") {
        return Some("its health is failed".to_owned());
    }
    if let Some(why) = &gpu.not_shared {
        return Some(why.clone());
    }
    let unusable = |entry: &DesiredGpu| entry.usage.clone().filter(|usage| usage == "off" || usage == "passthrough");
    if let Some(usage) = entries(admission, gpu).find_map(unusable) {
        return Some(format!("gpus.use is {usage}"));
    }
    if let Some(obstacle) = wish.features.iter().find_map(|feature| lacks(admission, gpu, *feature)) {
        return Some(obstacle);
    }
    if gpu.memory_mib.unwrap_or(0) < wish.min_memory_mib {
        return Some(format!("it has {} MiB", gpu.memory_mib.unwrap_or(0)));
    }
    if needs_node && gpu.drm.is_none() {
        return Some("it has no node below /dev/dri".to_owned());
    }
    occupied(admission, spec, unit)
}

fn lacks(admission: &Admission<'_>, gpu: &DescribedGpu, feature: FeatureName) -> Option<String> {
    let code = feature.code();
    let off = |entry: &DesiredGpu| entry.features.get(code).is_some_and(|switch| switch.enabled == Some(false));
    if entries(admission, gpu).any(off) {
        return Some(format!("{code} is disabled"));
    }
    (!gpu.features.iter().any(|known| known == code)).then(|| format!("it has no {code}"))
}

fn occupied(admission: &Admission<'_>, spec: &Spec, unit: Unit<'_>) -> Option<String> {
    let running = &admission.running;
    if let Some(owner) = running.iter().find(|one| one.vfio.contains(&unit.gpu.bdf)) {
        return Some(format!("the workspace {} has it exclusively", owner.workspace_id));
    }
    let bound = entries(admission, unit.gpu).find_map(|entry| entry.security_context.as_deref());
    if bound.is_some() && bound != spec.context.as_deref() {
        return Some("it is reserved for another security context".to_owned());
    }
    // Its parts as well: they share what MIG does not cut.
    let parts = units_of(unit.gpu);
    let has = |one: &&RunningWorkspace| parts.iter().any(|part| one.gpus.iter().any(|name| part.is(name)));
    if let Some(other) = running.iter().filter(has).find(|one| one.security_context != spec.context) {
        return Some(format!("the workspace {}, of another security context, has it", other.workspace_id));
    }
    let users = u64::try_from(unit.users(running).count()).unwrap_or(u64::MAX);
    let places = places(admission, unit);
    (users >= places).then(|| format!("{users} of {places} workspaces have it already"))
}

fn passthrough(admission: &Admission<'_>, wish: &GpuWish) -> Result<Given, WorkspaceRefused> {
    let policy = &admission.host.policy;
    let by_manager = admission.requester == Requester::Manager;
    if !policy.host.passthrough || (by_manager && !policy.manager.passthrough) {
        return Err(WorkspaceRefused::denied("gpu.mode", "this host's policy does not allow giving whole GPUs away"));
    }
    let gpus = &admission.host.gpus;
    let physical = u64::try_from(gpus.len()).unwrap_or(u64::MAX);
    let (mut why, mut fitting) = (Vec::new(), Vec::new());
    for gpu in gpus {
        match in_the_way(admission, wish, gpu) {
            Some(obstacle) => why.push(format!("{}: {obstacle}", gpu.name())),
            None => fitting.push(gpu.clone()),
        }
    }
    let available = u64::try_from(fitting.len()).unwrap_or(u64::MAX);
    let wanted = match wish.count {
        Count::Exactly(count) if count > physical && physical > 0 => {
            return Err(WorkspaceRefused::GpuCountExceedsPhysical { wanted: count, physical });
        }
        Count::Exactly(count) => count,
        Count::All => available.max(1),
    };
    if available < wanted {
        return Err(WorkspaceRefused::NoGpu { wanted, available, why });
    }
    fitting.sort_by_key(|gpu| !admission.has_or_had(|name| name == gpu.bdf));
    fitting.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    Ok(Given { shared: Vec::new(), whole: fitting })
}

/// A UUID that was named with the address of another GPU means neither.
fn other_address(wish: &GpuWish, gpu: &DescribedGpu, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let (_, address) = wish.addresses.iter().find(|(uuid, bdf)| is_it(uuid) && !bdf.eq_ignore_ascii_case(&gpu.bdf))?;
    Some(format!("it is at {}, and was named with the address {}", gpu.bdf, shown(address)))
}

/// Why a GPU cannot be given away whole.
fn in_the_way(admission: &Admission<'_>, wish: &GpuWish, gpu: &DescribedGpu) -> Option<String> {
    if !wish.devices.is_empty() && !wish.devices.iter().any(|name| name == gpu.name() || *name == gpu.bdf) {
        return Some("it is not among those that are named".to_owned());
    }
    if let Some(other) = other_address(wish, gpu, |uuid| gpu.name() == uuid) {
        return Some(other);
    }
    let usage = |entry: &DesiredGpu| entry.usage.clone().filter(|usage| usage == "off" || usage == "containers");
    if let Some(usage) = entries(admission, gpu).find_map(usage) {
        return Some(format!("gpus.use is {usage}"));
    }
    if gpu.has_mig() {
        return Some("MIG is on".to_owned());
    }
    if let Some(why) = &gpu.not_whole {
        return Some(why.clone());
    }
    let card = |address: &str| address.rsplit_once('.').map(|(card, _)| card.to_owned());
    let foreign = gpu.iommu_group_members.iter().find(|member| card(member) != card(&gpu.bdf));
    match (gpu.iommu_group, foreign) {
        (None, _) => return Some("it has no IOMMU group".to_owned()),
        (Some(group), Some(member)) => return Some(format!("its IOMMU group {group} also holds {member}")),
        (Some(_), None) => {}
    }
    let has = |one: &&RunningWorkspace| {
        one.vfio.contains(&gpu.bdf) || one.gpus.iter().any(|name| name == gpu.name() || *name == gpu.bdf)
    };
    admission.running.iter().find(has).map(|one| format!("the workspace {} has it", one.workspace_id))
}
