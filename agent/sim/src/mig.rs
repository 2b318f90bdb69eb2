//! The MIG life cycle of a simulated GPU: what the driver allows, what it answers, and what is there afterwards.

use crate::description::{GpuDescription, MigDescription, MigInstance};
use model::absence::{Absence, Reading};
use model::driver::MigMode;
use model::mig::products::{PRODUCTS, Product};
use model::mig::{
    GpuProfile, Instance, MigCatalog, MigComputeInstance, MigGpuInstance, MigOnGpu, Placement, Wish, plan,
};
use model::{MigUuid, PciAddress, PciId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the driver answers where it does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MigCallError {
    /// `NVML_ERROR_IN_USE`: something runs on it, or is still in it.
    #[error("In use by another client")]
    InUse,
    /// `NVML_ERROR_INSUFFICIENT_RESOURCES`: no room, or its place is taken.
    #[error("Insufficient Resources")]
    InsufficientResources,
    /// `NVML_ERROR_INVALID_ARGUMENT`.
    #[error("Invalid Argument")]
    InvalidArgument,
    /// `NVML_ERROR_NOT_FOUND`.
    #[error("Not Found")]
    NotFound,
    /// `NVML_ERROR_NOT_SUPPORTED`: MIG mode is off, or the GPU has none.
    #[error("Not Supported")]
    NotSupported,
}

impl MigCallError {
    /// Its number in `nvmlReturn_t`.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::InvalidArgument => 2,
            Self::NotSupported => 3,
            Self::NotFound => 6,
            Self::InUse => 19,
            Self::InsufficientResources => 23,
        }
    }
}

/// A compute instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimCompute {
    /// Its id inside its GPU instance.
    pub id: u32,
    /// Its compute slices.
    pub slices: u32,
    /// Its UUID, where the description gives one.
    pub uuid: Option<MigUuid>,
    /// Processes on it.
    pub processes: Vec<u32>,
    /// The driver calls it in use, and no process is to be found.
    pub is_haunted: bool,
    /// Memory in use of it in MiB.
    pub used_mib: u64,
    /// Index of its MIG device, kept until it is destroyed: the list of MIG devices has holes.
    #[serde(default)]
    pub index: u32,
}

/// A GPU instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimGpuInstance {
    /// Its id.
    pub id: u32,
    /// Name of its profile.
    pub profile: String,
    /// Its memory slots.
    pub placement: Placement,
    /// Its compute instances.
    pub compute: Vec<SimCompute>,
}

/// MIG on one simulated GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimMig {
    /// What it can be cut into.
    pub catalog: MigCatalog,
    /// Whether the mode is on.
    pub current: MigMode,
    /// Whether it will be on after a reset.
    pub pending: MigMode,
    /// The mode changes without a reset.
    pub is_resetless: bool,
    /// A rule that no sum of slices, slots or engines reveals, as integrated GPUs have it: at most one instance with graphics
    /// (`+gfx`) and one without.
    #[serde(default)]
    pub is_one_of_each: bool,
    /// Its GPU instances.
    pub instances: Vec<SimGpuInstance>,
}

impl SimMig {
    /// MIG as a description has it; `None` for a card that cannot do it, or of which no profiles are known.
    #[must_use]
    pub fn of(id: PciId, gpu: &GpuDescription, can_do_it: bool) -> Option<Self> {
        let product = can_do_it.then(|| product_of(id)).flatten()?;
        let catalog = product.catalog()?;
        let mut mig = Self {
            catalog,
            current: gpu.mig.as_ref().map_or(MigMode::Disabled, |mig| mig.current),
            pending: gpu.mig.as_ref().map_or(MigMode::Disabled, |mig| mig.pending),
            is_resetless: !product.name.starts_with("A100") && !product.name.starts_with("A30"),
            is_one_of_each: false,
            instances: Vec::new(),
        };
        mig.instances = gpu.mig.as_ref().map_or_else(Vec::new, |described| mig.described(described));
        Some(mig)
    }

