//! What the objects of NVIDIA's driver container and toolkit container show.

use super::absent::Absent;
use super::host::millis;
use super::nvidia_path;
use super::view::view;
use model::absence::Absence;
use model::nvidia_container::{NvidiaPhase, NvidiaStatus};

view! {
    /// All properties of `org.gpuhost.Agent1.NvidiaContainer`.
    pub struct NvidiaContainerView at NVIDIA_CONTAINER_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// driver or toolkit.
        #[dbus(constant)]
        role: String,
        /// True if it is wished: by the configuration, by Enable, or by a desired state.
        wished: bool,
        /// disabled, unknown (Docker cannot be asked), absent, pulling, starting, ready, upgrading, rolling_back, stopping, failed,
        /// foreign (a container that is not ours has our label) or refused.
        phase: String,
        /// Since when it has been in this phase, in milliseconds since 1970-01-01 UTC. May have no value.
        since: Option<u64>,
        /// Why it is failed or refused: a stable code. Has no value in other phases.
        code: Option<String>,
        /// What is being waited for, what failed, or what refuses it, with what to do. Has no value if there is nothing to report.
        reason: Option<String>,
        /// When it is tried again, in milliseconds since 1970-01-01 UTC. Has no value unless it is failed, or if it is not tried again
        /// before something else is wished or Enable is called.
        retry_at: Option<u64>,
        /// What keeps it from being as it is wished, although it may be ready: a stable code, driver_busy. Has no value if nothing does.
        hold: Option<String>,
        /// The same in words, with what to do. Has no value if nothing does.
        hold_reason: Option<String>,
        /// The image that is wished, with the operating system in its tag. Has no value if none is.
        image_wanted: Option<String>,
        /// Digest of that image, sha256:. Has no value before it is known.
        digest_wanted: Option<String>,
        /// Digest of the image of the container that is there. Has no value if there is none.
        digest_running: Option<String>,
        /// The container that is there, 64 hexadecimal digits. Has no value if there is none.
        container_id: Option<String>,
        /// Its name. Has no value if there is none.
        container_name: Option<String>,
        /// True if it runs.
        running: bool,
        /// When it was last started, in milliseconds since 1970-01-01 UTC. Has no value if it never was.
        started_at: Option<u64>,
        /// Bytes of the image that have been pulled; not announced. Has no value unless one is being pulled.
        #[dbus(silent)]
        pull_done_bytes: Option<u64>,
        /// Bytes of the image, as far as they are known; not announced. Has no value unless one is being pulled.
        #[dbus(silent)]
        pull_total_bytes: Option<u64>,
        /// Who uses the driver, where that prevents a change.
        holders: Vec<String>,
        /// What is being done at this moment. Has no value if nothing is.
        doing: Option<String>,
        /// The last lines of the container that failed last, oldest first, without secrets.
        log_tail: Vec<String>,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// Code, words and time of the next attempt of a phase that has them.
fn told(phase: &NvidiaPhase) -> (Option<String>, Option<String>, Option<u64>) {
    let words = |text: &str| (None, Some(text.to_owned()), None);
    match phase {
        NvidiaPhase::Disabled | NvidiaPhase::Pulling { .. } | NvidiaPhase::Ready => (None, None, None),
        NvidiaPhase::Unknown { why } | NvidiaPhase::Absent { why } => words(why),
        NvidiaPhase::Starting { lacks } => words(lacks),
        NvidiaPhase::Upgrading { step } | NvidiaPhase::RollingBack { step } | NvidiaPhase::Stopping { step } => {
            words(step)
        }
        NvidiaPhase::Failed { fault, reason, retry_at } => {
            (Some(fault.code().to_owned()), Some(reason.clone()), retry_at.and_then(millis))
        }
        NvidiaPhase::Foreign { name, why } => {
            let words = format!(
                "the container {name} has the label of gpuhostd and was not created by it ({why:?}); remove it or its label"
            );
            (Some("foreign_container".to_owned()), Some(words), None)
        }
        NvidiaPhase::Refused { code, why } => (Some(code.clone()), Some(why.clone()), None),
    }
}

impl From<&NvidiaStatus> for NvidiaContainerView {
    fn from(status: &NvidiaStatus) -> Self {
        let mut absent = Absent::default();
        let (code, reason, retry_at) = told(&status.phase);
        let mut text = |name: &str, value: Option<String>| absent.option(name, value, &Absence::None);
        let code = text("Code", code);
        let reason = text("Reason", reason);
        let hold = text("Hold", status.hold.as_ref().map(|hold| hold.code().to_owned()));
        let hold_reason = text("HoldReason", status.hold.as_ref().map(ToString::to_string));
        let image_wanted = text("ImageWanted", status.image_wanted.as_ref().map(ToString::to_string));
        let digest_wanted = text("DigestWanted", status.digest_wanted.as_ref().map(ToString::to_string));
        let digest_running = text("DigestRunning", status.digest_running.as_ref().map(ToString::to_string));
        let container_id = text("ContainerId", status.container.as_ref().map(|id| id.as_str().to_owned()));
        let container_name = text("ContainerName", status.container_name.clone());
        let doing = text("Doing", status.deed.clone());
        let mut number = |name: &str, value: Option<u64>| absent.option(name, value, &Absence::None);
        Self {
            path: nvidia_path(status.role),
            role: status.role.code().to_owned(),
            wished: status.wished,
            phase: status.phase.code().to_owned(),
            since: number("Since", status.since.and_then(millis)),
            code,
            reason,
            retry_at: number("RetryAt", retry_at),
            hold,
            hold_reason,
            image_wanted,
            digest_wanted,
            digest_running,
            container_id,
            container_name,
            running: status.is_running,
            started_at: number("StartedAt", status.started_at.and_then(millis)),
            pull_done_bytes: number("PullDoneBytes", status.pull_progress.map(|(done, _)| done)),
            pull_total_bytes: number("PullTotalBytes", status.pull_progress.map(|(_, total)| total)),
            holders: status.holders.clone(),
            doing,
            log_tail: status.log_tail.clone(),
            absent,
        }
    }
}
