//! The local policy: the ceiling for everybody (`[host]`), and what a manager may have done under it (`[manager]`).

mod explain;
mod read_policy;
mod setting;

pub use explain::{Act, Explanation, Requester, Terms};
pub use read_policy::{PolicyError, read};
pub use setting::SettingAct;

use crate::docker_config::DockerRestart;
use crate::ids::PciAddress;
use crate::image_ref::ImageRef;
use crate::nvidia_container::NvidiaRole;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `/etc/gpuhostd/policy.toml`. A missing file means these defaults; a wrong one leaves the old policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The ceiling for everybody, root included. The hands hold it too.
    pub host: HostPolicy,
    /// What a manager may have done, under that ceiling. Denied where nothing is set.
    pub manager: ManagerPolicy,
}

/// `[host]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostPolicy {
    /// Giving GPUs to virtual machines.
    pub passthrough: PassthroughPolicy,
    /// Changing MIG of GPUs.
    pub mig: MigPolicy,
    /// NVIDIA's driver and toolkit containers, and Docker's configuration.
    pub nvidia: NvidiaPolicy,
    /// Workspaces: containers of users.
    pub workspaces: WorkspacesPolicy,
}

/// `[host.passthrough]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassthroughPolicy {
    /// GPUs may be given away at all.
    pub allowed: bool,
    /// These never are, by PCI address.
    pub never: Vec<PciAddress>,
    /// Also the one that the firmware uses as the console: the screen goes dark.
    pub boot_vga: bool,
    /// Memory of the host that no guest may lock, in MiB.
    pub memory_reserve_mib: u64,
    /// Changes of one GPU in a minute, from whomever they come.
    pub changes_per_minute: u32,
}

impl Default for PassthroughPolicy {
    fn default() -> Self {
        Self { allowed: true, never: Vec::new(), boot_vga: false, memory_reserve_mib: 1024, changes_per_minute: 6 }
    }
}

/// `[host.mig]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigPolicy {
    /// Layouts and the mode may be changed at all.
    pub allowed: bool,
    /// Not those of these GPUs, by PCI address.
    pub never: Vec<PciAddress>,
    /// Changes of one GPU's layout in a minute, from whomever they come.
    pub changes_per_minute: u32,
    /// A desired state may have workspaces stopped that use what has to go (`apply: force`).
    pub stop_workspaces: bool,
}

impl Default for MigPolicy {
    fn default() -> Self {
        Self { allowed: true, never: Vec::new(), changes_per_minute: 1, stop_workspaces: false }
    }
}

/// `[host.nvidia]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvidiaPolicy {
    /// A driver container may be deployed.
    pub driver: bool,
    /// A toolkit container may be deployed.
    pub toolkit: bool,
    /// Repositories of images that may be deployed, without tag: both containers are privileged.
    pub images: Vec<String>,
    /// One runtime may be added to Docker's configuration, and Docker reloaded.
    pub docker_config: bool,
    /// A CDI specification of NVIDIA's GPUs may be generated.
    pub cdi: bool,
    /// Docker may be restarted, for what a reload cannot do.
    pub docker_restart: DockerRestart,
}

impl Default for NvidiaPolicy {
    fn default() -> Self {
        let images = ["nvcr.io/nvidia/driver", "nvcr.io/nvidia/k8s/container-toolkit"].map(str::to_owned).to_vec();
        let docker_restart = DockerRestart::default();
        Self { driver: true, toolkit: true, images, docker_config: true, cdi: true, docker_restart }
    }
}

impl NvidiaPolicy {
    /// A container of that role may be deployed from that image.
    ///
    /// # Errors
    /// The key that denies it, and why.
    pub fn allows(&self, role: NvidiaRole, image: &ImageRef) -> Result<(), (String, String)> {
        let (allowed, key) = match role {
            NvidiaRole::Driver => (self.driver, "host.nvidia.driver"),
            NvidiaRole::Toolkit => (self.toolkit, "host.nvidia.toolkit"),
        };
        if !allowed {
            return Err((key.to_owned(), format!("no {role} container may be deployed on this host")));
        }
        if !self.images.iter().any(|known| known == image.repository()) {
            let why = format!("{} is not among the repositories that may be deployed", image.repository());
            return Err(("host.nvidia.images".to_owned(), why));
        }
        Ok(())
    }
}

