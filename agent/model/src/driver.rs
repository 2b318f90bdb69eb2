//! What the NVIDIA driver reports about its GPUs, in one shape for NVML and for `nvidia-smi -q -x`.

use crate::absence::{Absence, Reading};
pub use crate::driver_source::DriverSource;
use crate::health::facts::HealthFacts;
use crate::ids::{GpuUuid, MigUuid, PciAddress, PciId};
use crate::metric::Metrics;
use crate::os_cause::OsCause;
use serde::{Deserialize, Serialize};

/// MIG mode of a GPU.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigMode {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

impl MigMode {
    /// As it is in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// Memory of a GPU or of a MIG device, in MiB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryMib {
    /// All of it.
    pub total: Reading<u64>,
    /// Kept by the driver (from 510 on).
    pub reserved: Reading<u64>,
    /// In use.
    pub used: Reading<u64>,
    /// Free.
    pub free: Reading<u64>,
}

/// A process that the driver names as a user of the GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Process id in the driver's own PID namespace.
    pub pid: u32,
    /// `C`, `G`, `C+G`, `M`.
    pub kind: Reading<String>,
    /// Command name as the driver has it.
    pub name: Reading<String>,
    /// GPU memory in MiB.
    pub memory_mib: Reading<u64>,
}

/// One MIG device (a compute instance in a GPU instance) as the driver lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverMig {
    /// Index in the driver's list: for printing, never an identity.
    pub index: Reading<u32>,
    /// GPU instance id.
    pub gpu_instance: u32,
    /// Compute instance id.
    pub compute_instance: u32,
    /// UUID (NVML only: no DTD has it).
    pub uuid: Reading<MigUuid>,
    /// Profile name, `1g.5gb` (NVML only).
    pub profile: Reading<String>,
    /// Memory of the slice.
    pub memory: MemoryMib,
    /// Streaming multiprocessors.
    pub sm: Reading<u32>,
    /// Copy engines.
    pub ce: Reading<u32>,
    /// Encoders.
    pub enc: Reading<u32>,
    /// Decoders.
    pub dec: Reading<u32>,
    /// JPEG engines.
    pub jpeg: Reading<u32>,
    /// Optical flow engines.
    pub ofa: Reading<u32>,
}

/// A MIG device of which the source knows everything but its place: from driver 470 on NVML's UUIDs do not hold the instance
/// ids, and its calls for them have no safe wrapper. Another source that lists the device at the same index fills it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplacedMig {
    /// Index in the driver's list of this GPU, the same for NVML and nvidia-smi.
    pub index: u32,
    /// UUID.
    pub uuid: Reading<MigUuid>,
    /// Profile name, `1g.5gb`.
    pub profile: Reading<String>,
    /// Memory of the slice in MiB.
    pub memory_total_mib: Reading<u64>,
}

/// One GPU as the driver describes it. Every field is optional; one bad field costs itself only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverGpu {
    /// PCI address: the key.
    pub address: PciAddress,
    /// PCI vendor and device.
    pub pci_id: Reading<PciId>,
    /// PCI subsystem vendor and device.
    pub subsystem: Reading<PciId>,
    /// UUID.
    pub uuid: Reading<GpuUuid>,
    /// Index in the driver's order: for printing, never an identity.
    pub index: Reading<u32>,
    /// Minor number of `/dev/nvidiaN`.
    pub minor: Reading<u32>,
    /// Board serial number.
    pub serial: Reading<String>,
    /// Product name.
    pub name: Reading<String>,
    /// `Tesla`, `GeForce`, `NVIDIA`, …
    pub brand: Reading<String>,
    /// `Ampere`, `Hopper`, …
    pub architecture: Reading<String>,
    /// CUDA compute capability, `9.0` (NVML only).
    pub compute_capability: Reading<(u32, u32)>,
    /// VBIOS version.
    pub vbios: Reading<String>,
    /// Persistence mode.
    pub persistence: Reading<bool>,
    /// Virtualization mode in the driver's words: `None`, `Pass-Through`, `VGPU`, `Host VGPU`, `Host VSGA`.
    pub virtualization: Reading<String>,
    /// `Non SR-IOV`, `SR-IOV`.
    pub host_vgpu_mode: Reading<String>,
    /// MIG mode now.
    pub mig_current: Reading<MigMode>,
    /// MIG mode after the next reset.
    pub mig_pending: Reading<MigMode>,
    /// MIG devices.
    pub mig_devices: Vec<DriverMig>,
    /// MIG devices without instance ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mig_unplaced: Vec<UnplacedMig>,
    /// Frame buffer memory of the card itself.
    pub memory: MemoryMib,
    /// What is measured of it.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// ECC mode now.
    pub ecc_enabled: Reading<bool>,
    /// What affects its health for as long as it holds.
    #[serde(flatten)]
    pub health_facts: HealthFacts,
    /// Processes on the GPU.
    pub processes: Reading<Vec<GpuProcess>>,
}

/// No value, for this reason.
fn none<T>(why: &Absence) -> Reading<T> {
    Reading::Absent(why.clone())
}

