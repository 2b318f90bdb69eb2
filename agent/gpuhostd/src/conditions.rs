//! Logs which conditions came and went: afterwards somebody wants to know when they stood.

use engine::handle::Handle;
use model::condition::{Changes, ConditionLine, ConditionNow};
use model::desired::DocumentError;
use model::enrol::CheckinStatus;
use model::message::Message;
use model::ports::Clock;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Conditions whose coming has a message of its own, with another cause and cure for each; of these only the end is logged here.
const TOLD_ELSEWHERE: [&str; 9] = [
    "config_invalid",
    "policy_invalid",
    "journal_unreadable",
    "kernel_log_unavailable",
    "gpu_health_failed",
    "gpu_health_degraded",
    "desired_state_unreadable",
    "desired_state_not_saved",
    "desired_files_invalid",
];

/// Follows the conditions of the host and of the check-in until it is cancelled.
pub(crate) async fn follow<K: Clock>(
    mut handle: Handle,
    mut checkin: watch::Receiver<Arc<CheckinStatus>>,
    clock: Arc<K>,
    cancel: CancellationToken,
) {
    let mut changes = Changes::default();
    loop {
        let (host, manager) =
            (Arc::clone(&handle.observation.borrow_and_update()), Arc::clone(&checkin.borrow_and_update()));
        let standing = host.conditions.iter().chain(&manager.conditions);
        changes.see(clock.boot_now(), standing).iter().for_each(log);
        let due = async {
            match changes.due() {
                Some(when) => clock.sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            Ok(()) = handle.observation.changed() => {}
            Ok(()) = checkin.changed() => {}
            () = due => {}
            else => return,
        }
    }
}

fn is_told_elsewhere(kind: &str) -> bool {
    TOLD_ELSEWHERE.contains(&kind) || DocumentError::CODES.contains(&kind)
}

fn log(line: &ConditionLine) {
    let ConditionLine { kind, now, held_back } = line;
    let often = if *held_back == 0 { String::new() } else { format!(" (it changed {held_back} times before that)") };
    match now {
        ConditionNow::Holds { .. } if is_told_elsewhere(kind) => {}
        ConditionNow::Holds { reason, message } => tracing::warn!(
            message_id = Message::ConditionHolds.id(),
            condition = kind,
            reason,
            "condition {kind} holds ({reason}): {message}{often}"
        ),
        ConditionNow::Over { held_ms } => tracing::info!(
            message_id = Message::ConditionOver.id(),
            condition = kind,
            "condition {kind} is over after {} s{often}",
            held_ms / 1000
        ),
    }
}
