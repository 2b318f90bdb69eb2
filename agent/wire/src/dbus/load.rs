//! How busy the host around the GPUs is, and when the manager is expected to hear of it: what a live view shows above the GPUs.

use super::host::millis;
use model::enrol::CheckinStatus;
use model::observation::HostObservation;
use serde::{Deserialize, Serialize};

/// What is under `Load` in the observation; every value may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoadView {
    /// Seconds since the host booted.
    pub uptime_seconds: Option<u64>,
    /// Logical CPUs online.
    pub cpu_count: Option<u32>,
    /// Clock ticks of all CPUs since boot; the share of busy ones between two readings is the CPU load.
    pub cpu_ticks: Option<u64>,
    /// Those of them that were spent idle or waiting for I/O.
    pub cpu_idle_ticks: Option<u64>,
    /// Load averages of 1, 5 and 15 minutes.
    pub load_average: Option<[f64; 3]>,
    /// Main memory in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Memory that programs can still get, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// Containers that run, as Docker counts them.
    pub containers_running: Option<u32>,
    /// Seconds between two heartbeats now.
    pub heartbeat_interval_seconds: Option<u64>,
    /// When this was put together, on the daemon's wall clock, in milliseconds since 1970-01-01 UTC.
    pub now: Option<u64>,
}

impl LoadView {
    /// The view of one observation and of the check-in, at an instant.
    #[must_use]
    pub fn new(seen: &HostObservation, checkin: &CheckinStatus, now: model::time::UnixMillis) -> Self {
        let host = &seen.host;
        Self {
            uptime_seconds: host.uptime_s.get(),
            cpu_count: host.cores.get(),
            cpu_ticks: host.cpu.get().map(|cpu| cpu.total),
            cpu_idle_ticks: host.cpu.get().map(|cpu| cpu.idle),
            load_average: host.load_hundredths.get().map(|load| load.map(|hundredths| f64::from(hundredths) / 100.0)),
            memory_total_bytes: host.mem_total_bytes.get(),
            memory_available_bytes: host.mem_available_bytes.get(),
            containers_running: seen.docker.as_ref().ok().and_then(|docker| docker.containers_running),
            heartbeat_interval_seconds: Some(checkin.interval_s).filter(|seconds| *seconds > 0),
            now: millis(now),
        }
    }
}
