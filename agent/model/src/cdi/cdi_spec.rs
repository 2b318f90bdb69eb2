//! A CDI specification of GPUs: its devices, what it needs of the host, and which engine reads it.

use super::spec_version::SpecVersion;
use crate::printable::printable;
use std::collections::BTreeSet;

/// The kind whose devices are GPUs.
pub const KIND: &str = "nvidia.com/gpu";
/// Largest file that is read, in bytes. One for eight GPUs with MIG takes 60 KiB.
pub const FILE_MAX_BYTES: usize = 1024 * 1024;
/// Longest name of a device.
pub(super) const NAME_MAX_CHARS: usize = 128;
/// The device that stands for the others of its file.
pub const ALL: &str = "all";

/// A file of kind [`KIND`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// Version of the form, as the file states it.
    pub version: String,
    /// The lowest version that knows what is in it; `None` where that was not looked at.
    pub needs: Option<SpecVersion>,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Paths on the host that each of its devices needs: control nodes, libraries, hooks.
    pub common_paths: Vec<String>,
}

impl Spec {
    /// Every path on the host that it needs.
    #[must_use]
    pub fn host_paths(&self) -> BTreeSet<&str> {
        let of_devices = self.devices.iter().flat_map(|device| &device.host_paths);
        self.common_paths.iter().chain(of_devices).map(String::as_str).collect()
    }

    /// Versions of the driver in the names of its libraries, sorted.
    #[must_use]
    pub fn driver_versions(&self) -> BTreeSet<&str> {
        self.host_paths().into_iter().filter_map(driver_version).collect()
    }

    /// Why an engine that reads up to `newest` takes nothing of it.
    #[must_use]
    pub fn refused_by(&self, newest: SpecVersion) -> Option<String> {
        let Some(version) = SpecVersion::read(&self.version) else {
            return Some(format!("its cdiVersion {:?} is none that exists", printable(&self.version, 40)));
        };
        if version > newest {
            return Some(format!("its cdiVersion {} is newer than this Docker reads ({newest})", self.version));
        }
        let needs = self.needs.filter(|needs| *needs > version)?;
        Some(format!("its cdiVersion {} is too old for what is in it, which needs {needs}", self.version))
    }
}

/// The driver's version in the name of one of its own libraries; others have versions of their own.
fn driver_version(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let version = name.strip_prefix("libcuda.so.").or_else(|| name.strip_prefix("libnvidia-ml.so."))?;
    (version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit())).then_some(version)
}

/// A device of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// `0`, `gpu0`, `GPU-…`, `all`, `MIG-…`.
    pub name: String,
    /// Device nodes on the host.
    pub nodes: Vec<String>,
    /// Paths on the host that it needs: its nodes, mounts, hooks.
    pub host_paths: Vec<String>,
}

impl Device {
    /// Minor numbers of the GPUs whose nodes it gives: `/dev/nvidia3` is 3, below the root of a driver container as well.
    #[must_use]
    pub fn minors(&self) -> BTreeSet<u32> {
        self.nodes.iter().filter_map(|node| node.rsplit_once("/dev/nvidia")?.1.parse().ok()).collect()
    }
}

/// The name of a file that an engine reads: by its end alone, so that a hidden one is read too, and `.yml` is not.
#[must_use]
pub fn is_spec(name: &str) -> bool {
    [".json", ".yaml"].iter().any(|end| name.ends_with(end))
}
