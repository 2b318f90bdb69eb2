//! Finds who uses the functions of a scope: by device number, in every process of every namespace.

mod given;
mod nodes;
mod process;

use super::process::{Program, Supervisor};
use model::holders::{Holders, UnreadableProcess};
use model::plan::Scope;
use model::ports::ActFault;
use model::printable::printable;
use nodes::Nodes;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The first argument by which our own executable knows that it is to be the child that looks.
pub const ROLE: &str = "look-for-holders";
/// A look takes milliseconds for each thousand open files; a file system that hangs must not keep the answer.
const WITHIN: Duration = Duration::from_secs(20);

/// Where a look begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
}

impl Places {
    /// Those of the running system, with another `/sys` where one is simulated.
    #[must_use]
    pub fn with_sysfs(sysfs: impl Into<PathBuf>) -> Self {
        Self { sysfs: sysfs.into(), proc: "/proc".into(), dev: "/dev".into() }
    }
}

/// Looks in a child of its own, so that nothing that hangs costs more than this one look.
///
/// # Errors
/// The look did not come to an end, or said nothing that has a sense.
pub async fn look(supervisor: &Supervisor, worker: &Path, sysfs: &Path, scope: &Scope) -> Result<Holders, ActFault> {
    let attempted = format!("look for users of {}", scope.gpu);
    let said = |said: String| ActFault::Said { attempted: attempted.clone(), said };
    let question = serde_json::to_string(scope).map_err(|error| said(error.to_string()))?;
    let args = [OsString::from(ROLE), sysfs.into(), question.into()];
    let finished = supervisor.run("holders", Program::new(worker, args, WITHIN)).await;
    let finished = finished.map_err(|fault| said(fault.to_string()))?;
    serde_json::from_slice(&finished.stdout).map_err(|error| {
        let words = String::from_utf8_lossy(&finished.stderr);
        let words: String = printable(&words, 400);
        said(format!("the child process exited with {}: {error} {words}", finished.status))
    })
}

/// The child itself, with the arguments after [`ROLE`]. Blocking.
#[must_use]
pub fn child_main(args: &[OsString]) -> ExitCode {
    let outcome = match args {
        [sysfs, scope] => answer(sysfs.as_ref(), &scope.to_string_lossy()),
        _ => Err("usage: look-for-holders SYSFS SCOPE (started by the holders hand, not by a user)".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            // Standard error is a pipe to the hand; where that has gone, nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "{said}");
            ExitCode::FAILURE
        }
    }
}

fn answer(sysfs: &Path, scope: &str) -> Result<(), String> {
    let scope: Scope = serde_json::from_str(scope).map_err(|error| error.to_string())?;
    let text = serde_json::to_vec(&holders(&Places::with_sysfs(sysfs), &scope)).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Everybody who has a device of the scope open or mapped, each container that was given one, and everybody who could not be
/// looked into. Blocking.
#[must_use]
pub fn holders(places: &Places, scope: &Scope) -> Holders {
    let nodes = Nodes::of(places, scope);
    let mut holders = Holders::default();
    let listed = match std::fs::read_dir(&places.proc) {
        Ok(listed) => listed,
        Err(error) => {
            let said = format!("{} cannot be listed: {error}", places.proc.display());
            holders.unreadable.push(UnreadableProcess { pid: None, command: None, said });
            return holders;
        }
    };
    let pids = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pids: Vec<u32> = pids.filter(|pid| *pid != std::process::id()).collect();
    for pid in &pids {
        process::look_into(&places.proc.join(pid.to_string()), *pid, &nodes, &mut holders);
    }
    given::look(&places.proc, &pids, &nodes, &mut holders);
    holders
}

#[cfg(test)]
mod tests;
