//! The verbs of the host hand: probes of the driver, close looks, and the only one that writes.

use super::{HostHand, Verb, VerbDeadline, VerbKind};
use model::cdi::{CdiLook, CdiReader, CdiStep};
use model::daemon_json::RuntimeEntry;
use model::device_links::DeviceNumber;
use model::docker_config::{DockerConfigLook, DockerConfigStep};
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::driver_host::{DriverHostFacts, DriverHostStep};
use model::driver_libraries::DriverLibraries;
use model::ids::ContainerId;
use model::plan::{GroupState, Scope, Step};
use model::ports::ActError;
use model::workspace_life::{ContainerUse, ContainerUseAsked, DeviceVerdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the hand has on top of a probe's own time: to end a child that hangs, gently first, and to say so.
const PROBE_DEADLINE: VerbDeadline = VerbDeadline::ProbeTimeoutAnd(Duration::from_secs(10));

/// Asks NVML, in disposable processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeNvml {}

impl Verb for ProbeNvml {
    type Hand = HostHand;
    type Reply = Result<DriverReport, ProbeError>;
    const NAME: &'static str = "probe_nvml";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = PROBE_DEADLINE;

    fn attempted(&self) -> String {
        DriverSource::Nvml.code().to_owned()
    }
}

/// Asks the nvidia-smi of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSmi {}

impl Verb for ProbeSmi {
    type Hand = HostHand;
    type Reply = Result<DriverReport, ProbeError>;
    const NAME: &'static str = "probe_smi";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = PROBE_DEADLINE;

    fn attempted(&self) -> String {
        DriverSource::Smi.code().to_owned()
    }
}

/// Looks closely at the functions of a scope, in a child that is given up where the kernel does not respond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectScope {
    /// What is looked at.
    pub scope: Scope,
}

impl Verb for InspectScope {
    type Hand = HostHand;
    type Reply = Result<GroupState, ActError>;
    const NAME: &'static str = "inspect_scope";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(30));

    fn attempted(&self) -> String {
        format!("look at {}", self.scope.gpu)
    }
}

/// Takes one step of a change. The hand checks it again: the step stays in the scope, and its own policy allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyStep {
    /// What may be touched.
    pub scope: Scope,
    /// What is to be done.
    pub step: Step,
}

impl Verb for ApplyStep {
    type Hand = HostHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_step";
    const KIND: VerbKind = VerbKind::Write;
    /// The hand's own deadline, and what it has to end a writer that hangs.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(30));

    fn attempted(&self) -> String {
        self.step.to_string()
    }
}

/// Finds the configuration file of the Docker that runs, and looks what it reports about a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectDockerConfig {
    /// The runtime that is wanted, or is to be taken out.
    pub entry: RuntimeEntry,
    /// Version of the engine: not every one reads a byte order mark.
    pub docker_version: Option<String>,
}

impl Verb for InspectDockerConfig {
    type Hand = HostHand;
    type Reply = Result<DockerConfigLook, ActError>;
    const NAME: &'static str = "inspect_docker_config";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "look at Docker's configuration".to_owned()
    }
}

/// Changes Docker's configuration, or has it read again. The hand checks it again: its own policy allows it, and the file is the one
/// that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyDockerConfigStep {
    /// What is to be done.
    pub step: DockerConfigStep,
    /// Version of the engine.
    pub docker_version: Option<String>,
}

impl Verb for ApplyDockerConfigStep {
    type Hand = HostHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_docker_config_step";
    const KIND: VerbKind = VerbKind::Write;
    /// A restart of Docker that fails is two, with the file edited between them.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(240));

    fn attempted(&self) -> String {
        self.step.to_string()
    }
}

/// Looks at the CDI specifications in an engine's directories and at the links of NVIDIA's device numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectCdi {
    /// Whose directories.
    pub reader: CdiReader,
}

impl Verb for InspectCdi {
    type Hand = HostHand;
    type Reply = Result<CdiLook, ActError>;
    const NAME: &'static str = "inspect_cdi";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(10));

    fn attempted(&self) -> String {
        "look at the CDI specifications".to_owned()
    }
}

