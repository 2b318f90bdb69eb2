//! Files that declare layouts: mig-parted's, taken to the letter, and our own form beside it.

pub mod assert;
pub mod checkpoint;
mod choose;
pub mod export;
pub mod filter;
pub mod host_gpus;
mod read_configs;
pub(crate) mod scalar;
pub(crate) mod yaml;

pub use choose::choose;
pub use filter::{BadDeviceId, DeviceId};
pub use read_configs::read;
pub use yaml::MOST_BYTES;

use super::profile::ProfileName;
use crate::ids::{GpuUuid, PciAddress};
use crate::printable::printable;
use std::fmt;

/// A fault of a file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1 on; none where it is about the file as a whole.
    pub line: Option<u64>,
    /// The field, `mig-configs.lab[0].mig-devices`; empty where there is none.
    pub field: String,
    /// What is wrong, and what was expected.
    pub why: String,
}

impl FileError {
    fn whole(why: String) -> Self {
        Self { line: None, field: String::new(), why }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for FileError {}

/// A text of a file as it may be shown: without control characters, at most 64 characters of it.
fn shown(text: &str) -> String {
    printable(text, 64)
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigFile {
    /// Its configurations, in the order of the file.
    pub configs: Vec<MigConfig>,
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigConfig {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: u64,
    /// What it reports about which GPUs.
    pub entries: Vec<MigConfigEntry>,
}

/// What a configuration reports about some GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigConfigEntry {
    /// Where it begins.
    pub line: u64,
    /// Boards that it is about; all where it names none.
    pub filter: Vec<DeviceId>,
    /// GPUs that it is about, among those that the filter leaves.
    pub devices: Devices,
    /// MIG mode.
    pub enabled: bool,
    /// The instances.
    pub instances: Vec<Instances>,
}

/// GPUs that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// All that can do MIG.
    All,
    /// These.
    These(Vec<DeviceName>),
}

/// A GPU as a file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceName {
    /// Its place among the GPUs that NVML answers for, in the order of their addresses.
    Index(u32),
    /// Its address; only in our own form.
    Address(PciAddress),
    /// Its UUID; only in our own form.
    Uuid(GpuUuid),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

/// Instances of one profile that an entry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    /// Which profile.
    pub profile: ProfileName,
    /// Where; only in our own form.
    pub start: Option<u32>,
    /// How many, from 1 on.
    pub count: u32,
}

impl ConfigFile {
    /// The configuration of that name, or the only one.
    ///
    /// # Errors
    /// There is none of that name; or none is named and there is not exactly one.
    pub fn select(&self, name: Option<&str>) -> Result<&MigConfig, String> {
        let all = || self.configs.iter().map(|config| shown(&config.name)).collect::<Vec<_>>().join(", ");
        match (name, self.configs.as_slice()) {
            (_, []) => Err("the file has no configuration".to_owned()),
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("the file has more than one configuration; name one of them: {}", all())),
            (Some(name), configs) => configs
                .iter()
                .find(|config| config.name == name)
                .ok_or_else(|| format!("there is no configuration {}; there are: {}", shown(name), all())),
        }
    }
}
