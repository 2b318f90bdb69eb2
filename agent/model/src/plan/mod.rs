//! Plans: what will be done to the host, step by step, before anything of it is done.
//!
//! Each kind of change has a variant in [`Target`], [`Look`], [`Former`], [`PlanStep`] and [`Postcondition`] (`kinds.rs`), and files of
//! its own for what is in the variant. The functions of an IOMMU group change their drivers; a
//! GPU changes its MIG layout or mode.

mod bounds;
mod function_settings;
mod function_steps;
mod functions_wanted;
mod group_state;
mod kinds;
mod lane;
mod step;

pub use bounds::{Bounds, MigTarget, Scope, Subject, Target};
pub use function_settings::{FunctionSettings, PowerControl};
pub use function_steps::steps_between;
pub use functions_wanted::{FunctionsWanted, Unmet};
pub use group_state::{GroupState, MemberState, ModuleState};
pub use kinds::{Former, Look, PlanStep, Postcondition};
pub use lane::Lane;
pub use step::Step;

use serde::{Deserialize, Serialize};

/// What a plan disturbs beyond its scope.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Nothing.
    None,
    /// The Docker daemon is restarted.
    DockerRestart,
    /// The GPU is reset.
    GpuReset,
    /// The machine has to be rebooted, which is never done by the plan itself.
    Reboot,
}

/// What will be done, what must be so afterwards, and what it disturbs. The same plan is printed, journaled and executed.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is about, and what it may touch.
    pub bounds: Bounds,
    /// In this order. Empty where the host is already so.
    pub steps: Vec<PlanStep>,
    /// What a fresh look must show at the end.
    pub postcondition: Postcondition,
    /// What it disturbs.
    pub disruption: Disruption,
}

impl Plan {
    /// The steps in words.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        self.steps.iter().map(ToString::to_string).collect()
    }

    /// No step and no condition is about anything outside the bounds.
    #[must_use]
    pub fn stays_in_bounds(&self) -> bool {
        self.bounds.hold_their_target()
            && self.steps.iter().all(|step| step.stays_in(&self.bounds.target))
            && self.postcondition.stays_in(&self.bounds.target)
    }
}
