//! Finds out who uses the functions of a scope, by a child that looks into every process.

use model::holders::Holders;
use model::plan::Scope;
use model::ports::ActError;
use model::printable::printable;
use protocol::child::Task;
use spawn::{Own, Program, Supervisor};
use std::path::Path;
use std::time::Duration;

/// A look takes milliseconds for each thousand open files; a file system that hangs must not keep the answer.
const WITHIN: Duration = Duration::from_secs(20);

/// Looks in a child of its own, so that nothing that hangs costs more than this one look.
///
/// # Errors
/// The look did not come to an end, or said nothing that has a sense.
pub async fn look(supervisor: &Supervisor, child: &Own, sysfs: &Path, scope: &Scope) -> Result<Holders, ActError> {
    let attempted = format!("look for users of {}", scope.gpu);
    let said = |said: String| ActError::Said { attempted: attempted.clone(), said };
    let question = serde_json::to_string(scope).map_err(|error| said(error.to_string()))?;
    let args = Task::LookForHolders.arguments([sysfs.into(), question.into()]);
    let finished = supervisor.run("holders", Program::own(child, args, WITHIN)).await;
    let finished = finished.map_err(|fault| said(fault.to_string()))?;
    serde_json::from_slice(&finished.stdout).map_err(|error| {
        let words = String::from_utf8_lossy(&finished.stderr);
        let words = printable(&words, 400);
        said(format!("the child process exited with {}: {error} {words}", finished.status))
    })
}
