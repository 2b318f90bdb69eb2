//! When a driver container's driver can be used: module, daemons, mounted root, an answer of the driver, and the fabric where there is one.

use super::driver_host_facts::DriverHostFacts;
use super::mounts::RunNvidiaMounts;
use crate::driver::DriverReport;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a start may take, from the container's start to a ready driver: the GPU operator allows its driver pod a probe every 10 s,
/// 120 times (`getDefaultStartupProbe`). A build on a small machine takes ten minutes.
pub const READY_WITHIN: Duration = Duration::from_secs(20 * 60);

/// The fabric as one GPU reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FabricOfGpu {
    /// The GPU.
    pub gpu: PciAddress,
    /// `Completed`, `In Progress`, `Not Started`.
    pub state: String,
    /// How the registration ended, where the driver reports it: `Success`.
    pub status: Option<String>,
}

/// What the driver answered after this start of the container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DriverAnswer {
    /// Its version.
    pub version: Option<String>,
    /// GPUs that it has.
    pub gpus: usize,
    /// The fabric, of each GPU that reports one.
    pub fabric: Vec<FabricOfGpu>,
}

impl DriverAnswer {
    /// What matters of a report of NVML or nvidia-smi.
    #[must_use]
    pub fn of(report: &DriverReport) -> Self {
        let fabric = report.gpus.iter().filter_map(|gpu| {
            let state = gpu.health_facts.fabric_state.known()?.clone();
            Some(FabricOfGpu { gpu: gpu.address, state, status: gpu.health_facts.fabric_status.known().cloned() })
        });
        let version = report.driver_version.known().cloned();
        Self { version, gpus: report.gpus.len(), fabric: fabric.collect() }
    }
}

/// What a driver still lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::IntoStaticStr)]
#[serde(tag = "lacks", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NotReady {
    /// `/sys/module/nvidia/refcnt` is not there.
    #[error(
        "the module nvidia is not loaded: the driver container is still building or loading it (its log shows the step)"
    )]
    Module,
    /// The container reports that its daemons have not started.
    #[error(
        "the driver container reports its daemons as `{status}` (/run/nvidia/validations/.driver-daemons-status): nvidia-persistenced, or the \
         fabric manager where there are NVSwitches, has not started"
    )]
    Daemons {
        /// What the file holds.
        status: String,
    },
    /// Its root file system is not mounted, so that no other container would find the libraries.
    #[error(
        "the driver's root is not mounted at /run/nvidia/driver: that is the last step of the driver container's start"
    )]
    Root,
    /// Nobody answers.
    #[error("the driver does not answer: {why}")]
    Answer {
        /// What was reported.
        why: String,
    },
    /// It answers and has no GPU.
    #[error("the driver answers, and has no GPU: `journalctl -k -g NVRM` shows why it left them alone")]
    NoGpu,
    /// Module and libraries differ.
    #[error(
        "the loaded module is version {module} and the driver answers as version {answered}: an earlier driver is still in use"
    )]
    Version {
        /// Version of the module.
        module: String,
        /// What the driver answered.
        answered: String,
    },
    /// A GPU is not registered with the fabric: CUDA fails with error 802 until it is.
    #[error(
        "{gpu} reports the state of its NVLink fabric as `{state}`{}: the fabric manager in the driver container registers it \
         (/var/log/fabricmanager.log), and CUDA fails with error 802 until it has",
        status.as_ref().map_or(String::new(), |status| format!(" ({status})"))
    )]
    Fabric {
        /// The GPU.
        gpu: PciAddress,
        /// Its state.
        state: String,
        /// How the registration ended.
        status: Option<String>,
    },
}

impl NotReady {
    /// What is lacking, snake_case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// Whether the driver can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "readiness", rename_all = "snake_case")]
pub enum DriverReadiness {
    /// It can; the fabric as the GPUs report it, where there are NVSwitches.
    Ready {
        /// The version that answered.
        version: Option<String>,
        /// Empty where there is no NVSwitch.
        fabric: Vec<FabricOfGpu>,
    },
    /// It cannot yet.
    NotYet {
        /// What it lacks: the first thing, in the order in which a start gets them.
        lacks: NotReady,
    },
}

/// Judges a driver after a start of its container. `answer` is what NVML or nvidia-smi reported after that start, or why they did not.
///
/// The status of the daemons is written by images from 2026-08 on; older ones do not have the file. For them the mounted root is the
/// sign, since it is mounted after the daemons have started. It is required of newer ones too: they report `Ready` before it is.
#[must_use]
pub fn driver_readiness(facts: &DriverHostFacts, answer: Result<&DriverAnswer, &str>) -> DriverReadiness {
    match lacks(facts, answer) {
        Err(lacks) => DriverReadiness::NotYet { lacks },
        Ok(answer) => {
            let fabric = if facts.nvswitches.is_empty() { Vec::new() } else { answer.fabric.clone() };
            DriverReadiness::Ready { version: answer.version.clone(), fabric }
        }
    }
}

fn lacks<'a>(facts: &DriverHostFacts, answer: Result<&'a DriverAnswer, &str>) -> Result<&'a DriverAnswer, NotReady> {
    if facts.module_references.known().is_none() {
        return Err(NotReady::Module);
    }
    if let Some(status) = facts.daemons_status.known().filter(|status| *status != "Ready") {
        return Err(NotReady::Daemons { status: status.clone() });
    }
    if facts.mounts.known().is_some_and(|mounts: &RunNvidiaMounts| !mounts.has_driver_root()) {
        return Err(NotReady::Root);
    }
    let answer = answer.map_err(|why| NotReady::Answer { why: why.to_owned() })?;
    if answer.gpus == 0 {
        return Err(NotReady::NoGpu);
    }
    if let (Some(module), Some(answered)) = (facts.module_version.known(), &answer.version)
        && module != answered
    {
        return Err(NotReady::Version { module: module.clone(), answered: answered.clone() });
    }
    let broken = answer.fabric.iter().find(|fabric| !is_complete(fabric)).filter(|_| !facts.nvswitches.is_empty());
    match broken {
        Some(FabricOfGpu { gpu, state, status }) => {
            Err(NotReady::Fabric { gpu: *gpu, state: state.clone(), status: status.clone() })
        }
        None => Ok(answer),
    }
}

fn is_complete(fabric: &FabricOfGpu) -> bool {
    fabric.state == "Completed" && fabric.status.as_deref().is_none_or(|status| status == "Success")
}
