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
const WORDS_MAX_CHARS: usize = 400;

/// A unit that runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DockerUnit {
    /// `docker.service`.
    pub(super) name: String,
    /// Its main process; 0 = none.
    pub(super) pid: u32,
    /// It has an `ExecReload=`.
    pub(super) can_reload: bool,
}

/// Asks systemd about a unit; `None` where it does not run the machine or does not know.
pub(super) async fn main_process(supervisor: &Supervisor, name: &str) -> Option<DockerUnit> {
    if !Path::new(SYSTEMD).exists() {
        return None;
    }
    let finished =
        systemctl(supervisor, &["show", "--property=MainPID,CanReload", "--", name], SHOW_WITHIN).await.ok()?;
    unit_in(name, &String::from_utf8_lossy(&finished.stdout))
}

/// Has systemd reload a unit, with the unit's own `ExecReload=`.
pub(super) async fn reload(supervisor: &Supervisor, name: &str) -> Result<(), String> {
    systemctl(supervisor, &["reload", "--", name], RELOAD_WITHIN).await.map(|_| ())
}

async fn systemctl(supervisor: &Supervisor, args: &[&str], within: Duration) -> Result<Finished, String> {
    let program = Program::new(SYSTEMCTL, args.iter().map(OsString::from), within);
    let called = format!("{SYSTEMCTL} {}", args.join(" "));
    match supervisor.run("systemctl", program).await {
        Ok(finished) if finished.status.success() => Ok(finished),
        Ok(finished) => {
            let words = printable(String::from_utf8_lossy(&finished.stderr).trim(), WORDS_MAX_CHARS);
            Err(format!("{called}: {}: {words}", finished.status))
        }
        Err(fault) => Err(format!("{called}: {fault}")),
    }
}

/// Reads `KEY=VALUE` lines.
fn unit_in(name: &str, text: &str) -> Option<DockerUnit> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let (pid, can_reload) = (value("MainPID")?.parse().ok()?, value("CanReload") == Some("yes"));
    Some(DockerUnit { name: name.to_owned(), pid, can_reload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_are_read_by_name() {
        let unit = |pid, can_reload| Some(DockerUnit { name: "docker.service".to_owned(), pid, can_reload });
        for (text, expected) in [
            ("MainPID=812\nCanReload=yes\n", unit(812, true)),
            ("CanReload=no\nMainPID=0\n", unit(0, false)),
            ("MainPIDs=1\nMainPID=4\n", unit(4, false)),
            ("MainPID=x\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in("docker.service", text), expected, "{text}");
        }
    }
}
