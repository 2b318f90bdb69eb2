//! The `Heartbeat` document. Null where the contract has null; left out where it has none.

use crate::manager::agent::AgentInfo;
use crate::manager::gpu::{GpuMetrics, Inventory};
use crate::manager::workspace_docs::{ShareDoc, WorkspaceDoc};
use serde::Serialize;
use std::collections::BTreeMap;

/// `Usage`: how full something is.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Usage {
    /// The folder whose file system is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// All of it, in bytes.
    pub total_bytes: Option<u64>,
    /// What is left for use, in bytes.
    pub available_bytes: Option<u64>,
    /// What is used, in bytes.
    pub used_bytes: Option<u64>,
    /// Used share in per cent, one decimal.
    pub used_pct: Option<f64>,
    /// Used share of the inodes in per cent, one decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_used_pct: Option<f64>,
}

/// What the host is doing as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Nothing has been observed yet.
    Starting,
    /// All is well.
    Running,
    /// No new work; what runs may finish.
    Draining,
    /// Switched off by the manager.
    Disabled,
    /// A condition holds; see `conditions`.
    Degraded,
    /// The daemon is ending.
    Stopping,
}

/// Which desired state this host has and how far it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedDoc {
    /// Epoch of the document in force; `none` before the first.
    pub epoch: String,
    /// Revision of the document in force; revisions begin at 1, so 0 = none.
    pub revision: u64,
    /// The newest revision of this epoch of which every item was found met; 0 = none.
    pub applied_revision: u64,
    /// Items that are not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmet: Option<Vec<UnmetDoc>>,
    /// How many items are not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmet_total: Option<usize>,
}

/// One item that is not met, as the manager gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmetDoc {
    /// Its stable path.
    pub path: String,
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it is tried again, RFC 3339; null where it is not before something changes.
    pub retry_at: Option<String>,
}

/// What is in effect of the settings of this host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectiveDoc {
    /// Cores that are offered, where they are overridden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// Memory that is offered, in bytes, where it is overridden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// CUDA GPUs that are offered, where they are overridden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_gpus: Option<u32>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Zone.
    pub zone: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Work may be placed here.
    pub enabled: bool,
    /// No new work; what runs may finish.
    pub draining: bool,
}

/// A standing statement, as the manager gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionDoc {
    /// Stable type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `true`, `false` or `unknown`.
    pub status: &'static str,
    /// Stable reason code.
    pub reason: String,
    /// For people.
    pub message: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// One heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heartbeat {
    /// This host's id with the manager.
    pub server_id: String,
    /// See [`crate::manager::agent::AGENT_VERSION`].
    pub agent_version: u32,
    /// Protocol version.
    pub protocol: &'static str,
    /// Kernel's boot id; null where it cannot be read.
    pub boot_id: Option<String>,
    /// CLOCK_BOOTTIME in milliseconds, strictly rising.
    pub seq: u64,
    /// Wall clock, RFC 3339; null where it shows an instant that has no such form.
    pub time: Option<String>,
    /// Manager's clock minus ours at the last answer, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// Kernel's host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Name under which users reach this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_hostname: Option<String>,
    /// Port under which users reach this host.
    pub public_port: u16,
    /// Provider name.
    pub provider: String,
    /// Zone of this host.
    pub zone: Option<String>,
    /// What the host is doing as a whole.
    pub status: AgentStatus,
    /// Logical CPUs; null where they cannot be counted, with the condition `host_facts_missing`.
    pub cores: Option<u32>,
    /// Memory in bytes; null where it cannot be read, with the condition `host_facts_missing`.
    pub memory: Option<u64>,
    /// Swap in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_total: Option<u64>,
    /// CPU in per cent over the time since the last heartbeat; null in the first.
    pub cpu_pct: Option<f64>,
    /// Memory.
    pub mem: Usage,
    /// The file system of Docker's root folder.
    pub disk: Usage,
    /// Counters since boot: `read_bytes`, `write_bytes`, `net_rx_bytes`, `net_tx_bytes`; one that is unknown is not there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub io: BTreeMap<&'static str, u64>,
    /// Figures of each GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_metrics: Option<Vec<GpuMetrics>>,
    /// What is in effect of the settings; left out with the other optional parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveDoc>,
    /// What workspaces that run have; left out with the other optional parts, and before Docker was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated: Option<ShareDoc>,
    /// What is left for workspaces: what is in effect, else what the machine has, without what is allocated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<ShareDoc>,
    /// The workspaces of this host; left out as `allocated` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Vec<WorkspaceDoc>>,
    /// The desired state in force, and how far it is applied.
    pub observed: ObservedDoc,
    /// Standing statements: with every heartbeat, whatever else is left out.
    pub conditions: Vec<ConditionDoc>,
    /// Revision of the inventory, whether or not it is in this heartbeat.
    pub inventory_rev: String,
    /// All about the GPUs that does not change by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// The agent; goes with the inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentInfo>,
}
