//! What differs from one kind of change to the next: what is seen of its target, what is remembered, done and wanted of it.

use super::Plan;
use super::bounds::Target;
use super::function_settings::FunctionSettings;
use super::function_steps::steps_between;
use super::functions_wanted::{FunctionsWanted, Unmet};
use super::group_state::GroupState;
use super::step::Step;
use crate::ids::PciAddress;
use crate::mig::{MigOnGpu, MigStep, MigWanted};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a fresh look at a target shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The functions of an IOMMU group.
    Functions(GroupState),
    /// MIG on one GPU.
    Mig(Box<MigOnGpu>),
}

/// What was seen of a target before a change, and what undoing goes back to.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Former {
    /// Each function, as it was.
    Functions(Vec<FunctionSettings>),
    /// The places of a MIG layout that the change touches, as they were.
    Mig(MigWanted),
}

/// One thing that is done to a target.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStep {
    /// To the functions of an IOMMU group.
    Functions(Step),
    /// To a GPU's MIG layout or mode.
    Mig(MigStep),
}

/// What a fresh look at a target must show at the end.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Postcondition {
    /// Of the functions of an IOMMU group.
    Functions(FunctionsWanted),
    /// Of a GPU's MIG layout or mode.
    Mig(MigWanted),
}

impl Look {
    /// What has to be remembered of the target of a plan to return to it; `None` where a part of it is gone or cannot be read, or where
    /// the look is of something else.
    #[must_use]
    pub fn former(&self, plan: &Plan) -> Option<Former> {
        match (self, &plan.bounds.target, &plan.postcondition) {
            (Self::Functions(seen), Target::Functions(scope), Postcondition::Functions(_)) => {
                let settled = |address: &PciAddress| seen.member(*address)?.settled().ok();
                scope.members.iter().map(settled).collect::<Option<_>>().map(Former::Functions)
            }
            (Self::Mig(seen), Target::Mig(_), Postcondition::Mig(wanted)) => wanted.as_seen(seen).map(Former::Mig),
            (Self::Functions(_) | Self::Mig(_), Target::Functions(_) | Target::Mig(_), _) => None,
        }
    }
}

impl Former {
    /// The steps from what is seen now back to it.
    #[must_use]
    pub fn steps_back(&self, seen: &Look) -> Vec<PlanStep> {
        match (self, seen) {
            (Self::Functions(wanted), Look::Functions(seen)) => {
                steps_between(seen, wanted).into_iter().map(PlanStep::Functions).collect()
            }
            (Self::Mig(wanted), Look::Mig(seen)) => wanted.steps_from(seen).into_iter().map(PlanStep::Mig).collect(),
            (Self::Functions(_), Look::Mig(_)) | (Self::Mig(_), Look::Functions(_)) => Vec::new(),
        }
    }

    /// The look shows it, as far as the things are still there.
    #[must_use]
    pub fn is_back(&self, seen: &Look) -> bool {
        let wanted = match self {
            Self::Functions(members) => {
                Postcondition::Functions(FunctionsWanted { members: members.clone(), guest_ready: None })
            }
            Self::Mig(wanted) => Postcondition::Mig(wanted.clone()),
        };
        wanted.unmet(seen).iter().all(Unmet::is_gone)
    }

    /// What of it is about the target: what has left the target since then is not ours to put back, for a function that is plugged in
    /// again has no trace of what was done to it.
    #[must_use]
    pub fn within(&self, target: &Target) -> Self {
        match (self, target) {
            (Self::Functions(members), Target::Functions(scope)) => {
                let inside = members.iter().filter(|settled| scope.members.contains(&settled.address));
                Self::Functions(inside.cloned().collect())
            }
            (Self::Functions(_) | Self::Mig(_), Target::Functions(_) | Target::Mig(_)) => self.clone(),
        }
    }

    /// It is about nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(members) => all_in(members.iter().map(|settled| settled.address), target),
            Self::Mig(_) => is_mig(target),
        }
    }
}

impl PlanStep {
    /// It touches nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(step) => all_in(step.address().into_iter(), target),
            Self::Mig(_) => is_mig(target),
        }
    }
}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Functions(step) => step.fmt(f),
            Self::Mig(step) => step.fmt(f),
        }
    }
}

impl Postcondition {
    /// What of it does not hold; empty = it holds.
    #[must_use]
    pub fn unmet(&self, seen: &Look) -> Vec<Unmet> {
        match (self, seen) {
            (Self::Functions(wanted), Look::Functions(seen)) => wanted.unmet(seen),
            (Self::Mig(wanted), Look::Mig(seen)) => wanted.unmet(seen),
            (Self::Functions(_), Look::Mig(_)) | (Self::Mig(_), Look::Functions(_)) => vec![Unmet::OtherTarget],
        }
    }

    /// It is about nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(wanted) => all_in(wanted.members.iter().map(|settled| settled.address), target),
            Self::Mig(_) => is_mig(target),
        }
    }
}

fn all_in(mut addresses: impl Iterator<Item = PciAddress>, target: &Target) -> bool {
    match target {
        Target::Functions(scope) => addresses.all(|address| scope.members.contains(&address)),
        Target::Mig(_) => false,
    }
}

/// The target names the GPU, and a step or a condition of MIG is about no other.
const fn is_mig(target: &Target) -> bool {
    match target {
        Target::Functions(_) => false,
        Target::Mig(_) => true,
    }
}
