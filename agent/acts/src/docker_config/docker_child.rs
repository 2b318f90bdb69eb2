//! Has the disposable child look at Docker's configuration file or edit it: a file system that hangs holds nobody up.

use crate::exited::{as_cause, ended, no_answer};
use model::os_cause::OsCause;
use model::ports::ActError;
use model::time::whole_millis;
use protocol::child::Task;
use protocol::docker_task::DockerTask;
use serde::de::DeserializeOwned;
use spawn::{Own, Program, RunError, Supervisor};
use std::time::Duration;

/// A file of some kilobytes on a local disk takes milliseconds; its fsync may wait behind others.
const WITHIN: Duration = Duration::from_secs(8);
/// Time between SIGTERM and SIGKILL: whenever the child is killed, the file is whole.
const GRACE: Duration = Duration::from_millis(250);

/// Asks the child, and reads its answer.
pub(super) async fn ask<T: DeserializeOwned>(
    supervisor: &Supervisor,
    child: &Own,
    attempted: &str,
    task: &DockerTask,
) -> Result<T, ActError> {
    let refused = |cause: OsCause| ActError::Refused { attempted: attempted.to_owned(), cause };
    let text = serde_json::to_string(task).map_err(|error| refused(OsCause::found(error.to_string())))?;
    let mut program = Program::own(child, Task::DockerConfig.arguments([text.into()]), WITHIN);
    program.grace = GRACE;
    match supervisor.run("Docker's configuration file", program).await {
        Ok(finished) => {
            ended(&finished).map_err(refused)?;
            serde_json::from_slice(&finished.stdout).map_err(|error| refused(no_answer(&finished, &error)))
        }
        Err(RunError::Timeout { .. } | RunError::Stuck { .. }) => {
            Err(ActError::Hung { attempted: attempted.to_owned(), after_ms: whole_millis(WITHIN) })
        }
        Err(
            fault
            @ (RunError::Start { .. } | RunError::TooMuch { .. } | RunError::Supervision(_) | RunError::Abandoned),
        ) => Err(refused(as_cause(&fault))),
    }
}
