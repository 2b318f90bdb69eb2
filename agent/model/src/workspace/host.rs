//! A host as it is described to the planner: Docker, resources, GPUs, what runs, and what its owner allows.

use crate::policy::{HostPolicy, Policy};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The host.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct DescribedHost {
    /// What Docker reports about itself.
    pub docker: DescribedDocker,
    /// Cores of the machine.
    pub cores: u32,
    /// Memory of the machine, in bytes.
    pub memory: u64,
    /// Group ids of devices that are not a GPU's, by name: `kvm`, `tun`; on WSL `dxg`, `card0` and `renderD128`.
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
    /// Names of devices in the CDI files that are fresh.
    #[serde(default)]
    pub cdi_devices: Vec<String>,
    /// It is a Windows Subsystem for Linux.
    #[serde(default)]
    pub wsl: bool,
    /// Version of the NVIDIA container toolkit, where it is known.
    #[serde(default)]
    pub toolkit: Option<String>,
    /// Its GPUs.
    #[serde(default)]
    pub gpus: Vec<DescribedGpu>,
    /// Workspaces that have a container.
    #[serde(default)]
    pub running: Vec<RunningWorkspace>,
    /// Workspaces whose container does not run.
    #[serde(default)]
    pub stopped: Vec<RunningWorkspace>,
    /// What the owner allows.
    #[serde(default)]
    pub policy: DescribedPolicy,
}

/// Docker, as `GET /info` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct DescribedDocker {
    /// Folders of CDI files; none where CDI is off.
    #[serde(default)]
    pub cdi_spec_dirs: Vec<String>,
    /// Names of the runtimes.
    #[serde(default)]
    pub runtimes: Vec<String>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DescribedGpu {
    /// Its UUID; NVIDIA's driver gives one.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Its PCI address.
    pub bdf: String,
    /// Device and vendor, `0x20B010DE`.
    #[serde(default)]
    pub pci_id: Option<String>,
    /// `nvidia`, `amd`, `intel`.
    pub vendor: String,
    /// What it can be used for.
    #[serde(default)]
    pub features: Vec<String>,
    /// Its memory, in MiB.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// `ok`, `degraded`, `unknown` or `failed`.
    #[serde(default)]
    pub health: Option<String>,
    /// Its nodes below `/dev/dri`.
    #[serde(default)]
    pub drm: Option<DescribedDrm>,
    /// MIG.
    #[serde(default)]
    pub mig: Option<DescribedMig>,
    /// Its IOMMU group.
    #[serde(default)]
    pub iommu_group: Option<u32>,
    /// PCI addresses in that group.
    #[serde(default)]
    pub iommu_group_members: Vec<String>,
    /// Processes that the driver shows on it, of anybody.
    #[serde(default)]
    pub processes: u64,
    /// Why no workspace can share it now, beyond what the other fields say.
    #[serde(default)]
    pub not_shared: Option<String>,
    /// Why it cannot be given away whole now, beyond what the other fields say.
    #[serde(default)]
    pub not_whole: Option<String>,
}

impl DescribedGpu {
    /// How it is named: by its UUID, else by its address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.uuid.as_deref().unwrap_or(&self.bdf)
    }

    pub(super) fn is_nvidia(&self) -> bool {
        self.vendor == "nvidia"
    }

    pub(super) fn has_mig(&self) -> bool {
        self.mig.as_ref().is_some_and(|mig| mig.mode == "enabled")
    }
}

/// Nodes below `/dev/dri`, by whom they may be opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DescribedDrm {
    /// Group id of the card node.
    #[serde(default)]
    pub card_gid: Option<u32>,
    /// Group id of the render node.
    #[serde(default)]
    pub render_gid: Option<u32>,
}

/// MIG of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DescribedMig {
    /// `enabled` or `disabled`.
    pub mode: String,
    /// Its MIG devices.
    #[serde(default)]
    pub devices: Vec<MigDevice>,
}

/// A MIG device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MigDevice {
    /// Its UUID.
    pub uuid: String,
    /// Its profile.
    pub profile: String,
}

/// A workspace that has a container.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct RunningWorkspace {
    /// Its id.
    pub workspace_id: String,
    /// Its cores.
    #[serde(default)]
    pub cores: f64,
    /// Its memory, in bytes.
    #[serde(default)]
    pub memory: u64,
    /// GPUs and MIG devices that it has, by UUID or PCI address.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// GPUs that it was given whole, by PCI address.
    #[serde(default)]
    pub vfio: Vec<String>,
    /// Its security context.
    #[serde(default)]
    pub security_context: Option<String>,
}

/// What the owner of the host allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedPolicy {
    /// No workspace may be created.
    #[serde(default)]
    pub forbidden: bool,
    /// Registries that images may come from; not judged where the description does not say.
    #[serde(default)]
    pub registries: Option<Vec<String>>,
    /// Folders of the host that may be mounted, read-only.
    #[serde(default)]
    pub host_paths: Vec<String>,
    /// Folders of the host that may be mounted to be written.
    #[serde(default)]
    pub host_paths_writable: Vec<String>,
    /// Networks that may be joined.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Addresses that ports may be published on, beside the loopback.
    #[serde(default)]
    pub listen: Vec<String>,
    /// For everybody.
    #[serde(default)]
    pub host: DescribedPassthrough,
    /// For a manager.
    #[serde(default)]
    pub manager: DescribedPassthrough,
}

impl DescribedPolicy {
    /// The policy of a host.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let manager = DescribedPassthrough { passthrough: policy.manager.passthrough };
        Self { manager, ..Self::of_host(&policy.host) }
    }

    /// What it allows to everybody, and nothing of what it allows to a manager.
    #[must_use]
    pub fn of_host(policy: &HostPolicy) -> Self {
        let workspaces = &policy.workspaces;
        Self {
            forbidden: !workspaces.allowed,
            registries: Some(workspaces.registries.clone()),
            host_paths: workspaces.host_paths.clone(),
            host_paths_writable: workspaces.host_paths_writable.clone(),
            networks: workspaces.networks.clone(),
            listen: workspaces.listen.iter().map(ToString::to_string).collect(),
            host: DescribedPassthrough { passthrough: policy.passthrough.allowed },
            manager: DescribedPassthrough::default(),
        }
    }
}

/// Whether GPUs may be given away whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedPassthrough {
    /// They may.
    #[serde(default)]
    pub passthrough: bool,
}
