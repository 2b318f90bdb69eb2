//! The disposable child that speaks with NVML about MIG of one GPU: it looks, or takes one step, and is gone.

use crate::exited::{as_cause, ended};
use model::ids::PciAddress;
use model::mig::{MigOnGpu, MigStep};
use model::os_cause::OsCause;
use model::ports::ActError;
use model::time::whole_millis;
use protocol::child::Task;
use spawn::{Own, Program, RunError, Supervisor};
use std::ffi::OsString;
use std::time::Duration;

/// A look makes some hundred calls, of which each can take seconds on a loaded GPU.
const LOOK_WITHIN: Duration = Duration::from_secs(30);
/// A step is one call; the driver needs a second to destroy an instance, and several where the GPU is full.
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// The shipped permission of which a refusal speaks.
const DROP_IN: &str = "/usr/share/doc/gpuhostd/gpuhostd-mig-sys-admin.conf";

/// Starts it. Clones share the register of children that hang.
#[derive(Debug, Clone)]
pub(super) struct MigChild {
    supervisor: Supervisor,
    child: Own,
    libraries: Vec<String>,
}

impl MigChild {
    pub(super) fn new(child: Own, libraries: Vec<String>) -> Self {
        Self { supervisor: Supervisor::default(), child, libraries }
    }

    pub(super) fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty()
    }

    pub(super) async fn look(&self, gpu: PciAddress) -> Result<MigOnGpu, ActError> {
        let attempted = format!("look at MIG of {gpu}");
        let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
        let args = Task::MigLook.arguments([self.paths().map_err(&refused)?, gpu.to_string().into()]);
        let program = Program::own(&self.child, args, LOOK_WITHIN);
        // One purpose a GPU, and another than that of a step: what hangs keeps nobody else waiting.
        match self.supervisor.run(attempted.clone(), program).await {
            Ok(finished) => {
                ended(&finished).map_err(|cause| refused(with_drop_in(cause)))?;
                // On a line of its own: the driver's library may write to the same pipe.
                let text = String::from_utf8_lossy(&finished.stdout);
                let seen = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
                seen.ok_or_else(|| refused(OsCause::found("its output has no report")))
            }
            Err(fault) => Err(gave_up(attempted, &fault, LOOK_WITHIN)),
        }
    }

    pub(super) async fn act(&self, gpu: PciAddress, step: &MigStep) -> Result<(), ActError> {
        let attempted = super::attempted(gpu, step);
        let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
        let text = serde_json::to_string(step).map_err(|error| refused(OsCause::found(error.to_string())))?;
        let args = Task::MigAct.arguments([self.paths().map_err(&refused)?, gpu.to_string().into(), text.into()]);
        let program = Program::own(&self.child, args, STEP_WITHIN);
        match self.supervisor.run(format!("MIG of {gpu}"), program).await {
            Ok(finished) => ended(&finished).map_err(|cause| refused(with_drop_in(cause))),
            Err(fault) => Err(gave_up(attempted, &fault, STEP_WITHIN)),
        }
    }

    fn paths(&self) -> Result<OsString, OsCause> {
        let text = serde_json::to_string(&self.libraries).map_err(|error| OsCause::found(error.to_string()))?;
        Ok(text.into())
    }
}

/// A driver may want more than the capability that the unit lets the hand open. NVML has one phrase for it, and its wrapper another.
fn with_drop_in(cause: OsCause) -> OsCause {
    let is_about_rights =
        cause.said.contains("Insufficient Permissions") || cause.said.contains("does not have permission");
    if !is_about_rights {
        return cause;
    }
    let said = format!(
        "{}; where the driver wants CAP_SYS_ADMIN for layouts, allow it: install -D -m 644 {DROP_IN} \
         /etc/systemd/system/gpuhostd-mig.service.d/sys-admin.conf; systemctl daemon-reload; systemctl restart gpuhostd-mig.service",
        cause.said
    );
    OsCause { said, ..cause }
}

/// A child that was ended in a call of the driver may have had its effect, and so may one that cannot be ended.
fn gave_up(attempted: String, fault: &RunError, within: Duration) -> ActError {
    match fault {
        RunError::Stuck { .. } | RunError::Timeout { .. } => {
            ActError::Hung { attempted, after_ms: whole_millis(within) }
        }
        RunError::Start { .. } | RunError::TooMuch { .. } | RunError::Supervision(_) | RunError::Abandoned => {
            ActError::Refused { attempted, cause: as_cause(fault) }
        }
    }
}
