//! The conditions that NVIDIA's two containers give rise to.

use super::nvidia_phase::{NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use super::nvidia_status::{NvidiaState, NvidiaStatus};
use crate::condition::{Condition, ConditionStatus};
use crate::time::UnixMillis;

/// Docker gives NVIDIA's runtime to every container.
const DEFAULT_RUNTIME: &str = "default_runtime_nvidia";
/// Docker has to be restarted for something, which waits.
const DOCKER_RESTART: &str = "docker_restart_needed";

/// Every type of such a condition: those that are not among [`nvidia_conditions`] do not hold.
pub const NVIDIA_CONDITIONS: [&str; 10] = [
    "driver_busy",
    "driver_container_failed",
    "driver_container_refused",
    "driver_container_held",
    "toolkit_container_failed",
    "toolkit_container_refused",
    "toolkit_container_held",
    "foreign_container",
    DEFAULT_RUNTIME,
    DOCKER_RESTART,
];

/// What holds. `default_runtime` is the runtime that Docker gives to a container without a choice.
#[must_use]
pub fn nvidia_conditions(state: &NvidiaState, default_runtime: Option<&str>, now: UnixMillis) -> Vec<Condition> {
    let condition = |kind: &str, reason: &str, message: String| Condition {
        kind: kind.to_owned(),
        status: ConditionStatus::True,
        reason: reason.to_owned(),
        message,
        since: now,
    };
    let mut found: Vec<Condition> = Vec::new();
    for role in NvidiaRole::ALL {
        let (kind, reason, message) = match of(state.of(*role)) {
            Some(it) => it,
            None => continue,
        };
        if !found.iter().any(|one| one.kind == kind) {
            found.push(condition(&kind, &reason, format!("{role} container: {message}")));
        }
    }
    if default_runtime == Some("nvidia") {
        let message = "Docker gives the runtime `nvidia` to every container, also to those without a GPU, whose images can ask for all GPUs: \
                       remove `default-runtime` from Docker's configuration and restart Docker";
        found.push(condition(DEFAULT_RUNTIME, "docker_config", message.to_owned()));
    }
    found
}

/// Type, reason and message.
fn of(status: &NvidiaStatus) -> Option<(String, String, String)> {
    let role = status.role;
    let own = |end: &str| format!("{role}_container_{end}");
    match &status.phase {
        NvidiaPhase::Failed { fault, reason, .. } => {
            return Some((own("failed"), fault.code().to_owned(), reason.clone()));
        }
        NvidiaPhase::Refused { code, why } => return Some((own("refused"), code.clone(), why.clone())),
        NvidiaPhase::Foreign { name, why } => {
            let hold = NvidiaHold::ForeignContainer { name: name.clone(), why: *why };
            return Some(("foreign_container".to_owned(), hold.code().to_owned(), hold.to_string()));
        }
        NvidiaPhase::Disabled
        | NvidiaPhase::Unknown { .. }
        | NvidiaPhase::Absent { .. }
        | NvidiaPhase::Pulling { .. }
        | NvidiaPhase::Starting { .. }
        | NvidiaPhase::Ready
        | NvidiaPhase::Upgrading { .. }
        | NvidiaPhase::RollingBack { .. }
        | NvidiaPhase::Stopping { .. } => {}
    }
    let hold = status.hold.as_ref()?;
    let kind = match hold {
        NvidiaHold::DriverBusy { .. } => "driver_busy".to_owned(),
        NvidiaHold::ForeignContainer { .. } => "foreign_container".to_owned(),
        NvidiaHold::DockerRestartWaits { .. } => DOCKER_RESTART.to_owned(),
        NvidiaHold::CdiNotTaken { .. }
        | NvidiaHold::HoldersUnknown { .. }
        | NvidiaHold::RolledBack { .. }
        | NvidiaHold::UpgradeFailed { .. }
        | NvidiaHold::UpgradeRefused { .. }
        | NvidiaHold::DockerConfigDenied
        | NvidiaHold::RuntimeInUse { .. }
        | NvidiaHold::Unclaimed { .. }
        | NvidiaHold::UnclaimedOnHost
        | NvidiaHold::Leftover { .. }
        | NvidiaHold::HostStepFailed { .. } => own("held"),
    };
    Some((kind, hold.code().to_owned(), hold.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_is_of_a_known_type() {
        let mut state = NvidiaState::not_looked();
        assert!(nvidia_conditions(&state, Some("runc"), UnixMillis(1)).is_empty());
        state.driver.phase = NvidiaPhase::Ready;
        state.driver.hold = Some(NvidiaHold::DriverBusy { holders: vec!["Xorg (pid 7)".to_owned()] });
        state.toolkit.phase = NvidiaPhase::Refused { code: "runtime_exists".to_owned(), why: "another one".to_owned() };
        let found = nvidia_conditions(&state, Some("nvidia"), UnixMillis(1));
        let kinds: Vec<&str> = found.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!(kinds, ["driver_busy", "toolkit_container_refused", "default_runtime_nvidia"]);
        assert!(kinds.iter().all(|kind| NVIDIA_CONDITIONS.contains(kind)));
    }
}
