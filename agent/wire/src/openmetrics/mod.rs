//! The metrics as text for Prometheus: from one observation and the check-in, without any I/O.
//!
//! What NVIDIA's driver gives is under the names and labels of DCGM, so that dashboards and alerts made for dcgm-exporter
//! go on working; what is the daemon's own begins with `gpuhostd_`. A value that is not known is not there: never 0, never a
//! sentinel.

mod daemon_metrics;
mod gpu_metrics;
mod text;
mod workspace_metrics;

use model::enrol::CheckinStatus;
use model::observation::HostObservation;
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::WorkspacesState;

pub use text::Flavour;

/// What the metrics are made of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Version of the daemon.
    pub version: &'a str,
    /// The latest observation.
    pub seen: &'a HostObservation,
    /// The state of the check-in.
    pub checkin: &'a CheckinStatus,
    /// Workspaces.
    pub workspaces: &'a WorkspacesState,
    /// Now, on CLOCK_BOOTTIME.
    pub boot_now: BootMillis,
}

/// All metrics as one text.
#[must_use]
pub fn render(source: &Source<'_>, flavour: Flavour) -> String {
    let mut families = daemon_metrics::families(source);
    families.extend(workspace_metrics::families(source.workspaces));
    families.extend(gpu_metrics::families(source.seen));
    text::write(&families, flavour)
}

/// Seconds with three decimals of an instant, for `_timestamp_seconds`; an instant before 1970 is none.
fn seconds(when: UnixMillis) -> Option<text::Value> {
    u64::try_from(when.0).ok().map(text::Value::Millis)
}
