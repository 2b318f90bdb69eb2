//! `AgentInfo`: which agent, on which system, with which Docker.

use model::desired::CAPABILITIES;
use model::docker::DockerFacts;
use model::observation::HostObservation;
use serde::Serialize;
use std::collections::BTreeMap;

/// The protocol that this agent speaks.
pub const PROTOCOL: &str = "1.0";
/// The number that a Kasm deployment compares with its setting `agent_version`.
pub const AGENT_VERSION: u32 = 1;

/// What the agent is and runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentInfo {
    /// Version of gpuhostd.
    pub version: String,
    /// Protocol version.
    pub protocol: &'static str,
    /// See [`AGENT_VERSION`].
    pub agent_version: u32,
    /// Operating system; null = unknown.
    pub os: BTreeMap<&'static str, Option<String>>,
    /// `x86_64` or `aarch64`; left out on any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Docker; left out where it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerDocument>,
    /// Names of what this agent can do beyond the required parts of the contract.
    pub capabilities: Vec<&'static str>,
}

/// What Docker reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DockerDocument {
    version: Option<String>,
    api: Option<String>,
    root_dir: Option<String>,
    runtimes: Vec<String>,
    default_runtime: Option<String>,
    nvidia_runtime: bool,
    cdi_specs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_restore: Option<bool>,
}

impl From<&DockerFacts> for DockerDocument {
    fn from(facts: &DockerFacts) -> Self {
        Self {
            version: facts.version.clone(),
            api: facts.api.clone(),
            root_dir: facts.root_dir.clone(),
            runtimes: facts.runtimes.clone(),
            default_runtime: facts.default_runtime.clone(),
            nvidia_runtime: facts.has_nvidia_runtime(),
            cdi_specs: facts.cdi_devices.clone(),
            cgroup_version: facts.cgroup_version.clone(),
            cgroup_driver: facts.cgroup_driver.clone(),
            live_restore: facts.live_restore,
        }
    }
}

impl AgentInfo {
    /// The agent of that version on the host that was seen.
    #[must_use]
    pub fn of(seen: &HostObservation, version: &str) -> Self {
        let host = &seen.host;
        let os = [
            ("id", &host.os_id),
            ("version_id", &host.os_version_id),
            ("name", &host.os_name),
            ("kernel", &host.kernel),
        ];
        Self {
            version: version.to_owned(),
            protocol: PROTOCOL,
            agent_version: AGENT_VERSION,
            os: os.into_iter().map(|(name, value)| (name, value.known().cloned())).collect(),
            arch: ["x86_64", "aarch64"].contains(&host.arch.as_str()).then(|| host.arch.clone()),
            docker: seen.docker.as_ref().ok().map(DockerDocument::from),
            capabilities: CAPABILITIES.to_vec(),
        }
    }
}
