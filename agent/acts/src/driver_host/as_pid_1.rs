//! Has PID 1 run `mount` or `umount` in the host's own mount namespace: the hand has neither the capability nor that namespace.

use crate::exited::as_cause;
use model::driver_host::{BUSY_MOUNT, DriverHostStep, MountStep};
use model::os_cause::OsCause;
use model::ports::ActError;
use model::printable::printable;
use model::time::whole_millis;
use spawn::{Program, RunError, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// systemd's program for a transient unit (systemd-run(1)). Not `systemctl stop …mount`: that unmounts every layer of a mount point at
/// once, and what the host answered is in the journal alone.
pub(super) const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";

/// Waits for the unit, passes its words on, and leaves no unit behind. One name: PID 1 refuses a second one beside it.
const ARGUMENTS: [&str; 8] = [
    "--wait",
    "--pipe",
    "--collect",
    "--quiet",
    "--unit=gpuhostd-run-nvidia",
    "--property=RuntimeMaxSec=20",
    "--setenv=LC_ALL=C",
    "--",
];
/// An unmount of a file system that does not respond is left to PID 1 after this time.
const WITHIN: Duration = Duration::from_secs(25);
const WORDS_MAX_CHARS: usize = 400;

/// Runs a command.
pub(super) async fn run(
    supervisor: &Supervisor,
    systemd_run: &Path,
    step: &DriverHostStep,
    command: &[String],
) -> Result<(), ActError> {
    let attempted = format!("{step}: {}", command.join(" "));
    let args = ARGUMENTS.into_iter().map(OsString::from).chain(command.iter().map(OsString::from));
    let cause = match supervisor.run("systemd-run", Program::new(systemd_run, args, WITHIN)).await {
        Ok(finished) if finished.status.success() => return Ok(()),
        Ok(finished) => {
            let words = printable(&String::from_utf8_lossy(&finished.stderr).replace('\n', " "), WORDS_MAX_CHARS);
            let words = words.trim();
            OsCause::found(match step {
                // Without the number of errno(3), whose cures are those of a device.
                DriverHostStep::Mounts(MountStep::Unmount { path, .. }) if words.contains(BUSY_MOUNT) => {
                    format!("{words} `fuser -vm {path}` shows what uses it")
                }
                DriverHostStep::Mounts(_) | DriverHostStep::WriteReadiness | DriverHostStep::RemoveReadiness => {
                    format!("it exited with {}: {words}", finished.status)
                }
            })
        }
        Err(RunError::Timeout { .. } | RunError::Stuck { .. }) => {
            return Err(ActError::Hung { attempted, after_ms: whole_millis(WITHIN) });
        }
        Err(
            fault
            @ (RunError::Start { .. } | RunError::TooMuch { .. } | RunError::Supervision(_) | RunError::Abandoned),
        ) => as_cause(&fault),
    };
    Err(ActError::Refused { attempted, cause })
}
