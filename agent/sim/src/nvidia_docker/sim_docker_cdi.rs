//! CDI in the simulated Docker, as far as its version, its file and a restart decide about it.

/// What concerns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimDockerCdi {
    /// Version of the engine.
    pub version: &'static str,
    /// The file has `features.cdi`.
    pub in_file: bool,
    /// The engine was started with it.
    pub in_force: bool,
    /// A restart takes it up.
    pub takes: bool,
    /// The engine does not start with it.
    pub does_not_start: bool,
    /// The engine is a service of systemd.
    pub is_service: bool,
    /// The hand refuses to restart it.
    pub refuses_restart: bool,
    /// Containers outlive the engine.
    pub live_restore: bool,
    /// Containers of others that run.
    pub others: u32,
    /// How often the engine was started again.
    pub restarts: u32,
}

impl Default for SimDockerCdi {
    fn default() -> Self {
        Self {
            version: "28.5.2",
            in_file: false,
            in_force: false,
            takes: true,
            does_not_start: false,
            is_service: true,
            refuses_restart: false,
            live_restore: false,
            others: 0,
            restarts: 0,
        }
    }
}
