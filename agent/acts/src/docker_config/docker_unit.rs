//! Docker's unit, asked of PID 1: which process is its main one, whether it can be reloaded, and the reload.

use model::printable::printable;
use spawn::{Finished, Program, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Where this directory is, systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
const SYSTEMCTL: &str = "/usr/bin/systemctl";
const SHOW_WITHIN: Duration = Duration::from_secs(3);
/// It sends a signal; only a systemd that is busy with something else takes longer.
const RELOAD_WITHIN: Duration = Duration::from_secs(15);
/// A Docker with a thousand containers is stopped and started in half a minute.
const RESTART_WITHIN: Duration = Duration::from_secs(80);
const WORDS_MAX_CHARS: usize = 400;

/// How far a unit is (`ActiveState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitState {
    /// It has started.
    Active,
    /// It has ended or failed, and is not started by itself.
    Down,
    /// It is being started or stopped, or waits to be started; so is any state that is not known here.
    Changing,
}

/// A unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DockerUnit {
    /// `docker.service`.
    pub(super) name: String,
    /// Its main process; 0 = none.
    pub(super) pid: u32,
    /// How far it is: one that is about to fail has a main process too.
    pub(super) state: UnitState,
    /// It has an `ExecReload=`.
    pub(super) can_reload: bool,
    /// Which of its processes systemd ends when it stops it.
    pub(super) kill_mode: String,
}

/// Why a unit was not restarted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RestartFault {
    /// systemd reports that it failed.
    Failed(String),
    /// systemd has not answered in time, and goes on with it.
    Unknown(String),
}

/// Asks systemd about a unit; `None` where it does not run the machine or does not know.
pub(super) async fn main_process(supervisor: &Supervisor, name: &str) -> Option<DockerUnit> {
    if !Path::new(SYSTEMD).exists() {
        return None;
    }
    let args = ["show", "--property=MainPID,ActiveState,CanReload,KillMode", "--", name];
    let finished = systemctl(supervisor, &args, SHOW_WITHIN).await.ok()?;
    unit_in(name, &String::from_utf8_lossy(&finished.stdout))
}

/// Has systemd reload a unit, with the unit's own `ExecReload=`.
pub(super) async fn reload(supervisor: &Supervisor, name: &str) -> Result<(), String> {
    systemctl(supervisor, &["reload", "--", name], RELOAD_WITHIN).await.map(|_| ())
}

/// Has systemd restart a unit, and waits until it has started.
pub(super) async fn restart(supervisor: &Supervisor, name: &str) -> Result<(), RestartFault> {
    match call(supervisor, &["restart", "--", name], RESTART_WITHIN).await {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => Err(RestartFault::Failed(words(&finished))),
        Err(why) => Err(RestartFault::Unknown(format!("systemctl restart {name}: {why}"))),
    }
}

/// Has systemd start a unit that has failed, also where it has given up; one that runs by then goes on.
pub(super) async fn start_again(supervisor: &Supervisor, name: &str) -> Result<(), String> {
    systemctl(supervisor, &["reset-failed", "--", name], SHOW_WITHIN).await?;
    systemctl(supervisor, &["start", "--", name], RESTART_WITHIN).await.map(|_| ())
}

async fn systemctl(supervisor: &Supervisor, args: &[&str], within: Duration) -> Result<Finished, String> {
    let called = format!("{SYSTEMCTL} {}", args.join(" "));
    match call(supervisor, args, within).await {
        Ok(finished) if finished.status.success() => Ok(finished),
        Ok(finished) => Err(format!("{called}: {}", words(&finished))),
        Err(fault) => Err(format!("{called}: {fault}")),
    }
}

async fn call(supervisor: &Supervisor, args: &[&str], within: Duration) -> Result<Finished, String> {
    let program = Program::new(SYSTEMCTL, args.iter().map(OsString::from), within);
    supervisor.run("systemctl", program).await.map_err(|fault| fault.to_string())
}

fn words(finished: &Finished) -> String {
    let words = printable(String::from_utf8_lossy(&finished.stderr).trim(), WORDS_MAX_CHARS);
    format!("{}: {words}", finished.status)
}

/// Reads `KEY=VALUE` lines.
fn unit_in(name: &str, text: &str) -> Option<DockerUnit> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let (pid, can_reload) = (value("MainPID")?.parse().ok()?, value("CanReload") == Some("yes"));
    let kill_mode = value("KillMode").unwrap_or_default().to_owned();
    let state = match value("ActiveState").unwrap_or_default() {
        "active" | "reloading" | "refreshing" => UnitState::Active,
        "inactive" | "failed" => UnitState::Down,
        _ => UnitState::Changing,
    };
    Some(DockerUnit { name: name.to_owned(), pid, state, can_reload, kill_mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_are_read_by_name() {
        use UnitState::{Active, Changing, Down};
        let unit = |pid, state, can_reload, kill_mode: &str| {
            let (name, kill_mode) = ("docker.service".to_owned(), kill_mode.to_owned());
            Some(DockerUnit { name, pid, state, can_reload, kill_mode })
        };
        for (text, expected) in [
            ("MainPID=812\nActiveState=active\nCanReload=yes\nKillMode=process\n", unit(812, Active, true, "process")),
            ("KillMode=mixed\nCanReload=no\nActiveState=failed\nMainPID=0\n", unit(0, Down, false, "mixed")),
            ("MainPID=0\nActiveState=inactive\n", unit(0, Down, false, "")),
            ("MainPID=9\nActiveState=activating\n", unit(9, Changing, false, "")),
            ("MainPIDs=1\nMainPID=4\n", unit(4, Changing, false, "")),
            ("MainPID=x\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in("docker.service", text), expected, "{text}");
        }
    }
}
