//! Has a disposable child look closely at a scope, since the kernel may keep whoever reads a device for ever.

use super::write;
use crate::front::{Surroundings, Sysfs};
use crate::hand::process::{Program, RunFault, Supervisor};
use model::plan::{CloseUp, Scope};
use model::ports::ActFault;
use model::time::whole_millis;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The first argument by which our own executable knows that it is to be the child that looks.
pub const LOOK_ROLE: &str = "close-up";
/// A look takes milliseconds: after this time it waits for the lock of a device.
const WITHIN: Duration = Duration::from_secs(4);

/// Looks at a scope below `root`.
pub(super) async fn close_up(
    supervisor: &Supervisor,
    worker: &Path,
    root: &Path,
    around: &Surroundings,
    scope: &Scope,
) -> Result<CloseUp, ActFault> {
    let attempted = format!("look at {}", scope.gpu);
    let said = |said: String| ActFault::Said { attempted: attempted.clone(), said };
    let question = serde_json::to_string(scope).map_err(|error| said(error.to_string()))?;
    let places = [root, &around.dev, &around.modules].map(OsString::from);
    let args = [OsString::from(LOOK_ROLE)].into_iter().chain(places).chain([question.into()]);
    let mut program = Program::new(worker, args, WITHIN);
    program.grace = super::GRACE;
    // Another purpose than the write's: a write that hangs is no reason not to look, and the look says itself what it meets.
    match supervisor.run(attempted.clone(), program).await {
        Ok(finished) => serde_json::from_slice(&finished.stdout).map_err(|error| {
            let words =
                super::ended(&finished).err().unwrap_or_else(|| format!("its output cannot be parsed: {error}"));
            said(words)
        }),
        Err(RunFault::Timeout { .. } | RunFault::Stuck { .. }) => {
            Err(ActFault::Hung { attempted, after_ms: whole_millis(WITHIN) })
        }
        Err(
            fault
            @ (RunFault::Start { .. } | RunFault::TooMuch { .. } | RunFault::Supervision(_) | RunFault::Abandoned),
        ) => Err(said(fault.to_string())),
    }
}

/// The child itself, with the arguments after [`LOOK_ROLE`]: gives up all writing, reads, says what it saw. Blocking.
#[must_use]
pub fn look_main(args: &[OsString]) -> ExitCode {
    let outcome = match args {
        [root, dev, modules, scope] => {
            let around = Surroundings { dev: dev.into(), modules: modules.into() };
            answer(root.as_ref(), &around, &scope.to_string_lossy())
        }
        _ => Err("usage: close-up SYSFS DEV MODULES SCOPE (started by the host hand, not by a user)".to_owned()),
    };
    super::exit_with(outcome)
}

fn answer(root: &Path, around: &Surroundings, scope: &str) -> Result<(), String> {
    write::seal(&[]).map_err(|fault| format!("cannot give up write access (Landlock): {fault}"))?;
    let scope: Scope = serde_json::from_str(scope).map_err(|error| error.to_string())?;
    let seen = Sysfs::new(root).close_up(around, &scope).map_err(|fault| fault.to_string())?;
    let text = serde_json::to_vec(&seen).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(|error| error.to_string())
}
