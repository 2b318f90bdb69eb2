//! What Docker shows of one container, and whether it is one of ours: a label alone is not enough, since everybody who can ask Docker
//! can set it. Its name, its restart policy and its own devices have to agree with its labels.

use super::why_not_ours::WhyNotOurs;
use super::workspace_look::WorkspaceSeen;
use crate::cdi::KIND;
use crate::ids::ContainerId;
use crate::nvidia_container::ContainerRun;
use crate::policy::Requester;
use crate::time::UnixMillis;
use crate::workspace::{WorkspaceContainer, WorkspaceId};
use std::collections::BTreeMap;

/// What `GET /containers/ID/json` shows, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceFacts {
    /// Its name, without the slash.
    pub name: String,
    /// `Config.Image`.
    pub image: String,
    /// `Config.Labels`.
    pub labels: BTreeMap<String, String>,
    /// `HostConfig.Privileged`, a namespace of the host or of another container, a capability that was added, or a security option.
    pub is_privileged: bool,
    /// `HostConfig.RestartPolicy.Name`; empty as `no`.
    pub restart_policy: String,
    /// The value of `NVIDIA_VISIBLE_DEVICES` in `Config.Env`.
    pub visible_devices: Option<String>,
    /// `HostConfig.DeviceRequests`: the names of all of them.
    pub device_requests: Vec<String>,
    /// `HostConfig.Devices`: the path on the host of each.
    pub device_nodes: Vec<String>,
    /// Names of the volumes that it mounts.
    pub volumes: Vec<String>,
    /// `HostConfig.NanoCpus`.
    pub nano_cpus: u64,
    /// `HostConfig.Memory`, in bytes.
    pub memory_bytes: u64,
}

impl WorkspaceFacts {
    /// As everybody sees it. None: it does not have the label of ours.
    #[must_use]
    pub fn seen(
        self,
        id: ContainerId,
        (run, pid): (ContainerRun, Option<u32>),
        (started_at, ended_at): (Option<UnixMillis>, Option<UnixMillis>),
    ) -> Option<WorkspaceSeen> {
        let workspace_id = self.labels.get(WorkspaceContainer::ID_LABEL)?.parse::<WorkspaceId>();
        let foreign = match &workspace_id {
            Ok(workspace_id) => self.why_not_ours(workspace_id),
            Err(_) => Some(WhyNotOurs::Id),
        };
        Some(WorkspaceSeen {
            id,
            foreign,
            workspace_id: workspace_id.ok(),
            requester: self.requester(),
            generation: self.number(WorkspaceContainer::GENERATION_LABEL).unwrap_or(0),
            spec_digest: self.labels.get(WorkspaceContainer::SPEC_LABEL).cloned(),
            security_context: self
                .labels
                .get(WorkspaceContainer::CONTEXT_LABEL)
                .filter(|context| !context.is_empty())
                .cloned(),
            is_by_cdi: !self.device_requests.is_empty(),
            gpus: self.list(WorkspaceContainer::GPUS_LABEL),
            vfio: self.list(WorkspaceContainer::VFIO_LABEL),
            name: self.name,
            image: self.image,
            volumes: self.volumes,
            nano_cpus: self.nano_cpus,
            memory_bytes: self.memory_bytes,
            run,
            pid,
            started_at,
            ended_at,
        })
    }

    fn why_not_ours(&self, workspace_id: &WorkspaceId) -> Option<WhyNotOurs> {
        if self.name != WorkspaceContainer::name_of(workspace_id) {
            return Some(WhyNotOurs::Name);
        }
        let has = |name: &str| self.labels.contains_key(name);
        if !has(WorkspaceContainer::SPEC_LABEL)
            || self.requester().is_none()
            || self.number(WorkspaceContainer::GENERATION_LABEL).is_none()
        {
            return Some(WhyNotOurs::Labels);
        }
        if self.is_privileged {
            return Some(WhyNotOurs::Privileged);
        }
        if !["", "no"].contains(&self.restart_policy.as_str()) {
            return Some(WhyNotOurs::RestartPolicy);
        }
        (!self.devices_agree()).then_some(WhyNotOurs::Devices)
    }

    /// Every GPU of the labels is among the devices, and the other way round.
    fn devices_agree(&self) -> bool {
        let labelled = self.list(WorkspaceContainer::GPUS_LABEL);
        let is_uuid = |name: &&String| name.starts_with("GPU-") || name.starts_with("MIG-");
        let of_cdi = |device: &String| Some(device.strip_prefix(KIND)?.strip_prefix('=')?.to_owned());
        let requested: Option<Vec<String>> = self.device_requests.iter().map(of_cdi).collect();
        let Some(mut given) = requested else { return false };
        match self.visible_devices.as_deref() {
            None => return false,
            Some("void" | "") => {}
            Some(names) => given.extend(names.split(',').map(str::to_owned)),
        }
        let has_node = |address: &String| {
            let link = format!("/dev/dri/by-path/pci-{address}-");
            self.device_nodes.iter().any(|node| node.starts_with(&link))
        };
        let mut uuids: Vec<&String> = labelled.iter().filter(is_uuid).collect();
        let mut given: Vec<&String> = given.iter().collect();
        uuids.sort();
        given.sort();
        let nodes_agree = labelled.iter().filter(|name| !is_uuid(name)).all(has_node);
        let has_vfio = self.device_nodes.iter().any(|node| node.starts_with("/dev/vfio/"));
        uuids == given && nodes_agree && has_vfio != self.list(WorkspaceContainer::VFIO_LABEL).is_empty()
    }

    fn requester(&self) -> Option<Requester> {
        match self.labels.get(WorkspaceContainer::SOURCE_LABEL)?.as_str() {
            "local" => Some(Requester::Local),
            "manager" => Some(Requester::Manager),
            _ => None,
        }
    }

    fn number(&self, label: &str) -> Option<u64> {
        self.labels.get(label)?.parse().ok()
    }

    fn list(&self, label: &str) -> Vec<String> {
        let text = self.labels.get(label).map_or("", String::as_str);
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}
