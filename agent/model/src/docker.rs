//! What Docker reports about itself.

use crate::cdi::CdiFile;
use serde::{Deserialize, Serialize};

/// How NVIDIA's runtime is configured in Docker.
pub const RUNTIME: &str = "`nvidia-ctk runtime configure --runtime=docker && systemctl reload docker`";
/// The same for a Docker without root: its settings and its service are its user's, and it may set no device rules.
pub const ROOTLESS_RUNTIME: &str = "as Docker's user `nvidia-ctk runtime configure --runtime=docker --config=$HOME/.config/docker/daemon.json && \
     systemctl --user restart docker`, and as root `nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place`";

/// Who answers at Docker's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerEngine {
    /// Docker itself, or who cannot be determined from it.
    #[default]
    Docker,
    /// Podman, which speaks Docker's API and has neither its runtimes nor its `daemon.json`.
    Podman,
}

impl ContainerEngine {
    /// As it is in JSON and on D-Bus.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        }
    }
}

/// What the CDI device `nvidia.com/gpu=all` stands for: what the specification that defines it lists, and no other GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdiAll {
    /// Names of the other devices of its specification.
    pub names: Vec<String>,
    /// Minor numbers of the GPUs whose nodes it gives, sorted.
    pub minors: Vec<u32>,
}

/// Facts of `GET /version` and `GET /info`; a field that this Docker does not know is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerFacts {
    /// Engine version, `28.2.2`.
    pub version: Option<String>,
    /// API version, `1.50`.
    pub api: Option<String>,
    /// Folder that holds images and containers, `/var/lib/docker`.
    pub root_dir: Option<String>,
    /// Names of the OCI runtimes, sorted.
    pub runtimes: Vec<String>,
    /// The runtime that a container without a choice gets.
    pub default_runtime: Option<String>,
    /// Folders where this Docker looks for CDI specs; empty where it has no CDI.
    pub cdi_spec_dirs: Vec<String>,
    /// CDI devices (`nvidia.com/gpu=0`), sorted: what Docker has discovered, and before API 1.50 and from Podman, which do not say,
    /// what the specifications in their folders define.
    pub cdi_devices: Vec<String>,
    /// What `nvidia.com/gpu=all` stands for; `None` where there is no such device or its specification could not be read.
    pub cdi_all: Option<CdiAll>,
    /// The specifications of NVIDIA's GPUs in those folders, in the order of the folders.
    pub cdi_files: Vec<CdiFile>,
    /// Specifications that could not be used, one sentence each.
    pub cdi_problems: Vec<String>,
    /// It keeps images in containerd's store, which has the packed layers beside the unpacked ones.
    pub has_containerd_store: bool,
    /// Who it is.
    pub engine: ContainerEngine,
    /// It runs without root, in a user namespace.
    pub rootless: bool,
    /// `1` or `2`.
    pub cgroup_version: Option<String>,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// Containers outlive the daemon.
    pub live_restore: Option<bool>,
    /// Number of running containers.
    pub containers_running: Option<u32>,
}

impl DockerFacts {
    /// The `nvidia` runtime is among the runtimes.
    #[must_use]
    pub fn has_nvidia_runtime(&self) -> bool {
        self.runtimes.iter().any(|name| name == "nvidia")
    }

    /// Docker has discovered a CDI device of NVIDIA's kind.
    #[must_use]
    pub fn has_nvidia_cdi(&self) -> bool {
        self.cdi_devices.iter().any(|name| name.starts_with("nvidia.com/gpu="))
    }
}
