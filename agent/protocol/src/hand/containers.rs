//! The verbs of the containers hand: what Docker knows, the driver that runs in a container, NVIDIA's containers, and workspaces.

use super::{ContainersHand, Verb, VerbDeadline, VerbKind};
use model::container_claims::ContainerClaims;
use model::daemon_json::RuntimeName;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::{NvidiaDeed, NvidiaLook, NvidiaRole, ToolkitProbe, ToolkitWay};
use model::ports::ActError;
use model::registry_login::RegistryLoginsSeen;
use model::time::UnixMillis;
use model::workspace_life::{StoredImage, WorkspaceDeed, WorkspaceLook};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Asks Docker: `GET /version` and `GET /info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadDockerFacts {}

impl Verb for ReadDockerFacts {
    type Hand = ContainersHand;
    type Reply = Result<DockerFacts, ProbeError>;
    const NAME: &'static str = "read_docker_facts";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "Docker".to_owned()
    }
}

/// Asks the nvidia-smi of the driver container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeDriverContainer {}

impl Verb for ProbeDriverContainer {
    type Hand = ContainersHand;
    type Reply = Result<DriverReport, ProbeError>;
    const NAME: &'static str = "probe_driver_container";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::ProbeTimeoutAnd(Duration::from_secs(10));

    fn attempted(&self) -> String {
        DriverSource::SmiInDriverContainer.code().to_owned()
    }
}

/// Lists what containers, running or stopped, have mapped that can be a MIG instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindMigContainers {}

impl Verb for FindMigContainers {
    type Hand = ContainersHand;
    type Reply = Result<Vec<ContainerClaims>, ProbeError>;
    const NAME: &'static str = "find_mig_containers";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        "list the containers that map MIG instances".to_owned()
    }
}

/// Lists the containers, running or stopped, that are created with a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindRuntimeUsers {
    /// Which one.
    pub runtime: RuntimeName,
}

impl Verb for FindRuntimeUsers {
    type Hand = ContainersHand;
    /// Their names.
    type Reply = Result<Vec<String>, ProbeError>;
    const NAME: &'static str = "find_runtime_users";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        format!("list the containers with the runtime {}", self.runtime)
    }
}

/// Looks at the containers of one of NVIDIA's roles, and at an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectNvidiaContainers {
    /// Which role.
    pub role: NvidiaRole,
    /// The image that is wanted for it; without one the look reports it as absent.
    pub image: Option<ImageRef>,
}

impl Verb for InspectNvidiaContainers {
    type Hand = ContainersHand;
    type Reply = Result<NvidiaLook, ProbeError>;
    const NAME: &'static str = "inspect_nvidia_containers";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        format!("look at the {} container", self.role)
    }
}

/// Does one thing to one of NVIDIA's containers. The hand checks it again: its own policy allows the image, and the container is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyNvidiaDeed {
    /// What is to be done.
    pub deed: NvidiaDeed,
}

impl Verb for ApplyNvidiaDeed {
    type Hand = ContainersHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_nvidia_deed";
    const KIND: VerbKind = VerbKind::Write;
    /// [`model::nvidia_container::NvidiaSpec::STOP_WITHIN_S`] for a container to end, and a minute for Docker.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(180));

    fn attempted(&self) -> String {
        self.deed.to_string()
    }
}

/// Reads the last lines that one of NVIDIA's containers has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadNvidiaLog {
    /// Of which role it has to be.
    pub role: NvidiaRole,
    /// Which one.
    pub id: ContainerId,
}

impl Verb for ReadNvidiaLog {
    type Hand = ContainersHand;
    /// Oldest first, printable, without secrets.
    type Reply = Result<Vec<String>, ProbeError>;
    const NAME: &'static str = "read_nvidia_log";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        format!("read the log of the {} container {}", self.role, self.id.short())
    }
}

/// Starts one short container from the toolkit's image in the way of a workspace, looks whether it has a device, and removes it. The
/// hand checks it again: its own policy allows the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeToolkit {
    /// The toolkit's image.
    pub image: ImageRef,
    /// Which way.
    pub way: ToolkitWay,
}

impl Verb for ProbeToolkit {
    type Hand = ContainersHand;
    type Reply = Result<ToolkitProbe, ProbeError>;
    const NAME: &'static str = "probe_toolkit";
    const KIND: VerbKind = VerbKind::Write;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(90));

    fn attempted(&self) -> String {
        "start a container with a GPU".to_owned()
    }
}

/// Looks at the containers of all workspaces, and at images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectWorkspaces {
    /// The images that are wanted for them.
    pub images: Vec<ImageRef>,
}

impl Verb for InspectWorkspaces {
    type Hand = ContainersHand;
    type Reply = Result<WorkspaceLook, ProbeError>;
    const NAME: &'static str = "inspect_workspaces";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(45));

    fn attempted(&self) -> String {
        "look at the containers of workspaces".to_owned()
    }
}

/// Does one thing to the container of a workspace. The hand checks it again: its own policy allows the container, and what it is done to
/// is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyWorkspaceDeed {
    /// What is to be done.
    pub deed: WorkspaceDeed,
}

impl Verb for ApplyWorkspaceDeed {
    type Hand = ContainersHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_workspace_deed";
    const KIND: VerbKind = VerbKind::Write;
    /// [`WorkspaceDeed::GRACE_MOST_S`] for a container to end, and a minute for Docker.
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(180));

    fn attempted(&self) -> String {
        self.deed.to_string()
    }
}

/// Waits until something of the workspaces' containers, of Docker's images or of Docker itself has changed; a minute at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitWorkspaceEvent {
    /// What happened before this instant is known.
    pub since: UnixMillis,
}

impl Verb for AwaitWorkspaceEvent {
    type Hand = ContainersHand;
    /// It may have come to nothing: the caller looks again.
    type Reply = Result<(), ProbeError>;
    const NAME: &'static str = "await_workspace_event";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(75));

    fn attempted(&self) -> String {
        "wait for an event of Docker".to_owned()
    }
}

/// Lists the images that Docker has, with the containers that are created from each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListStoredImages {}

impl Verb for ListStoredImages {
    type Hand = ContainersHand;
    type Reply = Result<Vec<StoredImage>, ProbeError>;
    const NAME: &'static str = "list_stored_images";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(45));

    fn attempted(&self) -> String {
        "list the images of Docker".to_owned()
    }
}

/// Removes an image by its id, never by force. The hand checks it again: no container is created from it, it has no tag, and its registry
/// is one that the policy lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveStoredImage {
    /// Its id in this Docker.
    pub id: ImageDigest,
}

impl Verb for RemoveStoredImage {
    type Hand = ContainersHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "remove_stored_image";
    const KIND: VerbKind = VerbKind::Write;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(180));

    fn attempted(&self) -> String {
        format!("remove the image {}", self.id)
    }
}

/// Looks for which registries this host has a login, and what is wrong with the file that has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadRegistryLogins {}

impl Verb for ReadRegistryLogins {
    type Hand = ContainersHand;
    /// Without any secret.
    type Reply = Result<RegistryLoginsSeen, ProbeError>;
    const NAME: &'static str = "read_registry_logins";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(10));

    fn attempted(&self) -> String {
        "look at the logins to registries".to_owned()
    }
}
