//! The hand's own list of what a container of a workspace may be, whatever the front planned: a front that was taken over gets no more.

use super::environment::{MOST_VARIABLES, VISIBLE_DEVICES, is_kept};
use super::fields::shown;
use super::places::{FIRST_FREE_PORT, KEPT_INSIDE, WSL_LIBRARIES, check_bind_source, is_plain_path, is_within};
use super::refused::WorkspaceRefused;
use super::run_config::is_hostname;
use super::workspace_container::{GpuInjection, WorkspaceContainer, WorkspaceMount, WorkspaceNode};
use crate::cdi::KIND;
use crate::ids::PciAddress;
use crate::policy::{HostPolicy, WorkspacesPolicy};

/// Least cores, in billionths: Docker takes fewer for no limit at all, or refuses them.
const LEAST_NANO_CPUS: u64 = 10_000_000;
/// Least memory, in bytes: Docker takes 0 for no limit at all, and refuses less than this.
const LEAST_MEMORY_BYTES: u64 = 6 << 20;
/// Most groups: those of the nodes of a few GPUs, and that of `/dev/kvm`.
const MOST_GROUPS: usize = 16;
/// Longest security context, in characters.
const LONGEST_CONTEXT: usize = 128;

impl WorkspaceContainer {
    /// Checks it against the policy of the host.
    ///
    /// # Errors
    /// The first thing that it may not have, by the name of its field.
    pub fn check(&self, policy: &HostPolicy) -> Result<(), WorkspaceRefused> {
        let WorkspacesPolicy { allowed, registries, networks, .. } = &policy.workspaces;
        if !allowed {
            return Err(denied("host.workspaces.allowed", "no workspace may run on this host"));
        }
        if self.image.digest().is_none() {
            return Err(denied("image", "it has no digest: a tag can change after it was pulled"));
        }
        if !registries.iter().any(|known| known == self.image.registry()) {
            let why = format!("{} is not among host.workspaces.registries of the policy", self.image.registry());
            return Err(denied("image", &why));
        }
        if let Some(name) = self.networks.iter().find(|name| !networks.contains(name)) {
            return Err(denied(
                "networks",
                &format!("{:?} is not among host.workspaces.networks of the policy", shown(name)),
            ));
        }
        if !self.vfio.is_empty() && !policy.passthrough.allowed {
            return Err(denied("vfio", "host.passthrough.allowed of the policy is false"));
        }
        self.check_limits()?;
        self.check_names()?;
        self.check_environment()?;
        self.check_ports(&policy.workspaces)?;
        self.mounts.iter().try_for_each(|mount| check_mount(mount, &policy.workspaces))?;
        self.check_way()?;
        self.nodes.iter().try_for_each(|node| self.check_node(node))
    }

    /// Checks a path of the host that is to be mounted.
    ///
    /// # Errors
    /// Why it may not be mounted.
    pub fn check_bind(source: &str, read_only: bool, policy: &WorkspacesPolicy) -> Result<(), String> {
        if !is_plain_path(source) {
            return Err("it is not an absolute path without '.' and '..'".to_owned());
        }
        let WorkspacesPolicy { host_paths, host_paths_writable, .. } = policy;
        let may_replace = |folder: &String| is_within(source, folder);
        if source == WSL_LIBRARIES && read_only && !host_paths_writable.iter().any(may_replace) {
            return Ok(());
        }
        check_bind_source(source, read_only, host_paths, host_paths_writable)
    }

