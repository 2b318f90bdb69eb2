//! Whether the simulated Docker answers, and in what one Docker differs from another.

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// It answers.
    Up,
    /// Its socket refuses: it was stopped.
    Away,
    /// It was killed, and its containers live on under their shims until it returns.
    Killed,
    /// It takes every request and answers none: every call ends at its deadline.
    Hangs,
    /// Its containerd was killed: it shows what ran as running, while stop and remove fail until Docker is started again
    /// (seen on 28.5 and 29.7: "did not receive an exit event").
    Deaf,
}

/// In what one Docker differs from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRules {
    /// `live-restore`: containers go on while Docker is away, with their pids (seen on 20.10, 26.1 and 28.5).
    pub live_restore: bool,
    /// The exit status that it shows for a container that ended while it was away; 255 on 28.5 and 29.7, 7 on 20.10.
    pub invented_exit: i64,
    /// A frozen container can be stopped: Docker sends the signal and resumes it (`daemon/kill.go`); Podman refuses.
    pub stops_paused: bool,
    /// Cores of the machine: more than these are refused at create.
    pub cores: u32,
    /// The runtimes that are configured.
    pub has_nvidia_runtime: bool,
    /// A removal takes so long, in milliseconds; until then the container is shown as `removing`.
    pub removal_takes_ms: u64,
}

impl Default for EngineRules {
    fn default() -> Self {
        Self {
            live_restore: false,
            invented_exit: 255,
            stops_paused: true,
            cores: 64,
            has_nvidia_runtime: true,
            removal_takes_ms: 0,
        }
    }
}
