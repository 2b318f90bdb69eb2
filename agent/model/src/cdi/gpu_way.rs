//! Which way GPUs get into a container on this host: by CDI, by NVIDIA's runtime, or not at all. What Docker reports decides, never
//! its version.

use super::cdi_file::{CdiFile, CdiFileDevice};
use super::cdi_spec::KIND;
use super::fresh::{CdiHost, SpecFault, device_fault};
use super::taken::{Owners, resolved};
use crate::docker::{ContainerEngine, DockerFacts, ROOTLESS_RUNTIME, RUNTIME};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The name of NVIDIA's runtime in Docker.
pub const NVIDIA_RUNTIME: &str = "nvidia";

/// Which way the wanted GPUs get into one container: all of them by the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuWay {
    /// By Docker itself, from CDI files.
    Cdi {
        /// Qualified names for a device request: `nvidia.com/gpu=GPU-…`.
        devices: Vec<String>,
    },
    /// By NVIDIA's runtime, which takes the UUIDs from a variable.
    Runtime {
        /// Its name in Docker.
        name: String,
    },
    /// By none.
    None(NoWay),
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoWay {
    /// Who answers at Docker's socket.
    pub engine: ContainerEngine,
    /// It runs without root.
    pub rootless: bool,
    /// What is wrong with CDI.
    pub cdi: CdiLack,
}

impl NoWay {
    /// The broken links, CDI first, each a clause.
    #[must_use]
    pub fn why(&self) -> Vec<String> {
        let runtime = format!("{} has no runtime {NVIDIA_RUNTIME}", self.engine.name());
        [Some(self.cdi.to_string()), (self.engine == ContainerEngine::Docker).then_some(runtime)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What to do: the smallest step first.
    #[must_use]
    pub fn remedy(&self) -> String {
        match (&self.cdi, self.engine) {
            (CdiLack::Disabled, ContainerEngine::Docker) if self.rootless => {
                format!("install nvidia-container-toolkit, then {ROOTLESS_RUNTIME}")
            }
            (CdiLack::Disabled, ContainerEngine::Docker) => format!("install nvidia-container-toolkit, then {RUNTIME}"),
            (lack, _) => lack.remedy(),
        }
    }
}

/// Why CDI does not provide a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CdiLack {
    /// Docker reports no directories for specifications.
    Disabled,
    /// No file that the engine reads defines the device.
    NotNamed {
        /// The device, without its kind.
        device: String,
        /// A file that the engine skips, and why.
        skipped: Option<(String, String)>,
    },
    /// Two files of one directory define it, and the engine then has neither.
    DefinedTwice {
        /// The device, without its kind.
        device: String,
        /// The two files.
        paths: [String; 2],
    },
    /// The file that defines it does not fit the host.
    Stale {
        /// The device, without its kind.
        device: String,
        /// The file.
        path: String,
        /// What does not fit.
        fault: SpecFault,
    },
}

impl CdiLack {
    /// For machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disabled => "cdi_disabled",
            Self::NotNamed { .. } => "cdi_not_named",
            Self::DefinedTwice { .. } => "cdi_defined_twice",
            Self::Stale { .. } => "cdi_stale",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let again = |path: &str| format!("generate it again: `nvidia-ctk cdi generate --output={path}`");
        match self {
            Self::Disabled => {
                "enable CDI in Docker: set `features.cdi` to true in /etc/docker/daemon.json, then `systemctl restart docker`".to_owned()
            }
            Self::NotNamed { skipped: Some((path, _)), .. } => again(path),
            Self::NotNamed { skipped: None, .. } => again("/var/run/cdi/nvidia.yaml"),
            Self::Stale { path, .. } => again(path),
            Self::DefinedTwice { paths: [one, other], .. } => format!("remove {one} or {other}"),
        }
    }
}

impl fmt::Display for CdiLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("CDI is disabled in Docker"),
            Self::NotNamed { device, skipped: None } => write!(f, "no CDI file names {}", qualified(device)),
            Self::NotNamed { device, skipped: Some((path, why)) } => {
                write!(f, "no CDI file names {}; {path} is skipped: {why}", qualified(device))
            }
            Self::DefinedTwice { device, paths: [one, other] } => {
                write!(f, "{one} and {other} both define {}, and Docker then has neither", qualified(device))
            }
            Self::Stale { device, path, fault } => {
                write!(f, "{path}, which defines {}, is stale: {fault}", qualified(device))
            }
        }
    }
}

