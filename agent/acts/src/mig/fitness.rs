//! Whether a step of MIG may be taken, from what the host itself shows: the last check, regardless of who sent the step.

use model::absence::Reading;
use model::driver::MigMode;
use model::ids::PciAddress;
use model::mig::{Instance, MigGpuInstance, MigOnGpu, MigStep};
use model::plan::MigTarget;
use model::policy::MigPolicy;
use std::path::Path;

/// Which of the two hands asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigPower {
    /// Layouts, and never the mode.
    Layout,
    /// The mode, and nothing else.
    Mode,
}

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitMig {
    /// The local policy forbids it.
    #[error("/etc/gpuhostd/policy.toml: {0}")]
    Policy(String),
    /// It is the other hand's.
    #[error("this hand does not do it: layouts are the mig hand's, the mode is the mig-mode hand's")]
    OtherHand,
    /// NVIDIA's driver does not have the GPU: a virtual machine may have it.
    #[error("{gpu} is not bound to the driver nvidia ({found})")]
    NotNvidia {
        /// The GPU.
        gpu: PciAddress,
        /// The driver that has it, or that none has.
        found: String,
    },
    /// The look is of another GPU.
    #[error("the driver answered for {0}")]
    OtherGpu(PciAddress),
    /// Another card is at the address by now.
    #[error("the GPU at {0} is another card than the one that was asked for")]
    OtherCard(PciAddress),
    /// MIG mode is off, or not known.
    #[error("MIG mode is not on")]
    ModeOff,
    /// The instance is not there.
    #[error("there is no GPU instance {0}")]
    NoInstance(Instance),
    /// The compute instance is not there, or is another one by now.
    #[error("GPU instance {within} has no compute instance {id} of {slices} slices")]
    NoCompute {
        /// Where it was looked for.
        within: Instance,
        /// Its id.
        id: u32,
        /// Its slices.
        slices: u32,
    },
    /// The driver names processes on it.
    #[error("GPU instance {0} is in use by process {1}")]
    InUse(Instance, u32),
    /// A GPU instance is destroyed without its compute instances only.
    #[error("GPU instance {0} still has compute instances")]
    NotEmpty(Instance),
    /// Its place is taken.
    #[error("GPU instance {wanted} overlaps {taken}")]
    Taken {
        /// What was to be created.
        wanted: Instance,
        /// What is there.
        taken: Instance,
    },
    /// The GPU has no such profile, or not there.
    #[error("the GPU has no place {0}")]
    NoPlace(Instance),
    /// The mode changes only where no instance goes with it.
    #[error("the GPU still has the GPU instance {0}")]
    HasInstances(Instance),
    /// The mode would need a reset.
    #[error("the driver does not report that it switches the mode without a reset")]
    NeedsReset,
}

/// That the policy allows changes of this GPU, and NVIDIA's driver has it. Blocking, for a read of sysfs.
///
/// # Errors
/// The first thing that speaks against it.
pub(super) fn may_change(sysfs: &Path, gpu: PciAddress, policy: &MigPolicy) -> Result<(), UnfitMig> {
    if !policy.allowed {
        return Err(UnfitMig::Policy("host.mig.allowed is false".to_owned()));
    }
    if policy.never.contains(&gpu) {
        return Err(UnfitMig::Policy(format!("host.mig.never names {gpu}")));
    }
    let link = sysfs.join("bus/pci/devices").join(gpu.to_string()).join("driver");
    let found = match std::fs::read_link(&link) {
        Ok(target) => target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        Err(error) => format!("none: {}: {error}", link.display()),
    };
    if found == "nvidia" { Ok(()) } else { Err(UnfitMig::NotNvidia { gpu, found }) }
}