impl MemoryMib {
    /// Memory of which nothing is known, for this reason.
    #[must_use]
    pub fn absent(why: &Absence) -> Self {
        Self { total: none(why), reserved: none(why), used: none(why), free: none(why) }
    }
}

impl DriverGpu {
    /// A GPU of which nothing but the address is known.
    #[must_use]
    pub fn unknown(address: PciAddress) -> Self {
        Self::absent(address, &Absence::NotReported)
    }

    /// A GPU of which nothing but the address is known, for this reason.
    #[must_use]
    pub fn absent(address: PciAddress, why: &Absence) -> Self {
        Self {
            address,
            pci_id: none(why),
            subsystem: none(why),
            uuid: none(why),
            index: none(why),
            minor: none(why),
            serial: none(why),
            name: none(why),
            brand: none(why),
            architecture: none(why),
            compute_capability: none(why),
            vbios: none(why),
            persistence: none(why),
            virtualization: none(why),
            host_vgpu_mode: none(why),
            mig_current: none(why),
            mig_pending: none(why),
            mig_devices: Vec::new(),
            mig_unplaced: Vec::new(),
            memory: MemoryMib::absent(why),
            metrics: Metrics::absent(why),
            ecc_enabled: none(why),
            health_facts: HealthFacts::absent(why),
            processes: none(why),
        }
    }
}

/// Everything one source reported at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverReport {
    /// Who reported it.
    pub source: DriverSource,
    /// Version of the kernel driver, `580.105.08`.
    pub driver_version: Reading<String>,
    /// Highest CUDA version that the driver serves.
    pub cuda_version: Reading<String>,
    /// GPUs in the order of the source. A GPU whose address is unusable is in `problems` instead.
    pub gpus: Vec<DriverGpu>,
    /// GPUs for which the source did not answer while it answered for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<SilentGpu>,
    /// What was wrong with the source, one sentence each: duplicate UUIDs, GPUs without an address, text around the XML.
    pub problems: Vec<String>,
}

impl DriverReport {
    /// A report of this source that has nothing in it: no GPU, no version, no problem.
    #[must_use]
    pub fn unknown(source: DriverSource) -> Self {
        Self {
            source,
            driver_version: Reading::default(),
            cuda_version: Reading::default(),
            gpus: Vec::new(),
            silent: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// A GPU for which a source did not answer, while it answered for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilentGpu {
    /// Where it is.
    pub address: PciAddress,
    /// The reason beside each of its missing values. [`Absence::NotProbed`]: the other GPUs used all the time.
    pub why: Absence,
    /// What the source reported, or how long it was waited for: a sentence that names the GPU.
    pub said: String,
}

/// Why a source could not be asked or gave no report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ProbeError {
    /// It has not been asked yet: the daemon has just started.
    #[error("{what} has not been queried yet")]
    NotAsked {
        /// Who will be asked.
        what: String,
    },
    /// The library, program or container is not there.
    #[error("{what} was not found: {said}")]
    Absent {
        /// What was looked for, with the places.
        what: String,
        /// What the host answered.
        said: String,
    },
    /// It did not answer in its time and was ended.
    #[error("{what} did not answer within {after_ms} ms")]
    Timeout {
        /// Who was asked.
        what: String,
        /// Deadline in milliseconds.
        after_ms: u64,
    },
    /// A child of an earlier probe hangs in the kernel (D state) and cannot be ended; no second one is started.
    #[error(
        "{what} has been hanging in the kernel since an earlier probe, as process {pid}; it is not queried again until that \
         process exits"
    )]
    Stuck {
        /// Who was asked.
        what: String,
        /// The child.
        pid: u32,
    },
    /// It ended with an error.
    #[error("{what} exited with status {status}: {said}")]
    Failed {
        /// Who was asked.
        what: String,
        /// Exit status, or the NVML return code.
        status: i32,
        /// What it reported, at most 400 characters.
        said: String,
    },
    /// It was killed by a signal (a crash in the driver's library).
    #[error("{what} crashed with signal {signal}")]
    Crashed {
        /// Who was asked.
        what: String,
        /// Signal number.
        signal: i32,
    },
    /// Its answer could not be understood.
    #[error("the answer of {what} cannot be parsed: {why}")]
    Garbled {
        /// Who was asked.
        what: String,
        /// Where and why.
        why: String,
    },
    /// The process that would ask (a hand) is not reachable.
    #[error("{what} is unreachable: {cause}")]
    HandUnavailable {
        /// Which hand.
        what: String,
        /// What was tried and what came.
        #[serde(flatten)]
        cause: OsCause,
    },
}

impl ProbeError {
    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAsked { .. } => "not_asked",
            Self::Absent { .. } => "absent",
            Self::Timeout { .. } => "timeout",
            Self::Stuck { .. } => "stuck",
            Self::Failed { .. } => "failed",
            Self::Crashed { .. } => "crashed",
            Self::Garbled { .. } => "garbled",
            Self::HandUnavailable { .. } => "hand_unavailable",
        }
    }
}