/// `[host.workspaces]`. What is listed nowhere is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspacesPolicy {
    /// Workspaces may be created at all. Those that are there can always be stopped and removed.
    pub allowed: bool,
    /// Registries that their images may come from.
    pub registries: Vec<String>,
    /// Folders of the host that they may mount to be read, with all that is below.
    pub host_paths: Vec<String>,
    /// Folders that they may mount to be written: each one itself, and nothing below it.
    pub host_paths_writable: Vec<String>,
    /// Networks of Docker that they may join.
    pub networks: Vec<String>,
    /// Addresses that their ports may be published on, beside the loopback.
    pub listen: Vec<IpAddr>,
    /// What is done about one that runs and has lost its GPUs.
    pub repair: WorkspaceRepair,
}

/// What is done about a workspace that runs and has lost its GPUs.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WorkspaceRepair {
    /// It is shown and reported.
    #[default]
    Never,
    /// It is stopped and started again once the driver shows that no process computes on them.
    WhenIdle,
    /// It is stopped and started again, at a bounded pace.
    Restart,
}

impl WorkspaceRepair {
    /// As it is in the policy.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

impl Default for WorkspacesPolicy {
    fn default() -> Self {
        let none = Vec::new;
        Self {
            allowed: true,
            registries: none(),
            host_paths: none(),
            host_paths_writable: none(),
            networks: none(),
            listen: Vec::new(),
            repair: WorkspaceRepair::Never,
        }
    }
}

/// `[manager]`. What changes devices is denied unless it is allowed here; what only places and reports work is allowed unless it is
/// denied here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerPolicy {
    /// Switch this host on and off for work.
    pub enable: bool,
    /// Let this host or a GPU take no new work, now or from a time on.
    pub drain: bool,
    /// Set labels, zone and pool.
    pub labels: bool,
    /// Set intervals and the log level.
    pub intervals: bool,
    /// Set the capacities that are reported.
    pub overrides: bool,
    /// Switch features of GPUs on and off.
    pub features: bool,
    /// Have a GPU given to a virtual machine, and taken back.
    pub passthrough: bool,
    /// Only these GPUs; empty = every one that `[host]` allows.
    pub passthrough_gpus: Vec<PciAddress>,
    /// Have the MIG layout and mode of a GPU changed.
    pub mig: bool,
    /// Only these GPUs; empty = every one that `[host]` allows.
    pub mig_gpus: Vec<PciAddress>,
    /// Have NVIDIA's driver and toolkit containers deployed and removed.
    pub nvidia: bool,
    /// Set when Docker may be restarted, up to what `[host]` allows.
    pub docker_restart: bool,
    /// Have workspaces created, started, stopped and deleted.
    pub workspaces: bool,
    /// Set certificate and key of the workspace proxy.
    pub proxy: bool,
    /// The most workspaces that one revision of its desired state may remove; more wait for another revision, or for a person.
    pub max_removals: u64,
    /// Changes of one GPU in a minute that a manager may cause.
    pub changes_per_minute: u32,
}

impl Default for ManagerPolicy {
    fn default() -> Self {
        Self {
            enable: true,
            drain: true,
            labels: true,
            intervals: true,
            overrides: true,
            features: false,
            passthrough: false,
            passthrough_gpus: Vec::new(),
            mig: false,
            mig_gpus: Vec::new(),
            nvidia: false,
            docker_restart: false,
            workspaces: true,
            proxy: true,
            max_removals: 4,
            changes_per_minute: 0,
        }
    }
}

impl ManagerPolicy {
    /// Allows nothing.
    const fn strictest() -> Self {
        Self {
            enable: false,
            drain: false,
            labels: false,
            intervals: false,
            overrides: false,
            features: false,
            passthrough: false,
            passthrough_gpus: Vec::new(),
            mig: false,
            mig_gpus: Vec::new(),
            nvidia: false,
            docker_restart: false,
            workspaces: false,
            proxy: false,
            max_removals: 0,
            changes_per_minute: 0,
        }
    }
}

impl Policy {
    /// Allows nothing: in force where the file is wrong and no earlier policy was read.
    #[must_use]
    pub fn strictest() -> Self {
        let passthrough = PassthroughPolicy { allowed: false, changes_per_minute: 0, ..PassthroughPolicy::default() };
        let mig = MigPolicy { allowed: false, changes_per_minute: 0, ..MigPolicy::default() };
        let nvidia = NvidiaPolicy {
            driver: false,
            toolkit: false,
            images: Vec::new(),
            docker_config: false,
            cdi: false,
            docker_restart: DockerRestart::Never,
        };
        let workspaces = WorkspacesPolicy { allowed: false, ..WorkspacesPolicy::default() };
        Self { host: HostPolicy { passthrough, mig, nvidia, workspaces }, manager: ManagerPolicy::strictest() }
    }
}
