//! MIG of all GPUs of a simulated host, as processes that load the simulated library share it.

use crate::bus::Bus;
use crate::description::Description;
use crate::mig::SimMig;
use model::PciAddress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the file beside the description, or of the one that `GPUHOSTD_SIM_MIG_STATE` names instead.
pub const MIG_STATE_FILE: &str = "mig-state.json";

/// MIG of each GPU that can do it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MigOnHost {
    /// By the GPU's address.
    pub gpus: BTreeMap<PciAddress, SimMig>,
}

impl MigOnHost {
    /// As a description has it.
    #[must_use]
    pub fn of(description: &Description, bus: &Bus) -> Self {
        let each = description.gpus.iter().filter_map(|gpu| {
            let id = bus.functions.get(&gpu.address)?.id;
            let model = description.models.get(&gpu.model)?;
            let can_do_it = model.product.as_ref().is_some_and(|product| product.mig);
            Some((gpu.address, SimMig::of(id, gpu, can_do_it)?))
        });
        Self { gpus: each.collect() }
    }

    /// Puts it in the place of what the description has, so that the driver's reports are made from it.
    pub fn overlay(&self, description: &mut Description) {
        for gpu in &mut description.gpus {
            if let Some(mig) = self.gpus.get(&gpu.address) {
                gpu.mig = Some(mig.describe());
            }
        }
    }
}
