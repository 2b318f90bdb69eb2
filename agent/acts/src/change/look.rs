//! Has a disposable child look closely at a scope, since a read of a device may never return.

use crate::exited::{as_cause, no_answer};
use host::front::Surroundings;
use model::os_cause::OsCause;
use model::plan::{GroupState, Scope};
use model::ports::ActError;
use model::time::whole_millis;
use protocol::child::Task;
use spawn::{Own, Program, RunError, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// A look takes milliseconds: after this time it waits for the lock of a device.
const WITHIN: Duration = Duration::from_secs(4);

/// Looks at a scope below `root`.
pub(super) async fn group_state(
    supervisor: &Supervisor,
    child: &Own,
    root: &Path,
    around: &Surroundings,
    scope: &Scope,
) -> Result<GroupState, ActError> {
    let attempted = format!("look at {}", scope.gpu);
    let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
    let question = serde_json::to_string(scope).map_err(|error| refused(OsCause::found(error.to_string())))?;
    let places = [root, &around.dev, &around.modules].map(OsString::from);
    let args = Task::InspectScope.arguments(places.into_iter().chain([question.into()]));
    let mut program = Program::own(child, args, WITHIN);
    program.grace = super::GRACE;
    // Another purpose than the write's: a write that hangs is no reason not to look, and the look says itself what it meets.
    match supervisor.run(attempted.clone(), program).await {
        Ok(finished) => serde_json::from_slice(&finished.stdout).map_err(|error| refused(no_answer(&finished, &error))),
        Err(RunError::Timeout { .. } | RunError::Stuck { .. }) => {
            Err(ActError::Hung { attempted, after_ms: whole_millis(WITHIN) })
        }
        Err(
            fault
            @ (RunError::Start { .. } | RunError::TooMuch { .. } | RunError::Supervision(_) | RunError::Abandoned),
        ) => Err(refused(as_cause(&fault))),
    }
}
