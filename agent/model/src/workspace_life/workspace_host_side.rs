//! What the planner of workspaces needs of the host beside an observation.

use crate::observation::HostObservation;
use std::collections::BTreeMap;

/// What the hands show of it. What could not be read is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceHostSide {
    /// The group that may open a device file, by its path (`/dev/dri/renderD129`). Its number differs from host to host, as its name does.
    pub device_groups: BTreeMap<String, u32>,
    /// Version of the NVIDIA container toolkit that is installed.
    pub toolkit: Option<String>,
}

impl WorkspaceHostSide {
    /// The group of a DRM node, by its name.
    pub(super) fn of_drm(&self, node: Option<&String>) -> Option<u32> {
        self.device_groups.get(&format!("/dev/dri/{}", node?)).copied()
    }

    /// The groups of the devices that are not a GPU's, by the last part of their path.
    pub(super) fn groups(&self) -> BTreeMap<String, u32> {
        let devices = ["/dev/kvm", "/dev/net/tun", "/dev/dxg", "/dev/dri/card0", "/dev/dri/renderD128"];
        let named = |path: &str| Some((path.rsplit('/').next()?.to_owned(), *self.device_groups.get(path)?));
        devices.into_iter().filter_map(named).collect()
    }
}

/// The kernel of the Windows Subsystem for Linux has the name of its maker in its release (`5.15.167.4-microsoft-standard-WSL2`).
pub(super) fn is_wsl(host: &HostObservation) -> bool {
    host.host.kernel.known().is_some_and(|release| release.to_ascii_lowercase().contains("microsoft"))
}
