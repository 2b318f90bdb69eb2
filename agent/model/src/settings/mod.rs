//! Settings: what the administrator configures, parsed from TOML fragments that name file, line and field when they are wrong.

mod check;
mod host_naming;
mod kept;
mod log_filter;
mod overlay;
mod read;

pub use check::is_https;
pub use host_naming::{HostNaming, of_template};
pub use kept::{KeptError, KeptSettings};
pub use log_filter::{LogFilter, LogLevel};
pub use overlay::{DrainAt, GpuOverlay, HostSetting, NvidiaOverlay, SettingsOverlay};
pub use read::{Merged, merge};

use crate::checkin::Pins;
use crate::features::FeatureName;
use crate::ids::PciAddress;
use crate::nvidia_container::NvidiaWish;
use crate::prune_mode::PruneMode;
use crate::readiness::GateName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All settings, after the fragments were laid over each other. Every field has a default that works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The daemon itself.
    pub agent: AgentSettings,
    /// The manager that it checks in with.
    pub manager: ManagerSettings,
    /// Docker.
    pub docker: DockerSettings,
    /// NVIDIA driver probes.
    pub nvidia: NvidiaSettings,
    /// Images that gpuhostd has pulled.
    pub images: ImagesSettings,
    /// Metrics for Prometheus.
    pub metrics: MetricsSettings,
    /// The readiness call of an autoscaled host.
    pub readiness: ReadinessSettings,
    /// Where the certificate of the workspace proxy is kept.
    pub proxy: ProxySettings,
    /// Single GPUs, by PCI address: `[gpu."0000:41:00.0"]`.
    pub gpu: BTreeMap<PciAddress, GpuSettings>,
    /// What a desired state has set over the files: no file of settings has it.
    #[serde(skip)]
    pub desired: SettingsOverlay,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuSettings {
    /// Features that no workspace may use on it: `cuda`, `nvenc`, `nvdec`, `vaapi`, `dri3`, `egl`, `vulkan`.
    pub features_off: BTreeSet<FeatureName>,
}

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSettings {
    /// Seconds between two samples of driver, Docker and host facts. PCI is read on change, not on time.
    pub sample_interval_s: u64,
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, also by target as `info,zbus=warn`.
    pub log_level: LogFilter,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self { sample_interval_s: 30, log_level: LogFilter::default() }
    }
}

/// The manager that the host checks in with. Without `urls` the host is on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerSettings {
    /// Managers, `https://manager.example:443`; the first one that answers is kept.
    pub urls: Vec<String>,
    /// PEM file with the only certificate authorities that are trusted.
    pub ca_file: Option<String>,
    /// SHA-256 of the manager's certificate, 64 hexadecimal digits (colons allowed): trusted instead of an authority. A list of two
    /// while one certificate follows the other.
    pub pin_sha256: Pins,
    /// File with the one-use enrolment token (0640 root:gpuhostd).
    pub enrolment_token_file: Option<String>,
    /// File with the shared manager token, for managers that know no agent of its own.
    pub shared_token_file: Option<String>,
    /// Server id given by an autoscaler.
    pub server_id: Option<String>,
    /// Zone of this host; managers of the same zone come first.
    pub zone: Option<String>,
    /// Provider name, `hardware` where nothing else is set.
    pub provider: String,
    /// Name under which users reach this host.
    pub public_hostname: Option<String>,
    /// Port under which users reach this host.
    pub public_port: u16,
    /// Seconds between two heartbeats, 5..=300; the manager's reply changes it.
    pub heartbeat_interval_s: u64,
    /// Trusts any certificate. Never set it but in a test; raises a permanent condition.
    pub insecure_skip_verify: bool,
    /// Paths of the manager API.
    pub paths: ManagerPaths,
}

impl Default for ManagerSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            ca_file: None,
            pin_sha256: Pins::default(),
            enrolment_token_file: None,
            shared_token_file: None,
            server_id: None,
            zone: None,
            provider: "hardware".to_owned(),
            public_hostname: None,
            public_port: 443,
            heartbeat_interval_s: 30,
            insecure_skip_verify: false,
            paths: ManagerPaths::default(),
        }
    }
}

