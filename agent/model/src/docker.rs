//! What Docker says of itself.

use serde::{Deserialize, Serialize};

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
    /// CDI devices that Docker discovered (`nvidia.com/gpu=0`); empty on engines older than 28.
    pub cdi_devices: Vec<String>,
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