/// Checks one step against a fresh look.
///
/// # Errors
/// The first thing that speaks against it.
pub fn check(seen: &MigOnGpu, target: &MigTarget, step: &MigStep, power: MigPower) -> Result<(), UnfitMig> {
    if seen.gpu != target.gpu {
        return Err(UnfitMig::OtherGpu(seen.gpu));
    }
    if seen.uuid.known().is_some_and(|uuid| *uuid != target.uuid) {
        return Err(UnfitMig::OtherCard(target.gpu));
    }
    match (power, step) {
        (MigPower::Mode, MigStep::SetMode { to }) => check_mode(seen, *to),
        (MigPower::Layout, MigStep::SetMode { .. }) | (MigPower::Mode, _) => Err(UnfitMig::OtherHand),
        (MigPower::Layout, _) if seen.current != Reading::Known(MigMode::Enabled) => Err(UnfitMig::ModeOff),
        (MigPower::Layout, MigStep::DestroyCompute { within, id, slices }) => {
            let found = here(seen, within)?;
            let fits = found.compute.iter().find(|one| one.id == *id && one.slices == *slices);
            let missing = || UnfitMig::NoCompute { within: within.clone(), id: *id, slices: *slices };
            let process = fits.ok_or_else(missing)?.processes.first();
            process.map_or(Ok(()), |pid| Err(UnfitMig::InUse(within.clone(), *pid)))
        }
        (MigPower::Layout, MigStep::DestroyGpu { instance }) => {
            let found = here(seen, instance)?;
            not_in_use(found)?;
            if found.compute.is_empty() { Ok(()) } else { Err(UnfitMig::NotEmpty(instance.clone())) }
        }
        (MigPower::Layout, MigStep::CreateGpu { instance }) => check_place(seen, instance),
        (MigPower::Layout, MigStep::CreateCompute { within, .. }) => here(seen, within).map(drop),
    }
}

fn here<'a>(seen: &'a MigOnGpu, instance: &Instance) -> Result<&'a MigGpuInstance, UnfitMig> {
    seen.find(instance).ok_or_else(|| UnfitMig::NoInstance(instance.clone()))
}

fn not_in_use(found: &MigGpuInstance) -> Result<(), UnfitMig> {
    let process = found.compute.iter().find_map(|compute| compute.processes.first());
    process.map_or(Ok(()), |pid| Err(UnfitMig::InUse(found.instance(), *pid)))
}

/// The place is one of the profile's, and free. How many there may be, the driver decides.
fn check_place(seen: &MigOnGpu, wanted: &Instance) -> Result<(), UnfitMig> {
    let missing = || UnfitMig::NoPlace(wanted.clone());
    let catalog = seen.catalog.known().ok_or_else(missing)?;
    let profile = catalog.find(&wanted.profile).and_then(|number| catalog.profile(number)).ok_or_else(missing)?;
    let place = profile.placement(wanted.start).ok_or_else(missing)?;
    let end = |start: u32, size: u32| start.saturating_add(size);
    let overlaps =
        |one: &&MigGpuInstance| one.start < end(place.start, place.size) && place.start < end(one.start, one.size);
    let taken = seen.instances.iter().find(overlaps);
    taken.map_or(Ok(()), |taken| Err(UnfitMig::Taken { wanted: wanted.clone(), taken: taken.instance() }))
}

fn check_mode(seen: &MigOnGpu, to: MigMode) -> Result<(), UnfitMig> {
    seen.instances.iter().try_for_each(not_in_use)?;
    if let Some(left) = seen.instances.first() {
        return Err(UnfitMig::HasInstances(left.instance()));
    }
    let is_so = seen.current == Reading::Known(to) && seen.pending == Reading::Known(to);
    let switches = seen.switches_without_reset == Reading::Known(true);
    if is_so || switches { Ok(()) } else { Err(UnfitMig::NeedsReset) }
}

/// Whether a step that was taken shows in a look afterwards: the driver can report success and do nothing.
pub(super) fn shows(before: &MigOnGpu, after: &MigOnGpu, step: &MigStep) -> bool {
    let compute = |seen: &MigOnGpu, within: &Instance| seen.find(within).map_or(0, |one| one.compute.len());
    match step {
        MigStep::DestroyCompute { within, id, .. } => {
            after.find(within).is_none_or(|found| found.compute.iter().all(|one| one.id != *id))
        }
        MigStep::DestroyGpu { instance } => after.find(instance).is_none(),
        MigStep::CreateGpu { instance } => after.find(instance).is_some(),
        MigStep::CreateCompute { within, .. } => compute(after, within) > compute(before, within),
        MigStep::SetMode { to } => after.current == Reading::Known(*to),
    }
}
