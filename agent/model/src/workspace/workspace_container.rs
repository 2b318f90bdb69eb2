//! The container of a workspace: all that Docker is asked for, typed, so that the hand can check it again before it composes the request.

use super::workspace_id::WorkspaceId;
use crate::image_ref::ImageRef;
use crate::nvidia_container::LABELS;
use crate::policy::Requester;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Prefix of the names of our containers and volumes; Docker wants two characters at least.
pub(super) const PREFIX: &str = "gpuhost-";

/// A container of a workspace.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceContainer {
    /// Of which workspace it is.
    pub workspace_id: WorkspaceId,
    /// Whose wish it is.
    pub requester: Requester,
    /// The generation of the specification, as the document has it.
    pub generation: u64,
    /// Digest of the specification: another one is another container.
    pub spec_digest: String,
    /// A GPU serves one security context at a time.
    pub security_context: Option<String>,
    /// The image, with its digest.
    pub image: ImageRef,
    /// Variables; those of NVIDIA's runtime are not among them.
    pub environment: BTreeMap<String, String>,
    /// Its name in its own network.
    pub hostname: Option<String>,
    /// Ports that are published.
    pub ports: Vec<PublishedPort>,
    /// What is mounted.
    pub mounts: Vec<WorkspaceMount>,
    /// Networks that it joins.
    pub networks: Vec<String>,
    /// How NVIDIA's GPUs get into it.
    pub way: GpuInjection,
    /// Parts of NVIDIA's driver that it is given; empty where it has no GPU of NVIDIA.
    pub capabilities: BTreeSet<String>,
    /// GPUs and MIG devices that it shares: UUIDs, PCI addresses where a GPU has none.
    pub gpus: Vec<String>,
    /// GPUs that it is given whole, by PCI address.
    pub vfio: Vec<String>,
    /// Device nodes.
    pub nodes: Vec<WorkspaceNode>,
    /// Groups that may open them, by number.
    pub groups: BTreeSet<u32>,
    /// Cores, in billionths.
    pub nano_cpus: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// `/dev/shm`, in bytes.
    pub shm_bytes: u64,
    /// An init process reaps what is left behind.
    pub init: bool,
    /// Its root file system cannot be written.
    pub read_only: bool,
}

/// How NVIDIA's GPUs get into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuInjection {
    /// By Docker itself, from CDI files: the devices of the request.
    Cdi {
        /// Their full names, `nvidia.com/gpu=GPU-…`.
        devices: Vec<String>,
    },
    /// By NVIDIA's runtime, from a variable.
    Runtime {
        /// The runtime's name in Docker.
        name: String,
        /// UUIDs.
        visible: Vec<String>,
    },
    /// There are none.
    None,
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// In the container.
    pub container: u16,
    /// Its protocol.
    pub protocol: PortProtocol,
    /// On the host; `None` = Docker chooses.
    pub host: Option<u16>,
    /// Address of the host.
    pub listen: IpAddr,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl PortProtocol {
    /// As Docker writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceMount {
    /// A volume of ours; else a folder of the host.
    pub is_volume: bool,
    /// Its name in Docker, or the path of the folder.
    pub source: String,
    /// Where it is in the container.
    pub target: String,
    /// It cannot be written.
    pub read_only: bool,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceNode {
    /// Its path on the host.
    pub on_host: String,
    /// Its path in the container.
    pub inside: String,
}

impl WorkspaceContainer {
    /// Label with the id: it makes a container one of ours.
    pub const ID_LABEL: &'static str = "org.gpuhost.Agent1.workspace";
    /// Label with the generation.
    pub const GENERATION_LABEL: &'static str = "org.gpuhost.Agent1.generation";
    /// Label with the digest of the specification.
    pub const SPEC_LABEL: &'static str = "org.gpuhost.Agent1.spec";
    /// Label with whose wish it is.
    pub const SOURCE_LABEL: &'static str = "org.gpuhost.Agent1.source";
    /// Label with the GPUs that it shares, with commas between.
    pub const GPUS_LABEL: &'static str = "org.gpuhost.Agent1.gpus";
    /// Label with the GPUs that it is given whole.
    pub const VFIO_LABEL: &'static str = "org.gpuhost.Agent1.vfio";
    /// Label with the security context.
    pub const CONTEXT_LABEL: &'static str = "org.gpuhost.Agent1.security-context";

    /// Label of each volume of ours, with the name of the volume: one that has it by chance, or from another volume, is not ours.
    pub const VOLUME_LABEL: &'static str = "org.gpuhost.Agent1.volume";

    /// The name of the container of a workspace.
    #[must_use]
    pub fn name_of(id: &WorkspaceId) -> String {
        format!("{PREFIX}{id}")
    }

    /// The name can be one of a volume of ours.
    #[must_use]
    pub fn is_volume_name(name: &str) -> bool {
        let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty() && rest.len() <= 128 && rest.chars().all(known))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        Self::name_of(&self.workspace_id)
    }

    /// Its labels. Everybody who can ask Docker reads them: none is a secret.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (Self::ID_LABEL.to_owned(), self.workspace_id.to_string()),
            (Self::GENERATION_LABEL.to_owned(), self.generation.to_string()),
            (Self::SPEC_LABEL.to_owned(), self.spec_digest.clone()),
            (Self::SOURCE_LABEL.to_owned(), source_code(self.requester).to_owned()),
        ]);
        // Empty ones too: an image's own label of that name would count otherwise.
        labels.insert(Self::GPUS_LABEL.to_owned(), self.gpus.join(","));
        labels.insert(Self::VFIO_LABEL.to_owned(), self.vfio.join(","));
        labels.insert(Self::CONTEXT_LABEL.to_owned(), self.security_context.clone().unwrap_or_default());
        debug_assert!(labels.keys().all(|name| name.starts_with(LABELS)), "all have the prefix of ours");
        labels
    }
}

/// As it is in the label.
#[must_use]
pub const fn source_code(requester: Requester) -> &'static str {
    match requester {
        Requester::Local => "local",
        Requester::Manager => "manager",
    }
}

/// Values of the environment are secrets.
impl fmt::Debug for WorkspaceContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceContainer")
            .field("workspace_id", &self.workspace_id)
            .field("image", &self.image)
            .field("spec_digest", &self.spec_digest)
            .field("gpus", &self.gpus)
            .field("vfio", &self.vfio)
            .finish_non_exhaustive()
    }
}
