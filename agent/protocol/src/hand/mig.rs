//! The verbs of the two MIG hands: a look at MIG of one GPU, one step of a layout, and the mode.

use super::{MigHand, MigModeHand, Verb, VerbDeadline, VerbKind};
use model::driver::MigMode;
use model::mig::{MigOnGpu, MigStep};
use model::plan::MigTarget;
use model::ports::ActError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the hand has for a step: a look of 30 s, a call to the driver of 60 s, the look after it, and time to end a child that hangs.
/// On a loaded GPU one call can take five seconds.
const STEP_DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(150));

/// Looks at MIG of one GPU: mode, profiles, instances, and the processes that the driver names on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectMig {
    /// The GPU.
    pub target: MigTarget,
}

impl Verb for InspectMig {
    type Hand = MigHand;
    type Reply = Result<MigOnGpu, ActError>;
    const NAME: &'static str = "inspect_mig";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(45));

    fn attempted(&self) -> String {
        format!("look at MIG of {}", self.target.gpu)
    }
}

/// Takes one step of a layout. The hand looks afresh and checks the step itself; it refuses a step that switches the mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyMigStep {
    /// The GPU.
    pub target: MigTarget,
    /// What is to be done.
    pub step: MigStep,
}

impl Verb for ApplyMigStep {
    type Hand = MigHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "apply_mig_step";
    const KIND: VerbKind = VerbKind::Write;
    const DEADLINE: VerbDeadline = STEP_DEADLINE;

    fn attempted(&self) -> String {
        format!("{}: {}", self.target.gpu, self.step)
    }
}

/// Switches MIG mode of an idle GPU. The hand looks afresh and checks it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMigMode {
    /// The GPU.
    pub target: MigTarget,
    /// The mode.
    pub to: MigMode,
}

impl Verb for SetMigMode {
    type Hand = MigModeHand;
    type Reply = Result<(), ActError>;
    const NAME: &'static str = "set_mig_mode";
    const KIND: VerbKind = VerbKind::Write;
    const DEADLINE: VerbDeadline = STEP_DEADLINE;

    fn attempted(&self) -> String {
        format!("{}: {}", self.target.gpu, MigStep::SetMode { to: self.to })
    }
}
