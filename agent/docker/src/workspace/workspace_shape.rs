//! One container of a workspace from the answer to `GET /containers/ID/json`: its facts, and how everybody sees it.

use super::unusual::unusual_setting;
use super::workspace_list::Listed;
use crate::client::clean;
use crate::http::{DockerError, get_bytes};
use crate::inspected::run;
use crate::json::Json;
use hyper::StatusCode;
use model::ids::ContainerId;
use model::nvidia_container::ContainerRun;
use model::time::UnixMillis;
use model::workspace_life::{WhyNotOurs, WorkspaceFacts, WorkspaceSeen};
use std::collections::BTreeMap;

/// Most that is read of one container, in bytes: its environment is as large as a document, and Docker shows it once.
const CONTAINER_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Which GPUs NVIDIA's runtime gives.
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES=";

/// A container as Docker shows it, whole.
#[derive(Debug)]
pub(crate) struct WorkspaceShape(Json);

impl WorkspaceShape {
    /// Asks for it by its full id; none where there is none. Docker would also take a container that is *named* like the id.
    pub(crate) async fn of(socket: &str, id: &ContainerId) -> Result<Option<Self>, DockerError> {
        Self::find(socket, id.as_str()).await.map(|found| found.filter(|found| found.id().as_ref() == Some(id)))
    }

    /// Asks for it by its name, or by its full id.
    pub(crate) async fn find(socket: &str, name: &str) -> Result<Option<Self>, DockerError> {
        let path = format!("/containers/{name}/json");
        let body = match get_bytes(socket, &path, CONTAINER_MAX_BYTES).await {
            // It is gone meanwhile.
            Err(DockerError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Ok(None),
            body => body?,
        };
        Self::read(&body).map(Some).map_err(|why| DockerError::Garbled { path, why })
    }

    fn read(body: &[u8]) -> Result<Self, String> {
        let found = Json::read(body).map_err(|error| error.to_string())?;
        // The last of these is the last part of the answer: it is there only if nothing before it was cut off by a bound.
        for part in ["State", "HostConfig", "Config", "NetworkSettings"] {
            if !matches!(found.get(part), Json::Object(_)) {
                return Err(format!("it has no {part} that can be read"));
            }
        }
        Ok(Self(found))
    }

    pub(crate) fn id(&self) -> Option<ContainerId> {
        self.0.get("Id").text()?.parse().ok()
    }

    /// When it was created.
    pub(crate) fn created(&self) -> Option<UnixMillis> {
        self.0.get("Created").text().and_then(UnixMillis::from_rfc3339)
    }

    /// The image that it was asked for.
    pub(crate) fn image(&self) -> &str {
        self.0.get("Config").get("Image").text().unwrap_or_default()
    }

    /// What it does.
    pub(crate) fn run(&self) -> ContainerRun {
        run(self.0.get("State"))
    }

    /// The first setting that no container of ours has.
    pub(crate) fn unusual(&self) -> Option<String> {
        unusual_setting(self.0.get("HostConfig"))
    }

    /// Directories of the host that it mounts: the source, and whether it cannot be written.
    pub(crate) fn binds(&self) -> Vec<(String, bool)> {
        let mounts = self.0.get("HostConfig").get("Mounts").items().iter();
        let binds = mounts.filter(|mount| mount.get("Type").text() == Some("bind"));
        let bind = |mount: &Json| {
            let source = mount.get("Source").text().unwrap_or_default().to_owned();
            (source, mount.get("ReadOnly").flag() == Some(true))
        };
        binds.map(bind).collect()
    }

    /// As everybody sees it; none where it does not have our label.
    pub(crate) fn seen(&self) -> Option<WorkspaceSeen> {
        let state = self.0.get("State");
        // Docker writes the year 1 where it was never started, or has not ended.
        let at = |name| state.get(name).text().and_then(UnixMillis::from_rfc3339).filter(|at: &UnixMillis| at.0 > 0);
        let run = self.run();
        let ended_at = if matches!(run, ContainerRun::Ended { .. }) { at("FinishedAt") } else { None };
        let pid = state.get("Pid").number::<u32>().filter(|pid| *pid > 0);
        self.facts().seen(self.id()?, (run, pid), (at("StartedAt"), ended_at))
    }

    fn facts(&self) -> WorkspaceFacts {
        let (config, host) = (self.0.get("Config"), self.0.get("HostConfig"));
        let owned = |text: &str| text.to_owned();
        let labels = config.get("Labels");
        let label = |name: String| labels.get(&name).text().map(|value| (name.clone(), value.to_owned()));
        let variables = config.get("Env").items().iter().filter_map(Json::text);
        let mounts = self.0.get("Mounts").items().iter();
        WorkspaceFacts {
            name: self.0.get("Name").text().unwrap_or_default().trim_start_matches('/').to_owned(),
            image: clean(self.image()),
            labels: labels.keys().into_iter().filter_map(label).collect(),
            is_privileged: self.unusual().is_some(),
            restart_policy: host.get("RestartPolicy").get("Name").text().map(owned).unwrap_or_default(),
            // The last one counts, as for every program.
            visible_devices: variables.filter_map(|text| text.strip_prefix(VISIBLE_DEVICES)).next_back().map(owned),
            device_requests: host.get("DeviceRequests").items().iter().flat_map(requested).collect(),
            device_nodes: texts(host.get("Devices"), "PathOnHost"),
            volumes: mounts
                .filter(|mount| mount.get("Type").text() == Some("volume"))
                .filter_map(|mount| mount.get("Name").text().map(owned))
                .collect(),
            nano_cpus: host.get("NanoCpus").number().unwrap_or_default(),
            memory_bytes: host.get("Memory").number().unwrap_or_default(),
        }
    }
}

/// The devices of one request. One that does not name them, or asks for so many of any kind, is none of ours.
fn requested(request: &Json) -> Vec<String> {
    let named = request.get("DeviceIDs").items().iter().filter_map(Json::text).map(str::to_owned);
    let is_by_name = request.get("Driver").text() == Some("cdi")
        && request.get("Count").number::<i64>().unwrap_or_default() == 0
        && request.get("Capabilities").items().is_empty();
    let named: Vec<String> = named.collect();
    if is_by_name && !named.is_empty() { named } else { vec!["any".to_owned()] }
}

fn texts(list: &Json, name: &str) -> Vec<String> {
    list.items().iter().map(|item| item.get(name).text().unwrap_or_default().to_owned()).collect()
}

/// A container that Docker lists and cannot inspect: its devices are not known, and what its labels list is taken to be in use.
pub(crate) fn unreadable(listed: Listed, why: &str) -> Option<WorkspaceSeen> {
    let name = listed.name().to_owned();
    let labels: BTreeMap<String, String> = listed.labels.unwrap_or_default();
    let facts = WorkspaceFacts { name, labels, ..WorkspaceFacts::default() };
    let run = ContainerRun::Other(clean(why));
    let mut seen = facts.seen(listed.id, (run, None), (None, None))?;
    seen.foreign = seen.foreign.filter(|why| *why != WhyNotOurs::Devices);
    Some(seen)
}
