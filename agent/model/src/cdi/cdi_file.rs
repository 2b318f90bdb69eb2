//! What is known of a specification once its text has been read: devices, driver versions, paths that are not there.

use super::cdi_spec::Spec;
use super::spec_version::SpecVersion;
use serde::{Deserialize, Serialize};

/// Most missing paths that are kept of one file or device: the first ones name the cause.
const MISSING_MAX: usize = 8;

/// A specification in one of an engine's directories. Of a file that nothing can read only `path` and `broken` are known; of one that
/// is too new for the engine, everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdiFile {
    /// Its path.
    pub path: String,
    /// Why an engine takes nothing of it; `None` if it does.
    pub broken: Option<String>,
    /// Driver versions in the names of its libraries, sorted.
    pub drivers: Vec<String>,
    /// Paths on the host that each of its devices needs and that are not there; at most 8.
    pub missing: Vec<String>,
    /// Its devices.
    pub devices: Vec<CdiFileDevice>,
}

/// A device of a [`CdiFile`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdiFileDevice {
    /// `0`, `gpu0`, `GPU-…`, `all`, `MIG-…`.
    pub name: String,
    /// Minor numbers of the GPUs whose nodes it gives, sorted.
    pub minors: Vec<u32>,
    /// Paths on the host that it needs and that are not there; at most 8.
    pub missing: Vec<String>,
}

impl CdiFile {
    /// The facts of a file that was read. `newest` is what the engine reads; `is_missing` looks at a path on the host.
    #[must_use]
    pub fn of(
        path: String,
        read: Result<&Spec, String>,
        newest: SpecVersion,
        is_missing: impl Fn(&str) -> bool,
    ) -> Self {
        let spec = match read {
            Ok(spec) => spec,
            Err(why) => return Self { path, broken: Some(why), ..Self::default() },
        };
        let missing = |paths: &[String]| {
            let absent = paths.iter().filter(|path| path.starts_with('/') && is_missing(path));
            absent.take(MISSING_MAX).cloned().collect()
        };
        let devices = spec.devices.iter().map(|device| CdiFileDevice {
            name: device.name.clone(),
            minors: device.minors().into_iter().collect(),
            missing: missing(&device.host_paths),
        });
        Self {
            path,
            broken: spec.refused_by(newest),
            drivers: spec.driver_versions().into_iter().map(str::to_owned).collect(),
            missing: missing(&spec.common_paths),
            devices: devices.collect(),
        }
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// The device of this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&CdiFileDevice> {
        self.devices.iter().find(|device| device.name == name)
    }
}