/// Paths of the manager API, each below the manager's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerPaths {
    /// GET: protocols and features.
    pub version: String,
    /// POST: enrolment.
    pub enroll: String,
    /// POST: heartbeat.
    pub heartbeat: String,
    /// GET: desired state.
    pub desired_state: String,
    /// POST: events.
    pub events: String,
    /// POST: a new credential.
    pub credentials: String,
    /// POST: goodbye.
    pub deregister: String,
}

impl Default for ManagerPaths {
    fn default() -> Self {
        let path = |name: &str| format!("/manager_api/api/v1/{name}");
        Self {
            version: path("version"),
            enroll: path("enroll"),
            heartbeat: path("heartbeat"),
            desired_state: path("desired_state"),
            events: path("events"),
            credentials: path("credentials"),
            deregister: path("deregister"),
        }
    }
}

/// Docker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerSettings {
    /// Docker's socket.
    pub socket: String,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self { socket: "/var/run/docker.sock".to_owned() }
    }
}

/// Images that gpuhostd has pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagesSettings {
    /// How much of them is removed while nothing needs them.
    pub prune: PruneMode,
    /// Seconds between two times that they are looked at, ± 10 %.
    pub interval_s: u64,
    /// Per cent of Docker's disk that may be used; the rest is its reserve.
    pub disk_usage_limit_pct: u64,
    /// So many are pulled at once.
    pub concurrent_pulls: u64,
}

impl ImagesSettings {
    /// More are never pulled at once.
    pub const CONCURRENT_PULLS_MOST: u64 = 16;
}

impl Default for ImagesSettings {
    fn default() -> Self {
        Self { prune: PruneMode::Normal, interval_s: 3600, disk_usage_limit_pct: 90, concurrent_pulls: 2 }
    }
}

/// NVIDIA driver probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvidiaSettings {
    /// Where libnvidia-ml.so.1 is looked for, in this order; a bare name is left to the dynamic linker.
    pub nvml_paths: Vec<String>,
    /// Where nvidia-smi is looked for, in this order.
    pub smi_paths: Vec<String>,
    /// Milliseconds that a probe may take.
    pub probe_timeout_ms: u64,
    /// What is deployed of NVIDIA's driver and toolkit containers; its keys are in `[nvidia]` too.
    #[serde(flatten)]
    pub deployment: NvidiaWish,
}

impl Default for NvidiaSettings {
    fn default() -> Self {
        let list = |paths: &[&str]| paths.iter().map(|p| (*p).to_owned()).collect();
        Self {
            nvml_paths: list(&[
                "libnvidia-ml.so.1",
                "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
                "/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
            ]),
            smi_paths: list(&["/usr/bin/nvidia-smi", "/run/nvidia/driver/usr/bin/nvidia-smi"]),
            probe_timeout_ms: 30_000,
            deployment: NvidiaWish::default(),
        }
    }
}

/// Metrics for Prometheus: each way out is off where nothing is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsSettings {
    /// Unix stream socket that answers `GET /metrics`.
    pub socket: Option<String>,
    /// File for node_exporter's textfile collector; its name ends in `.prom`.
    pub textfile: Option<String>,
    /// Directory with a file for each GPU and the ids of the workspaces that have it: dcgm-exporter's HPC job mapping directory.
    pub job_mapping: Option<String>,
}

/// The readiness call of an autoscaled host: off without an upstream and a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadinessSettings {
    /// Where it goes, `https://upstream.example:443`.
    pub upstream: Option<String>,
    /// File with the token (0640 root:gpuhostd); without it the systemd credential `gpuhostd.readiness-jwt` is used.
    pub jwt_file: Option<String>,
    /// PEM file with the only certificate authorities that are trusted for it; without it, as the manager is trusted.
    pub ca_file: Option<String>,
    /// What has to be there before it.
    pub gates: Vec<GateName>,
    /// Path of the call.
    pub path: String,
}

impl Default for ReadinessSettings {
    fn default() -> Self {
        let path = "/api/set_server_status".to_owned();
        Self { upstream: None, jwt_file: None, ca_file: None, gates: GateName::ALL.to_vec(), path }
    }
}

/// Where the certificate of the workspace proxy is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxySettings {
    /// Directory of the daemon; below it `current` leads to `cert.pem` and `key.pem`.
    pub directory: String,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self { directory: "/var/lib/gpuhostd/proxy".to_owned() }
    }
}
