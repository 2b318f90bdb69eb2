//! What can be done about CDI on a host, and what a look shows.

use super::cdi_file::CdiFile;
use super::fresh::CdiHost;
use crate::device_links::DeviceLinks;
use crate::nvidia_container::DriverRootKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Our own specification.
pub const OURS: &str = "/var/run/cdi/gpuhostd-nvidia.json";

/// Which directories an engine reads, and up to which form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdiReader {
    /// Its directories for specifications (`CDISpecDirs` of `GET /info`), in its order.
    pub directories: Vec<String>,
    /// Version of Docker, if it is known.
    pub docker_version: Option<String>,
}

/// What a look shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdiLook {
    /// The specifications in the directories, in the order of the directories; ours among them.
    pub files: Vec<CdiFile>,
    /// Directories and files that could not be looked at, one sentence each.
    pub problems: Vec<String>,
    /// The `nvidia-ctk` that would be asked; `None` if none is installed.
    pub generator: Option<String>,
    /// Links of NVIDIA's device numbers.
    pub links: DeviceLinks,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CdiStep {
    /// Generate our specification, check it against the host, and write it if it differs from what is there.
    Generate {
        /// Where the driver's files are.
        driver_root: DriverRootKind,
        /// Who reads it.
        reader: CdiReader,
        /// What it has to fit.
        host: CdiHost,
    },
    /// Remove our specification.
    Remove,
    /// Make the missing links in `/dev/char`.
    LinkDevices,
}

impl fmt::Display for CdiStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate { .. } => write!(f, "generate {OURS}"),
            Self::Remove => write!(f, "remove {OURS}"),
            Self::LinkDevices => f.write_str("link NVIDIA's device files in /dev/char"),
        }
    }
}
