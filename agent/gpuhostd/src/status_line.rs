//! The one line that `systemctl status` shows.

use model::enrol::{CheckinState, CheckinStatus};
use model::observation::{GpuUse, HostObservation};
use model::time::UnixMillis;

/// `8 GPUs (6 usable, 1 passthrough, 1 not usable) · driver 580.105.08 · Docker 28.2.2 · manager ok`.
#[must_use]
pub(crate) fn line(observation: &HostObservation, checkin: &CheckinStatus, now: UnixMillis) -> String {
    if observation.sequence == 0 {
        return "looking at the host".to_owned();
    }
    let driver =
        observation.driver_version.as_ref().map_or("no NVIDIA driver answers".to_owned(), |v| format!("driver {v}"));
    let docker = match &observation.docker {
        Ok(facts) => format!("Docker {}", facts.version.as_deref().unwrap_or("of unknown version")),
        Err(fault) => format!("Docker {}", fault.code().replace('_', " ")),
    };
    [gpus(observation), driver, docker, manager(checkin, now)].join(" · ")
}

fn gpus(observation: &HostObservation) -> String {
    let total = observation.gpus.len();
    let usable = observation.gpus.iter().filter(|gpu| gpu.schedulable).count();
    let given = observation.gpus.iter().filter(|gpu| gpu.usage == GpuUse::Passthrough).count();
    let rest = total.saturating_sub(usable).saturating_sub(given);
    let parts = [(usable, "usable"), (given, "passthrough"), (rest, "not usable")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    match (total, parts.is_empty()) {
        (0, _) | (_, true) => "no GPU".to_owned(),
        (1, false) => format!("1 GPU ({})", parts.join(", ")),
        (_, false) => format!("{total} GPUs ({})", parts.join(", ")),
    }
}

fn manager(checkin: &CheckinStatus, now: UnixMillis) -> String {
    if checkin.state == CheckinState::NotEnrolled {
        return "not enrolled".to_owned();
    }
    let state = format!("manager {}", checkin.state.code().replace('_', " "));
    match checkin.last_accepted {
        Some(at) => format!("{state}, last heartbeat {} s ago", now.0.saturating_sub(at.0).max(0) / 1000),
        None => state,
    }
}
