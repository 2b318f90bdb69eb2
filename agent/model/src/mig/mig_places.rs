//! Where the GPU instances of a GPU are, kept from one close look until the driver lists other MIG devices.
//!
//! The samples of the driver (NVML without the MIG configuration, nvidia-smi) list MIG devices by their ids, and an id does not tell
//! the place: only a look by the MIG hand shows it.

use super::layout::Instance;
use super::mig_state::{MigComputeInstance, MigGpuInstance, MigOnGpu};
use crate::driver::{DriverGpu, DriverMig, MigMode};
use crate::ids::MigUuid;
use crate::stack::DriverLoad;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A GPU instance at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedMig {
    /// Its id.
    pub gpu_instance: u32,
    /// Its profile and first memory slot.
    pub instance: Instance,
    /// Number of memory slots.
    pub size: u32,
    /// gpuhostd created it.
    pub is_ours: bool,
}

/// The MIG devices of a GPU, as a sample of the driver and a look at MIG both have them: places that a look has shown hold as long as
/// samples agree with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigListed {
    /// The mode is on.
    is_on: bool,
    /// The UUID of each, where it is known, by GPU instance and compute instance.
    devices: BTreeMap<(u32, u32), Option<MigUuid>>,
    /// Which load of the driver it is, where that is known.
    load: Option<DriverLoad>,
}

impl MigListed {
    /// What a sample lists; `None` = it does not report the mode, or not which instance each device is.
    #[must_use]
    pub fn in_sample(driver: &DriverGpu, load: Option<DriverLoad>) -> Option<Self> {
        let is_on = driver.mig_current.get()? == MigMode::Enabled;
        let device = |it: &DriverMig| ((it.gpu_instance, it.compute_instance), it.uuid.known().cloned());
        let devices = driver.mig_devices.iter().map(device).collect();
        driver.mig_unplaced.is_empty().then_some(Self { is_on, devices, load })
    }

    /// What a look lists.
    #[must_use]
    pub fn in_look(seen: &MigOnGpu) -> Self {
        let within = |one: &MigGpuInstance| {
            let id = one.id;
            let device = move |it: &MigComputeInstance| ((id, it.id), it.uuid.known().cloned());
            one.compute.iter().map(device).collect::<Vec<_>>()
        };
        let devices = seen.instances.iter().flat_map(within).collect();
        Self { is_on: seen.current.get() == Some(MigMode::Enabled), devices, load: seen.driver_load }
    }

    /// MIG devices are listed.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Nothing that both know is another thing.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let same_uuid = |(id, uuid): (&(u32, u32), &Option<MigUuid>)| {
            let other = other.devices.get(id).map(Option::as_ref);
            other.is_some_and(|other| other.zip(uuid.as_ref()).is_none_or(|(one, other)| one == other))
        };
        let same_load = self.load.zip(other.load).is_none_or(|(one, other)| one == other);
        let same_devices = self.devices.len() == other.devices.len() && self.devices.iter().all(same_uuid);
        self.is_on == other.is_on && same_load && same_devices
    }
}

/// The places that a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigPlaced {
    listed: MigListed,
    placed: Vec<PlacedMig>,
}

impl MigPlaced {
    /// The places in a look. Nothing is ours yet.
    #[must_use]
    pub fn in_look(seen: &MigOnGpu) -> Self {
        let place = |one: &MigGpuInstance| PlacedMig {
            gpu_instance: one.id,
            instance: one.instance(),
            size: one.size,
            is_ours: false,
        };
        Self { listed: MigListed::in_look(seen), placed: seen.instances.iter().map(place).collect() }
    }

    /// They still hold where the driver lists this.
    #[must_use]
    pub fn hold_for(&self, listed: &MigListed) -> bool {
        self.listed.agrees_with(listed)
    }

    /// The places, with those that are ours.
    #[must_use]
    pub fn owned(&self, owned: &[Instance]) -> Vec<PlacedMig> {
        let own = |one: &PlacedMig| PlacedMig { is_ours: owned.contains(&one.instance), ..one.clone() };
        self.placed.iter().map(own).collect()
    }
}
