//! What can be wished of a host, key by key.

use super::desired_key::Desired;
use super::desired_mig::DesiredMig;
use super::desired_proxy::DesiredProxy;
use super::wish_text::WishText;
use crate::docker_config::DockerRestart;
use crate::features::FeatureName;
use crate::ids::{GpuUuid, PciAddress, PciId};
use crate::nvidia_container::{DriverRootWish, NvidiaImage};
use crate::prune_mode::PruneMode;
use crate::settings::LogFilter;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All wishes of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredSections {
    /// `agent`: this host.
    pub agent: DesiredAgent,
    /// `nvidia`: the driver and the toolkit container.
    #[serde(default)]
    pub nvidia: DesiredNvidia,
    /// `gpus`, in the order of the document.
    pub gpus: Vec<GpuEntry>,
    /// `images`, in the order of the document.
    #[serde(default)]
    pub images: Desired<Vec<WishText>>,
    /// `workspaces`, in the order of the document. Where the list is not there, nothing is wished of any workspace.
    #[serde(default)]
    pub workspaces: Desired<Vec<WishText>>,
    /// `proxy`: the certificate of the workspace proxy.
    #[serde(default)]
    pub proxy: DesiredProxy,
}

/// `nvidia`: what is deployed of NVIDIA's two containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredNvidia {
    /// A driver container is deployed.
    pub deploy_driver: Desired<bool>,
    /// From this image.
    pub driver_image: Desired<NvidiaImage>,
    /// A toolkit container is deployed.
    pub deploy_toolkit: Desired<bool>,
    /// From this image.
    pub toolkit_image: Desired<NvidiaImage>,
    /// Where it looks for the driver's files.
    pub driver_root: Desired<DriverRootWish>,
    /// When Docker may be restarted.
    pub docker_restart: Desired<DockerRestart>,
}

/// `agent`: settings of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredAgent {
    /// Work may be placed here.
    pub enabled: Desired<bool>,
    /// No new work; what runs may end.
    pub draining: Desired<bool>,
    /// From when on it drains; `null` = no such time.
    pub drain_at: Desired<UnixMillis>,
    /// Labels of this host, all of them.
    pub labels: Desired<BTreeMap<String, String>>,
    /// Zone.
    pub zone: Desired<String>,
    /// Pool.
    pub pool: Desired<String>,
    /// The most workspaces at once.
    pub max_workspaces: Desired<u32>,
    /// Capacities that are reported in place of the physical ones.
    pub overrides: CapacityOverrides,
    /// Seconds between heartbeats, 5..=300.
    pub heartbeat_interval_s: Desired<u64>,
    /// `reconcile_interval_s`: seconds between samples.
    pub sample_interval_s: Desired<u64>,
    /// How much is written to the log.
    pub log_level: Desired<LogFilter>,
    /// How much of the images that gpuhostd has pulled is removed.
    pub prune: Desired<PruneMode>,
    /// `disk_usage_limit`: per cent of Docker's disk that may be used.
    pub disk_usage_limit_pct: Desired<u64>,
    /// `max_concurrent_docker_pulls`.
    pub concurrent_pulls: Desired<u64>,
}

/// Capacities that are reported in place of the physical ones; 0 = none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapacityOverrides {
    /// `cores`, in thousandths of a core.
    pub millicores: Desired<u64>,
    /// `memory`, in bytes.
    pub memory_bytes: Desired<u64>,
    /// CUDA GPUs.
    pub cuda_gpus: Desired<u32>,
}

/// One entry of `gpus`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GpuEntry {
    /// Which GPU.
    pub of: GpuMatch,
    /// What it is for.
    pub usage: Desired<DesiredUse>,
    /// It serves workspaces of this security context alone.
    #[serde(default)]
    pub security_context: Option<String>,
    /// How it is cut into MIG devices.
    pub mig: DesiredMig,
    /// Features on (`true`) and off; a name that this version does not know is in [`GpuEntry::unknown_features`].
    pub features: BTreeMap<FeatureName, Desired<bool>>,
    /// Names of features that this version does not know.
    pub unknown_features: Vec<String>,
}

/// Which GPU an entry is about: all keys that are there must agree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GpuMatch {
    /// NVIDIA's UUID.
    pub uuid: Option<GpuUuid>,
    /// PCI address.
    pub bdf: Option<PciAddress>,
    /// Vendor and device id.
    pub pci_id: Option<PciId>,
    /// A key that has no readable value, or none at all: why nothing can match.
    pub wrong: Option<String>,
}

/// What a GPU is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DesiredUse {
    /// Nobody wishes anything: as it is.
    Auto,
    /// Nothing: no workspace may be placed on it.
    Off,
    /// Containers of this host.
    Containers,
    /// Virtual machines: bound to vfio-pci.
    Passthrough,
}

impl DesiredUse {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in a document.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The one of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        code.parse().ok()
    }
}