    /// No container is without a limit, and none is in the group of root.
    fn check_limits(&self) -> Result<(), WorkspaceRefused> {
        if self.nano_cpus < LEAST_NANO_CPUS {
            let why = format!("{} billionths of a core are fewer than {LEAST_NANO_CPUS}", self.nano_cpus);
            return Err(denied("cores", &why));
        }
        if self.memory_bytes < LEAST_MEMORY_BYTES {
            let why = format!("{} bytes are fewer than {LEAST_MEMORY_BYTES}", self.memory_bytes);
            return Err(denied("memory", &why));
        }
        if self.groups.len() > MOST_GROUPS || self.groups.contains(&0) {
            return Err(denied("groups", &format!("more than {MOST_GROUPS} groups, or the group 0 (root)")));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), WorkspaceRefused> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        match &self.security_context {
            Some(context) if context.len() > LONGEST_CONTEXT || !context.bytes().all(is_known) => {
                let why = format!(
                    "{:?} is not of letters, digits, '.', '_', ':' and '-', at most {LONGEST_CONTEXT}",
                    shown(context)
                );
                return Err(denied("security_context", &why));
            }
            Some(_) | None => {}
        }
        match &self.hostname {
            Some(name) if !is_hostname(name) => {
                Err(denied("hostname", &format!("{:?} is not a valid host name", shown(name))))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_environment(&self) -> Result<(), WorkspaceRefused> {
        if self.environment.len() > MOST_VARIABLES {
            return Err(denied("environment", &format!("more than {MOST_VARIABLES} variables")));
        }
        for (name, value) in &self.environment {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name || value.contains('\0') || name == VISIBLE_DEVICES || is_kept(name) {
                return Err(denied("environment", &format!("a workspace may not set {:?}", shown(name))));
            }
        }
        Ok(())
    }

    fn check_ports(&self, policy: &WorkspacesPolicy) -> Result<(), WorkspaceRefused> {
        for port in &self.ports {
            if port.host.is_some_and(|port| port < FIRST_FREE_PORT) {
                return Err(denied("ports", &format!("ports below {FIRST_FREE_PORT} are the host's own")));
            }
            if !port.listen.is_loopback() && !policy.listen.contains(&port.listen) {
                let why = format!("{} is not among host.workspaces.listen of the policy", port.listen);
                return Err(denied("ports", &why));
            }
        }
        Ok(())
    }

    /// What the runtime gives is named one by one.
    fn check_way(&self) -> Result<(), WorkspaceRefused> {
        let names: Vec<&str> = match &self.way {
            GpuInjection::None => return Ok(()),
            GpuInjection::Cdi { devices } => {
                let name = |device: &'_ String| device.strip_prefix(KIND).is_some_and(|rest| rest.starts_with('='));
                if !devices.iter().all(name) {
                    return Err(denied("way", "a device is not one of NVIDIA's GPUs"));
                }
                devices.iter().filter_map(|device| device.split_once('=').map(|(_, name)| name)).collect()
            }
            GpuInjection::Runtime { name, visible } => {
                if name != "nvidia" {
                    return Err(denied("way", &format!("{:?} is not the runtime nvidia", shown(name))));
                }
                visible.iter().map(String::as_str).collect()
            }
        };
        match names.iter().find(|name| !is_gpu_uuid(name) || !self.gpus.iter().any(|gpu| gpu == *name)) {
            Some(name) => Err(denied("way", &format!("{:?} is not a GPU that the workspace is given", shown(name)))),
            None => Ok(()),
        }
    }

    fn check_node(&self, node: &WorkspaceNode) -> Result<(), WorkspaceRefused> {
        let path = node.on_host.as_str();
        // The UUID of a GPU does not show where the GPU is.
        let is_given = |address: &str| self.gpus.iter().any(|gpu| gpu == address || is_gpu_uuid(gpu));
        let is_address = |text: &str| text.parse::<PciAddress>().is_ok_and(|read| read.to_string() == text);
        let of_card = |rest: &str| {
            let address = rest.strip_suffix("-card").or_else(|| rest.strip_suffix("-render"));
            address.is_some_and(|address| is_address(address) && is_given(address))
        };
        // Windows has one GPU of its own, which comes with its device.
        let has_dxg = || self.nodes.iter().any(|node| node.on_host == "/dev/dxg");
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_known = match path {
            "/dev/kvm" | "/dev/net/tun" | "/dev/dxg" => true,
            "/dev/dri/card0" | "/dev/dri/renderD128" => has_dxg(),
            "/dev/vfio/vfio" => !self.vfio.is_empty(),
            _ => {
                path.strip_prefix("/dev/dri/by-path/pci-").is_some_and(of_card)
                    || (!self.vfio.is_empty() && path.strip_prefix("/dev/vfio/").is_some_and(is_number))
            }
        };
        let is_inside = node.inside.starts_with("/dev/") && is_plain_path(&node.inside);
        if is_known && is_inside {
            return Ok(());
        }
        Err(denied("devices", &format!("{:?} is not a device that a workspace may have", shown(path))))
    }
}

/// The UUID of a GPU or of a MIG device.
fn is_gpu_uuid(name: &str) -> bool {
    let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    known && (name.starts_with("GPU-") || name.starts_with("MIG-"))
}

fn check_mount(mount: &WorkspaceMount, policy: &WorkspacesPolicy) -> Result<(), WorkspaceRefused> {
    let WorkspaceMount { is_volume, source, target, read_only } = mount;
    if !is_plain_path(target) || target == "/" || KEPT_INSIDE.iter().any(|kept| is_within(target, kept)) {
        return Err(denied("mounts", &format!("nothing is mounted on {:?}", shown(target))));
    }
    if !is_volume {
        return WorkspaceContainer::check_bind(source, *read_only, policy)
            .map_err(|why| denied("mounts", &format!("{:?}: {why}", shown(source))));
    }
    if WorkspaceContainer::is_volume_name(source) {
        Ok(())
    } else {
        Err(denied("mounts", &format!("{:?} is not a name that gpuhostd gives to volumes", shown(source))))
    }
}

fn denied(field: &str, why: &str) -> WorkspaceRefused {
    WorkspaceRefused::denied(field, why)
}
