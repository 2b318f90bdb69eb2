//! MIG of a GPU, as a description has it.

use model::MigUuid;
use model::driver::MigMode;
use serde::{Deserialize, Serialize};

/// How a GPU is cut up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigDescription {
    /// Mode now.
    pub current: MigMode,
    /// Mode after the next reset.
    pub pending: MigMode,
    /// Instances.
    #[serde(default)]
    pub instances: Vec<MigInstance>,
}

/// One MIG device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigInstance {
    /// GPU instance id.
    pub gpu_instance: u32,
    /// Compute instance id.
    pub compute_instance: u32,
    /// `1g.5gb`.
    pub profile: String,
    /// First memory slot of the GPU instance; one that leaves room for the others where nothing is set.
    #[serde(default)]
    pub start: Option<u32>,
    /// UUID; one made of address and ids where nothing is set.
    #[serde(default)]
    pub uuid: Option<MigUuid>,
    /// Memory of the slice in MiB.
    pub memory_mib: u64,
    /// In use of it in MiB.
    #[serde(default)]
    pub used_mib: u64,
    /// Streaming multiprocessors.
    pub sm: u32,
    /// Copy engines.
    pub ce: u32,
    /// Encoders.
    #[serde(default)]
    pub enc: u32,
    /// Decoders.
    #[serde(default)]
    pub dec: u32,
    /// JPEG engines.
    #[serde(default)]
    pub jpeg: u32,
    /// Optical flow engines.
    #[serde(default)]
    pub ofa: u32,
    /// Processes on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<u32>,
    /// The driver calls it in use, and no process is to be found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_haunted: bool,
}
