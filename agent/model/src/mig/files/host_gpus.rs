//! The GPUs of a host as files speak of them: what each is, its MIG mode, and its instances.

use super::DeviceId;
use crate::ids::{GpuUuid, PciAddress};
use crate::mig::layout::Present;
use crate::mig::profile::ProfileName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// MIG mode of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedMigMode {
    /// The GPU cannot do MIG.
    Unsupported,
    /// Off.
    Off,
    /// On.
    On,
}

/// A GPU that NVML answers for. A host's list of them is in the order of their addresses: an index counts in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostGpu {
    /// Where it is.
    pub address: PciAddress,
    /// Its UUID, where it is known.
    pub uuid: Option<GpuUuid>,
    /// What it is.
    pub id: DeviceId,
    /// Its MIG mode now.
    pub mode: RecordedMigMode,
    /// The mode after its next reset, where that is another one.
    pub pending: Option<bool>,
    /// Its GPU instances.
    pub instances: Vec<Present>,
}

impl HostGpu {
    /// True where it can do MIG.
    #[must_use]
    pub const fn is_capable(&self) -> bool {
        !matches!(self.mode, RecordedMigMode::Unsupported)
    }
}

/// Name and place of each MIG device: of each compute instance in each GPU instance, counted.
pub(super) fn devices(instances: &[Present]) -> BTreeMap<(String, u32), u64> {
    let mut devices = BTreeMap::new();
    for present in instances {
        for compute in &present.compute {
            let name = device_name(&present.instance.profile, compute.slices);
            *devices.entry((name, present.instance.start)).or_insert(0) += 1;
        }
    }
    devices
}

/// The name of a compute instance; a profile whose name has a form of tomorrow keeps it.
pub(super) fn device_name(profile: &str, slices: u32) -> String {
    match profile.parse::<ProfileName>() {
        Ok(name) => ProfileName { compute: slices, ..name }.canonical(),
        Err(_) => profile.to_owned(),
    }
}