    /// The described instances, each at a place: the one that is given, or one that leaves room for the others.
    fn described(&self, described: &MigDescription) -> Vec<SimGpuInstance> {
        let mut grouped: BTreeMap<u32, Vec<&MigInstance>> = BTreeMap::new();
        for instance in &described.instances {
            grouped.entry(instance.gpu_instance).or_default().push(instance);
        }
        let profile = |instances: &[&MigInstance]| whole_name(&instances.first()?.profile);
        let wishes: Vec<Wish> = grouped
            .values()
            .filter_map(|instances| {
                let start = instances.first()?.start;
                Some(Wish { profile: profile(instances)?, start, count: 1 })
            })
            .collect();
        let mut places = plan(&self.catalog, &[], &wishes).map_or_else(|_| Vec::new(), |plan| plan.create);
        let mut index = 0..;
        let placed = grouped.into_iter().filter_map(|(id, instances)| {
            let name = profile(&instances)?;
            let wanted = instances.first()?.start;
            let fits = |one: &model::mig::LaidOut| {
                one.instance.profile == name && wanted.is_none_or(|start| start == one.instance.start)
            };
            let at = places.iter().position(fits)?;
            let start = places.remove(at).instance.start;
            let known = self.profile(&name)?;
            let compute = instances.iter().map(|one| SimCompute {
                id: one.compute_instance,
                slices: slices_of(&one.profile).unwrap_or(known.compute_slices),
                uuid: one.uuid.clone(),
                processes: one.processes.clone(),
                is_haunted: one.is_haunted,
                used_mib: one.used_mib,
                index: index.next().unwrap_or_default(),
            });
            Some(SimGpuInstance { id, profile: name, placement: known.placement(start)?, compute: compute.collect() })
        });
        placed.collect()
    }

    /// The same for the description, from which the driver's reports are made.
    #[must_use]
    pub fn describe(&self) -> MigDescription {
        let instances = self.instances.iter().flat_map(|gpu| gpu.compute.iter().map(move |compute| (gpu, compute)));
        let described = instances.filter_map(|(gpu, compute)| {
            let profile = self.profile(&gpu.profile)?;
            Some(MigInstance {
                gpu_instance: gpu.id,
                compute_instance: compute.id,
                profile: profile.compute_name(compute.slices),
                start: Some(gpu.placement.start),
                uuid: compute.uuid.clone(),
                memory_mib: profile.memory_mib.unwrap_or_default(),
                used_mib: compute.used_mib,
                sm: profile.multiprocessors.unwrap_or_default(),
                ce: profile.engines.copy.unwrap_or_default(),
                enc: profile.engines.encoder.unwrap_or_default(),
                dec: profile.engines.decoder.unwrap_or_default(),
                jpeg: profile.engines.jpeg.unwrap_or_default(),
                ofa: profile.engines.optical_flow.unwrap_or_default(),
                processes: compute.processes.clone(),
                is_haunted: compute.is_haunted,
            })
        });
        MigDescription { current: self.current, pending: self.pending, instances: described.collect() }
    }

    fn profile(&self, name: &str) -> Option<&GpuProfile> {
        self.catalog.find(name).and_then(|number| self.catalog.profile(number))
    }

    fn must_be_on(&self) -> Result<(), MigCallError> {
        if self.current == MigMode::Enabled { Ok(()) } else { Err(MigCallError::NotSupported) }
    }

