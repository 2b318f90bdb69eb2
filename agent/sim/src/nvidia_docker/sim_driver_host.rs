//! The simulated host around a driver container: mounts at `/run/nvidia` and readiness files, by the rules of the kernel and of the hand.

use model::driver_host::{DriverHostStep, MountStep, READINESS_FILES, RunNvidiaMounts, SHARED_BY_US};
use model::nvidia_container::DriverHostSeen;

/// Where a driver container mounts its root.
const DRIVER: &str = "/run/nvidia/driver";

/// Mounts and files in `/run/nvidia`: they go with the boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimDriverHost {
    /// `/run` is shared, as systemd has it.
    pub is_run_shared: bool,
    /// `/run/nvidia` is mounted on itself, shared.
    pub is_bound: bool,
    /// How many roots of driver containers lie on one another.
    pub layers: usize,
    /// A process uses the upmost one, so that it is detached at most.
    pub is_in_use: bool,
    /// Unmounts that were refused because of that.
    pub refused_unmounts: usize,
    /// Both readiness files are there.
    pub is_marked_ready: bool,
    /// The status of the daemons that the driver container writes.
    pub has_daemons_status: bool,
}

impl SimDriverHost {
    /// As a look shows it.
    #[must_use]
    pub fn seen(&self, driver_runs: bool) -> DriverHostSeen {
        let shared = if self.is_run_shared { " shared:5" } else { "" };
        let mut text = format!("28 1 254:0 / / rw - ext4 v rw\n31 28 0:25 / /run rw{shared} - tmpfs t rw\n");
        if self.is_bound {
            text.push_str("40 31 0:25 /nvidia /run/nvidia rw shared:7 - tmpfs t rw\n");
        }
        let mut on = if self.is_bound { 40 } else { 31 };
        for layer in 0..self.layers {
            let id = 100 + layer;
            text.push_str(&format!("{id} {on} 0:60 / {DRIVER} rw shared:9 - overlay o rw\n"));
            on = id;
        }
        let file = |name: &str| {
            let is_status = name == READINESS_FILES[2].name();
            if is_status { self.has_daemons_status } else { self.is_marked_ready }
        };
        let names = READINESS_FILES.iter().map(|one| one.name()).filter(|name| file(name));
        DriverHostSeen {
            mounts: Some(RunNvidiaMounts::read(text.as_bytes())),
            is_shared_by_us: self.is_bound,
            entrypoint_runs: driver_runs,
            readiness_files: names.map(str::to_owned).collect(),
        }
    }

    /// Takes a step, as the host hand does.
    ///
    /// # Errors
    /// The host or the hand refuses it.
    pub fn act(&mut self, step: &DriverHostStep, driver_runs: bool, driver_ready: bool) -> Result<(), String> {
        match step {
            DriverHostStep::Mounts(MountStep::ShareRunNvidia) => {
                self.is_bound |= !self.is_run_shared;
                Ok(())
            }
            DriverHostStep::Mounts(MountStep::UnshareRunNvidia) if self.layers > 0 => {
                Err(format!("{DRIVER} is still mounted ({SHARED_BY_US})"))
            }
            DriverHostStep::Mounts(MountStep::UnshareRunNvidia) => {
                self.is_bound = false;
                Ok(())
            }
            DriverHostStep::Mounts(MountStep::Unmount { .. }) if driver_runs => {
                Err("a driver container is running: stop it first".to_owned())
            }
            DriverHostStep::Mounts(MountStep::Unmount { lazily: None, path }) if self.is_in_use => {
                self.refused_unmounts += 1;
                Err(format!("umount: {path}: target is busy."))
            }
            DriverHostStep::Mounts(MountStep::Unmount { .. }) => {
                self.layers = self.layers.saturating_sub(1);
                self.is_in_use = false;
                Ok(())
            }
            DriverHostStep::WriteReadiness if !driver_ready => Err("the module nvidia is not loaded".to_owned()),
            DriverHostStep::WriteReadiness => {
                self.is_marked_ready = true;
                Ok(())
            }
            DriverHostStep::RemoveReadiness => {
                (self.is_marked_ready, self.has_daemons_status) = (false, false);
                Ok(())
            }
        }
    }

    /// A driver container is started. Returns what it should have found otherwise.
    pub(super) fn driver_starts(&mut self) -> Option<&'static str> {
        let is_shared = self.is_run_shared || self.is_bound;
        let fault = match (is_shared, self.is_marked_ready || self.has_daemons_status) {
            (false, _) => Some("a driver container was started while /run/nvidia is not shared"),
            (true, true) => Some("a driver container was started beside the readiness files of an earlier one"),
            (true, false) => None,
        };
        (self.layers, self.has_daemons_status) = (self.layers + 1, true);
        fault
    }
}