/// Generates or removes our own CDI specification, or links device files. The hand checks it again: its own policy allows it, and what
/// was generated fits the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyCdiStep {
    /// What is to be done.
    pub step: CdiStep,
}

impl Verb for ApplyCdiStep {
    type Hand = HostHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_cdi_step";
    const KIND: VerbKind = VerbKind::Write;
    /// A minute for the generator, which initialises each GPU, and what the hand has to end it and to write.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(90));

    fn attempted(&self) -> String {
        self.step.to_string()
    }
}

/// Asks the programs that the toolkit container has installed for their version, each in a child with a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeToolkitPrograms {}

impl Verb for ProbeToolkitPrograms {
    type Hand = HostHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "probe_toolkit_programs";
    const KIND: VerbKind = VerbKind::Probe;
    /// Two programs with five seconds each, and what the hand has to end one that hangs.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        "run the installed toolkit".to_owned()
    }
}

/// Looks which driver's libraries processes have mounted. It shows names of files alone, and of NVIDIA's libraries alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectDriverLibraries {
    /// The processes.
    pub pids: Vec<u32>,
}

impl InspectDriverLibraries {
    /// So many processes are looked at in one call.
    pub const PROCESSES_MOST: usize = 4096;
}

impl Verb for InspectDriverLibraries {
    type Hand = HostHand;
    type Reply = Result<Vec<DriverLibraries>, ActError>;
    const NAME: &'static str = "inspect_driver_libraries";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "look at the libraries of running containers".to_owned()
    }
}

/// Reads the network counters of running containers from `/proc`, and in which of them processes that use a GPU are. No namespace is
/// entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadContainerUse {
    /// What is asked about.
    pub asked: ContainerUseAsked,
}

impl ReadContainerUse {
    /// So many containers, and so many processes, are looked at in one call.
    pub const EACH_MOST: usize = 4096;
}

impl Verb for ReadContainerUse {
    type Hand = HostHand;
    type Reply = Result<ContainerUse, ActError>;
    const NAME: &'static str = "read_container_use";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "read the network counters of running containers".to_owned()
    }
}

/// Looks at the host that a driver container runs on: what speaks against it, what earlier ones have left, and what is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectDriverHost {
    /// Docker's root folder, where it is known: the space of its file system is measured.
    pub docker_root: Option<String>,
}

impl Verb for InspectDriverHost {
    type Hand = HostHand;
    type Reply = Result<DriverHostFacts, ActError>;
    const NAME: &'static str = "inspect_driver_host";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        "look at the host of the driver container".to_owned()
    }
}

/// Changes the host of a driver container: one mount at or below `/run/nvidia`, or the driver's readiness files. The hand checks it
/// again, against what it sees itself and its own policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyDriverHostStep {
    /// What is to be done.
    pub step: DriverHostStep,
}

impl Verb for ApplyDriverHostStep {
    type Hand = HostHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_driver_host_step";
    const KIND: VerbKind = VerbKind::Write;
    /// Two looks, and what PID 1 is asked between them.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(60));

    fn attempted(&self) -> String {
        self.step.to_string()
    }
}

/// Looks whether the control group of a container lets it open devices, by a child that is in it for that moment. No device is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeContainerDevices {
    /// The container.
    pub container: ContainerId,
    /// A process that has to be in it.
    pub pid: u32,
    /// Which devices.
    pub devices: Vec<DeviceNumber>,
}

impl Verb for ProbeContainerDevices {
    type Hand = HostHand;
    type Reply = Result<Vec<DeviceVerdict>, ActError>;
    const NAME: &'static str = "probe_container_devices";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        format!("look which devices container {} may open", self.container.short())
    }
}

/// Asks the installed NVIDIA container toolkit for its version; none where it is not installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadToolkitVersion {}

impl Verb for ReadToolkitVersion {
    type Hand = HostHand;
    type Reply = Result<Option<String>, ActError>;
    const NAME: &'static str = "read_toolkit_version";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "ask the NVIDIA container toolkit for its version".to_owned()
    }
}