    /// `nvmlDeviceCreateGpuInstanceWithPlacement`. Returns its id.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn create_gpu(&mut self, profile: &str, start: u32) -> Result<u32, MigCallError> {
        self.must_be_on()?;
        let known = self.profile(profile).ok_or(MigCallError::NotSupported)?;
        let placement = known.placement(start).ok_or(MigCallError::InvalidArgument)?;
        let taken = self.instances.iter().any(|other| other.placement.mask() & placement.mask() != 0);
        if taken || self.room(known).is_none() || self.breaks_its_own_rule(profile) {
            return Err(MigCallError::InsufficientResources);
        }
        let (profile, id) = (known.profile.clone(), self.free_id());
        self.instances.push(SimGpuInstance { id, profile, placement, compute: Vec::new() });
        self.instances.sort_by_key(|instance| instance.placement.start);
        Ok(id)
    }

    /// There is room for one more instance of a profile, by slices, count and engines.
    fn room(&self, profile: &GpuProfile) -> Option<()> {
        let there = || self.instances.iter().filter_map(|instance| self.profile(&instance.profile));
        let same = u32::try_from(there().filter(|other| other.profile == profile.profile).count()).ok()?;
        let slices: u32 = there().map(|other| other.compute_slices).sum();
        let engines = model::mig::MigEngine::ALL.iter().all(|engine| {
            let spent: u32 = there().filter_map(|other| other.engines.of(*engine)).sum();
            let wanted = profile.engines.of(*engine).unwrap_or_default();
            self.catalog.capacity(*engine).is_none_or(|total| spent + wanted <= total)
        });
        let fits =
            same < profile.instances && slices + profile.compute_slices <= self.catalog.compute_slices() && engines;
        fits.then_some(())
    }

    fn breaks_its_own_rule(&self, profile: &str) -> bool {
        let has_graphics = |name: &str| name.contains("+gfx");
        let same = |other: &SimGpuInstance| has_graphics(&other.profile) == has_graphics(profile);
        self.is_one_of_each && self.instances.iter().any(same)
    }

    /// `nvmlDeviceGetGpuInstanceRemainingCapacity`: how many more instances of a profile find a free place now.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn remaining(&self, profile: &str) -> Result<u32, MigCallError> {
        self.must_be_on()?;
        let known = self.profile(profile).ok_or(MigCallError::InvalidArgument)?;
        let (starts, mut trial, mut more) = (known.placements.clone(), self.clone(), 0_u32);
        for placement in starts {
            more += u32::from(trial.create_gpu(profile, placement.start).is_ok());
        }
        Ok(more)
    }

    /// Ids begin at 1 and are used again, the lowest first: they tell no place.
    fn free_id(&self) -> u32 {
        (1..u32::MAX).find(|id| self.instances.iter().all(|instance| instance.id != *id)).unwrap_or(u32::MAX)
    }

    /// `nvmlGpuInstanceCreateComputeInstance`. Returns its id.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn create_compute(&mut self, gpu_instance: u32, slices: u32) -> Result<u32, MigCallError> {
        self.must_be_on()?;
        let total = {
            let instance = self.instance(gpu_instance)?;
            self.profile(&instance.profile).ok_or(MigCallError::NotFound)?.compute_slices
        };
        let indices: Vec<u32> = self.instances.iter().flat_map(|one| &one.compute).map(|one| one.index).collect();
        let index = (0..u32::MAX).find(|index| !indices.contains(index)).unwrap_or(u32::MAX);
        let instance = self.instance_mut(gpu_instance)?;
        if slices == 0 || slices > total {
            return Err(MigCallError::InvalidArgument);
        }
        let spent: u32 = instance.compute.iter().map(|compute| compute.slices).sum();
        if spent + slices > total {
            return Err(MigCallError::InsufficientResources);
        }
        let id = (0..u32::MAX).find(|id| instance.compute.iter().all(|other| other.id != *id)).unwrap_or(u32::MAX);
        let processes = Vec::new();
        instance.compute.push(SimCompute { id, slices, uuid: None, processes, is_haunted: false, used_mib: 0, index });
        Ok(id)
    }

    /// `nvmlComputeInstanceDestroy`.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn destroy_compute(&mut self, gpu_instance: u32, compute_instance: u32) -> Result<(), MigCallError> {
        self.must_be_on()?;
        let instance = self.instance_mut(gpu_instance)?;
        let at = instance.compute.iter().position(|compute| compute.id == compute_instance);
        let at = at.ok_or(MigCallError::NotFound)?;
        let is_used = instance.compute.get(at).is_some_and(|one| one.is_haunted || !one.processes.is_empty());
        if is_used {
            return Err(MigCallError::InUse);
        }
        instance.compute.remove(at);
        Ok(())
    }

    /// `nvmlGpuInstanceDestroy`.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn destroy_gpu(&mut self, gpu_instance: u32) -> Result<(), MigCallError> {
        self.must_be_on()?;
        if !self.instance(gpu_instance)?.compute.is_empty() {
            return Err(MigCallError::InUse);
        }
        self.instances.retain(|instance| instance.id != gpu_instance);
        Ok(())
    }

    /// `nvmlDeviceSetMigMode`. Returns the activation status, which is another thing than the return code: the call itself works.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn set_mode(&mut self, to: MigMode) -> Result<Result<(), MigCallError>, MigCallError> {
        if self.instances.iter().any(|instance| !instance.compute.is_empty()) && to == MigMode::Disabled {
            return Err(MigCallError::InUse);
        }
        self.pending = to;
        if self.current == to {
            return Ok(Ok(()));
        }
        if !self.is_resetless {
            return Ok(Err(MigCallError::InUse));
        }
        self.reset();
        Ok(Ok(()))
    }

    /// A reset of the GPU: the pending mode is the current one, and no instance is left.
    pub fn reset(&mut self) {
        self.current = self.pending;
        self.instances.clear();
    }

    /// The kernel module was loaded again: no instance is left. Where the mode is in the card (A100, A30) it stays, elsewhere it is off.
    pub fn driver_loaded(&mut self) {
        self.instances.clear();
        if self.is_resetless {
            (self.current, self.pending) = (MigMode::Disabled, MigMode::Disabled);
        }
        self.current = self.pending;
    }

    /// # Errors
    /// There is none.
    fn instance(&self, id: u32) -> Result<&SimGpuInstance, MigCallError> {
        self.instances.iter().find(|instance| instance.id == id).ok_or(MigCallError::NotFound)
    }

    fn instance_mut(&mut self, id: u32) -> Result<&mut SimGpuInstance, MigCallError> {
        self.instances.iter_mut().find(|instance| instance.id == id).ok_or(MigCallError::NotFound)
    }

    /// The id of the instance of a profile at a place.
    #[must_use]
    pub fn id_at(&self, place: &Instance) -> Option<u32> {
        let here = |one: &&SimGpuInstance| one.placement.start == place.start && one.profile == place.profile;
        self.instances.iter().find(here).map(|one| one.id)
    }

    /// What a hand would report of it.
    #[must_use]
    pub fn state(&self, gpu: PciAddress) -> MigOnGpu {
        let compute = |one: &SimGpuInstance| {
            let each = one.compute.iter().map(|compute| MigComputeInstance {
                id: compute.id,
                slices: compute.slices,
                uuid: crate::driver::mig_uuid(gpu, one.id, compute.id, compute.uuid.as_ref()).into(),
                processes: compute.processes.clone(),
            });
            each.collect()
        };
        let instances = self.instances.iter().map(|one| MigGpuInstance {
            id: one.id,
            profile: one.profile.clone(),
            start: one.placement.start,
            size: one.placement.size,
            compute: compute(one),
        });
        MigOnGpu {
            gpu,
            uuid: Reading::Absent(Absence::NotReported),
            minor: Reading::Absent(Absence::NotReported),
            current: Reading::Known(self.current),
            pending: Reading::Known(self.pending),
            switches_without_reset: Reading::Known(self.is_resetless),
            catalog: Reading::Known(self.catalog.clone()),
            instances: instances.collect(),
            driver_load: None,
        }
    }
}

/// The product by its PCI id; for one that is in no table the largest that is.
fn product_of(id: PciId) -> Option<&'static Product> {
    let known = PRODUCTS.iter().find(|product| product.devices.contains(&id.device));
    known.or_else(|| PRODUCTS.iter().find(|product| product.name == "H100-80GB"))
}

/// `1c.3g.20gb` → `3g.20gb`.
fn whole_name(profile: &str) -> Option<String> {
    profile.parse::<model::mig::ProfileName>().ok().map(|name| name.gpu_instance().to_string())
}

/// Slices of the compute instance that a profile names.
fn slices_of(profile: &str) -> Option<u32> {
    profile.parse::<model::mig::ProfileName>().ok().map(|name| name.compute)
}