/// The name of a device in a request.
#[must_use]
pub fn qualified(device: &str) -> String {
    format!("{KIND}={device}")
}

/// What CDI provides on this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdiState {
    /// The engine reads specifications at all.
    pub enabled: bool,
    /// Devices that a container can be given, without their kind.
    pub fresh: BTreeSet<String>,
    /// Why each of the others that a file defines cannot be given.
    pub lacks: BTreeMap<String, CdiLack>,
    /// A file that the engine skips, and why.
    pub skipped: Option<(String, String)>,
}

impl CdiState {
    /// Why a container cannot be given this device by CDI; `None` if it can.
    #[must_use]
    pub fn lack(&self, device: &str) -> Option<CdiLack> {
        if !self.enabled {
            return Some(CdiLack::Disabled);
        }
        if self.fresh.contains(device) {
            return None;
        }
        let not_named = || CdiLack::NotNamed { device: device.to_owned(), skipped: self.skipped.clone() };
        Some(self.lacks.get(device).cloned().unwrap_or_else(not_named))
    }
}

/// What CDI provides, from what the engine reports and from its files. A device that the engine lists and whose file could not be
/// looked at is taken at its word.
#[must_use]
pub fn cdi_state(docker: &DockerFacts, host: &CdiHost) -> CdiState {
    let listed = docker.cdi_devices.iter().filter_map(|name| name.strip_prefix(KIND)?.strip_prefix('='));
    let mut state = CdiState {
        enabled: !docker.cdi_spec_dirs.is_empty() || docker.engine == ContainerEngine::Podman,
        fresh: listed.map(str::to_owned).collect(),
        lacks: BTreeMap::new(),
        skipped: docker.cdi_files.iter().find_map(|file| Some((file.path.clone(), file.broken.clone()?))),
    };
    for (device, owners) in owners(docker) {
        let lack = match owners {
            Owners::Conflict([(one, _), (other, _)]) => {
                let paths = [one.path.clone(), other.path.clone()];
                CdiLack::DefinedTwice { device: device.to_owned(), paths }
            }
            Owners::One((file, defined)) => match device_fault(file, defined, host) {
                Some(fault) => CdiLack::Stale { device: device.to_owned(), path: file.path.clone(), fault },
                None => continue,
            },
        };
        state.fresh.remove(device);
        state.lacks.insert(device.to_owned(), lack);
    }
    state
}

/// The files are in the order of the engine's directories.
fn owners(docker: &DockerFacts) -> BTreeMap<&str, Owners<(&CdiFile, &CdiFileDevice)>> {
    let mut folder = 0_usize;
    let mut before: Option<&str> = None;
    let mut definitions = Vec::new();
    for file in docker.cdi_files.iter().filter(|file| file.broken.is_none()) {
        folder += usize::from(before.is_some_and(|before| before != file.directory()));
        before = Some(file.directory());
        definitions.extend(file.devices.iter().map(|device| (folder, device.name.as_str(), (file, device))));
    }
    resolved(definitions.into_iter())
}

/// Which way these GPUs get into a container. `wanted` are UUIDs of GPUs or MIG devices.
#[must_use]
pub fn gpu_way(state: &CdiState, docker: &DockerFacts, wanted: &[&str]) -> GpuWay {
    let Some(cdi) = wanted.iter().find_map(|device| state.lack(device)) else {
        return GpuWay::Cdi { devices: wanted.iter().map(|device| qualified(device)).collect() };
    };
    // Podman takes an OCI runtime of that name too, but its GPUs come by CDI.
    if docker.has_nvidia_runtime() && docker.engine == ContainerEngine::Docker {
        return GpuWay::Runtime { name: NVIDIA_RUNTIME.to_owned() };
    }
    GpuWay::None(NoWay { engine: docker.engine, rootless: docker.rootless, cdi })
}
