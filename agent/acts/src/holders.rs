//! Finds out who uses the functions of a scope, by a child that looks into every process.

use crate::exited::{as_cause, no_answer};
use model::holders::Holders;
use model::os_cause::OsCause;
use model::plan::{MigTarget, Scope};
use model::ports::ActError;
use protocol::child::Task;
use spawn::{Own, Program, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// A look takes milliseconds for each thousand open files; a file system that hangs must not keep the answer.
const WITHIN: Duration = Duration::from_secs(20);

/// Looks in a child of its own, so that nothing that hangs costs more than this one look.
///
/// # Errors
/// The look was not finished, or its output cannot be parsed.
pub async fn look(supervisor: &Supervisor, child: &Own, sysfs: &Path, scope: &Scope) -> Result<Holders, ActError> {
    let attempted = format!("look for users of {}", scope.gpu);
    let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
    let question = serde_json::to_string(scope).map_err(|error| refused(OsCause::found(error.to_string())))?;
    let args = Task::LookForHolders.arguments([sysfs.into(), question.into()]);
    answer(supervisor, child, args, attempted.clone()).await
}

/// The same for a GPU and its MIG instances.
///
/// # Errors
/// The look was not finished, or its output cannot be parsed.
pub async fn look_at_mig(supervisor: &Supervisor, child: &Own, target: &MigTarget) -> Result<Holders, ActError> {
    let args = Task::LookForMigHolders.arguments([target.gpu.to_string().into()]);
    answer(supervisor, child, args, format!("look for users of the MIG instances of {}", target.gpu)).await
}

async fn answer(
    supervisor: &Supervisor,
    child: &Own,
    args: Vec<OsString>,
    attempted: String,
) -> Result<Holders, ActError> {
    let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
    let finished = supervisor.run("holders", Program::own(child, args, WITHIN)).await;
    let finished = finished.map_err(|fault| refused(as_cause(&fault)))?;
    serde_json::from_slice(&finished.stdout).map_err(|error| refused(no_answer(&finished, &error)))
}
