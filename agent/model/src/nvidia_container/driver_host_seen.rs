//! The host around a driver container as a look shows it.

use crate::driver_host::{DriverHostFacts, READINESS_FILES, RunNvidiaMounts, readiness_content};

/// What is mounted at `/run/nvidia`, and what other containers read there about the driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverHostSeen {
    /// Mounts at and below `/run/nvidia`; `None` if they could not be read.
    pub mounts: Option<RunNvidiaMounts>,
    /// gpuhostd has mounted `/run/nvidia` on itself since the boot.
    pub is_shared_by_us: bool,
    /// The entrypoint of a driver container runs, also one of another program.
    pub entrypoint_runs: bool,
    /// Readiness files that are there, by name.
    pub readiness_files: Vec<String>,
}

impl From<&DriverHostFacts> for DriverHostSeen {
    fn from(facts: &DriverHostFacts) -> Self {
        Self {
            mounts: facts.mounts.known().cloned(),
            is_shared_by_us: facts.run_nvidia_is_ours,
            entrypoint_runs: facts.entrypoint_runs.get() == Some(true),
            readiness_files: facts.readiness_files.clone(),
        }
    }
}

impl DriverHostSeen {
    /// Both files by which other containers learn that the driver is ready are there.
    #[must_use]
    pub fn is_marked_ready(&self) -> bool {
        let written = READINESS_FILES.iter().filter(|file| readiness_content(**file, false).is_some());
        written.map(|file| file.name()).all(|name| self.readiness_files.iter().any(|found| found == name))
    }
}
