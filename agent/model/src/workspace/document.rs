//! A desired state, as far as workspaces follow from it. Each part is read by itself: a wrong workspace takes no other one down.

use super::fields::{WHOLE, whole, wrong};
use crate::desired::WishText;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Most workspaces of one document.
pub const MOST_WORKSPACES: usize = 4096;

/// The desired state.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Document {
    /// What holds for the whole host.
    #[serde(default)]
    pub agent: Agent,
    /// The driver and toolkit containers.
    #[serde(default)]
    pub nvidia: Nvidia,
    /// What is wanted of GPUs.
    #[serde(default)]
    pub gpus: Vec<DesiredGpu>,
    /// Images.
    #[serde(default)]
    pub images: Vec<Image>,
    /// Workspaces, unread.
    #[serde(default, deserialize_with = "unread")]
    pub workspaces: Vec<WishText>,
    /// So many of them, from the first on, are wishes of this host itself; the others are the manager's.
    #[serde(skip)]
    pub from_local: usize,
}

fn unread<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WishText>, D::Error> {
    let all = Vec::<Value>::deserialize(deserializer)?;
    Ok(all.iter().map(WishText::from).collect())
}

/// A whole number, also where it is written as `30.0`; null is 0.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(maybe_whole_number(deserializer)?.unwrap_or_default())
}

/// The same, where null is none.
fn maybe_whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let read = |value: Value| whole(&value).ok_or_else(|| D::Error::custom(wrong(&value, WHOLE)));
    Option::<Value>::deserialize(deserializer)?.map(read).transpose()
}

/// `agent`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// The host takes workspaces at all.
    pub enabled: bool,
    /// It takes no new ones.
    pub draining: bool,
    /// Most workspaces.
    pub max_workspaces: Option<u64>,
    /// What is given away instead of what is there.
    pub overrides: Overrides,
}

impl Default for Agent {
    fn default() -> Self {
        Self { enabled: true, draining: false, max_workspaces: None, overrides: Overrides::default() }
    }
}

/// `agent.overrides`; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Cores.
    pub cores: f64,
    /// Memory, in bytes.
    pub memory: u64,
    /// GPUs that may be shared.
    pub cuda_gpus: u64,
}

/// `nvidia`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Nvidia {
    /// Image of the toolkit container.
    pub toolkit_image: Option<String>,
}

/// An entry of `gpus`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DesiredGpu {
    /// Which GPUs.
    #[serde(rename = "match")]
    pub matches: Match,
    /// `auto`, `off`, `containers` or `passthrough`.
    #[serde(rename = "use")]
    pub usage: Option<String>,
    /// Features by name.
    pub features: BTreeMap<String, Switch>,
    /// It serves this context alone.
    pub security_context: Option<String>,
}

/// Which GPUs an entry is about; all that is named has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Match {
    /// UUID.
    pub uuid: Option<String>,
    /// PCI address.
    pub bdf: Option<String>,
    /// Device and vendor.
    pub pci_id: Option<String>,
}

/// Whether a feature is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// None where the document does not say.
    pub enabled: Option<bool>,
}

/// An entry of `images`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Image {
    /// Its id in the document.
    pub image_id: String,
    /// Its reference.
    pub name: String,
    /// Workspaces may be made of it.
    pub enabled: bool,
    /// Digest, where the reference has none.
    #[serde(default)]
    pub hash: Option<String>,
    /// Its size once it is unpacked, in MB.
    #[serde(default, deserialize_with = "whole_number")]
    pub uncompressed_size_mb: u64,
    /// The registry that the login is for, where the reference does not say.
    #[serde(default)]
    pub docker_registry: Option<String>,
    /// The user of the login.
    #[serde(default)]
    pub docker_user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub docker_token: Option<RegistryToken>,
    /// Cores of a workspace that does not say.
    #[serde(default)]
    pub cores: Option<f64>,
    /// Memory of a workspace that does not say, in bytes.
    #[serde(default, deserialize_with = "maybe_whole_number")]
    pub memory: Option<u64>,
    /// GPUs of a workspace that does not say.
    #[serde(default, deserialize_with = "whole_number")]
    pub gpu_count: u64,
    /// It needs a GPU: with a count of 0 all that there are.
    #[serde(default)]
    pub require_gpu: Option<bool>,
    /// What it uses GPUs for.
    #[serde(default)]
    pub gpu_features: Vec<String>,
    /// Docker's settings.
    #[serde(default)]
    pub run_config: Option<Value>,
    /// Commands.
    #[serde(default)]
    pub exec_config: Option<Value>,
}

/// A password. It is shown nowhere.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct RegistryToken(String);

impl RegistryToken {
    /// As it is.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RegistryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryToken")
    }
}
