//! The hand's own list of what a container of a workspace may be, whatever the front planned: a front that was taken over gets no more.

use super::environment::{MOST_VARIABLES, VISIBLE_DEVICES, is_kept};
use super::fields::shown;
use super::host::DescribedPolicy;
use super::places::{FIRST_FREE_PORT, KEPT_INSIDE, WSL_LIBRARIES, is_plain_path, is_within};
use super::refused::WorkspaceRefused;
use super::workspace_container::{GpuInjection, WorkspaceContainer, WorkspaceMount, WorkspaceNode};
use crate::cdi::KIND;
use crate::ids::PciAddress;
use crate::policy::{HostPolicy, WorkspacesPolicy};

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
        self.check_environment()?;
        self.check_ports(&policy.workspaces)?;
        let allowed = DescribedPolicy::of_host(policy);
        self.mounts.iter().try_for_each(|mount| check_mount(mount, &allowed))?;
        self.check_way()?;
        self.nodes.iter().try_for_each(|node| self.check_node(node))
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
        let is_uuid = |name: &&str| {
            let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            known && (name.starts_with("GPU-") || name.starts_with("MIG-"))
        };
        match names.iter().find(|name| !is_uuid(name) || !self.gpus.iter().any(|gpu| gpu == *name)) {
            Some(name) => Err(denied("way", &format!("{:?} is not a GPU that the workspace is given", shown(name)))),
            None => Ok(()),
        }
    }

    fn check_node(&self, node: &WorkspaceNode) -> Result<(), WorkspaceRefused> {
        let path = node.on_host.as_str();
        let of_card = |rest: &str| {
            let address = rest.strip_suffix("-card").or_else(|| rest.strip_suffix("-render"));
            address.is_some_and(|address| address.parse::<PciAddress>().is_ok_and(|read| read.to_string() == address))
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_known = match path {
            "/dev/kvm" | "/dev/net/tun" | "/dev/dxg" | "/dev/dri/card0" | "/dev/dri/renderD128" => true,
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

fn check_mount(mount: &WorkspaceMount, policy: &DescribedPolicy) -> Result<(), WorkspaceRefused> {
    let WorkspaceMount { is_volume, source, target, read_only } = mount;
    if !is_plain_path(target) || target == "/" || KEPT_INSIDE.iter().any(|kept| is_within(target, kept)) {
        return Err(denied("mounts", &format!("nothing is mounted on {:?}", shown(target))));
    }
    let within = |list: &[String]| list.iter().any(|known| is_within(source, known));
    let fits = if *is_volume {
        WorkspaceContainer::is_volume_name(source)
    } else {
        let is_listed = within(&policy.host_paths_writable) || (*read_only && within(&policy.host_paths));
        is_plain_path(source) && (is_listed || (*read_only && source == WSL_LIBRARIES))
    };
    if fits { Ok(()) } else { Err(denied("mounts", &format!("the policy does not list {:?}", shown(source)))) }
}

fn denied(field: &str, why: &str) -> WorkspaceRefused {
    WorkspaceRefused::denied(field, why)
}
