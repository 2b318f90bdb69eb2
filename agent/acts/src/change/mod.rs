//! Takes one step of a change on this host: checked again, then done by a disposable child that can write nothing else.

mod check;
mod look;
mod module;

pub use check::{Checked, Unfit, check};

use crate::exited::{as_cause, ended};
use host::front::Surroundings;
use model::os_cause::OsCause;
use model::plan::{GroupState, Scope, Step};
use model::policy::Policy;
use model::ports::ActError;
use model::time::whole_millis;
use protocol::child::Task;
use spawn::{Own, Program, RunError, Supervisor};
use std::path::PathBuf;
use std::time::Duration;

/// A step that takes longer hangs in the kernel.
const STEP_DEADLINE: Duration = Duration::from_secs(10);
/// Time between SIGTERM and SIGKILL: the child has nothing to put in order.
const GRACE: Duration = Duration::from_millis(250);

/// The part of a host that changes things. Clones share the register of children that hang in the kernel.
#[derive(Debug, Clone)]
pub struct StepTaker {
    supervisor: Supervisor,
    child: Own,
    root: PathBuf,
    around: Surroundings,
}

impl StepTaker {
    /// `child` is the disposable child; `root` is where sysfs is.
    #[must_use]
    pub fn new(child: Own, root: impl Into<PathBuf>, around: Surroundings) -> Self {
        Self { supervisor: Supervisor::default(), child, root: root.into(), around }
    }

    /// Takes a step, where the host and the policy let it be taken.
    ///
    /// # Errors
    /// What the host answered, that it is not allowed, or that the kernel does not respond.
    pub async fn act(&self, scope: &Scope, step: &Step, policy: Policy) -> Result<(), ActError> {
        let checked = self.checked(scope, step, policy).await?;
        match checked {
            Checked::Module(driver) => module::load(&self.supervisor, &self.root, &driver).await,
            Checked::Write { file, text } => self.write(scope, step, &file, &text).await,
        }
    }

    /// Looks closely at a scope.
    ///
    /// # Errors
    /// What the host answered; `Hung` where a driver holds a device and does not return.
    pub async fn group_state(&self, scope: &Scope) -> Result<GroupState, ActError> {
        look::group_state(&self.supervisor, &self.child, &self.root, &self.around, scope).await
    }

    /// True while a child hangs in the kernel.
    #[must_use]
    pub fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty()
    }

    async fn checked(&self, scope: &Scope, step: &Step, policy: Policy) -> Result<Checked, ActError> {
        let seen = self.group_state(scope).await?;
        let (root, scope, wanted) = (self.root.clone(), scope.clone(), step.clone());
        let judge = move || {
            check(&root, &seen, &scope, &wanted, &policy).map_err(|unfit| ActError::Refused {
                attempted: wanted.to_string(),
                cause: OsCause::found(format!("refused by the hand: {unfit}")),
            })
        };
        let broken = |error: tokio::task::JoinError| ActError::Refused {
            attempted: format!("check: {step}"),
            cause: OsCause::found(error.to_string()),
        };
        tokio::task::spawn_blocking(judge).await.unwrap_or_else(|error| Err(broken(error)))
    }

    async fn write(&self, scope: &Scope, step: &Step, file: &std::path::Path, text: &str) -> Result<(), ActError> {
        let attempted = format!("{step}: write {:?} to {}", text.trim_end(), file.display());
        let within = serde_json::to_string(scope).map_err(|error| ActError::Refused {
            attempted: attempted.clone(),
            cause: OsCause::found(error.to_string()),
        })?;
        let args = Task::Act.arguments([self.root.clone().into(), within.into(), file.into(), text.into()]);
        let mut program = Program::own(&self.child, args, STEP_DEADLINE);
        program.grace = GRACE;
        // One purpose a GPU: a write that hangs keeps the others of its card waiting, and nobody else.
        let purpose = format!("change of {}", scope.gpu);
        match self.supervisor.run(purpose, program).await {
            Ok(finished) => ended(&finished).map_err(|cause| ActError::Refused { attempted, cause }),
            Err(fault) => Err(gave_up(attempted, &fault)),
        }
    }
}

fn gave_up(attempted: String, fault: &RunError) -> ActError {
    match fault {
        RunError::Stuck { .. } => ActError::Hung { attempted, after_ms: whole_millis(STEP_DEADLINE) },
        RunError::Start { .. }
        | RunError::Timeout { .. }
        | RunError::TooMuch { .. }
        | RunError::Supervision(_)
        | RunError::Abandoned => ActError::Refused { attempted, cause: as_cause(fault) },
    }
}
