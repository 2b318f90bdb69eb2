//! What differs from one kind of change to the next: what is seen of its target, what is remembered, done and wanted of it.

use super::bounds::Target;
use super::function_settings::FunctionSettings;
use super::function_steps::steps_between;
use super::functions_wanted::{FunctionsWanted, Unmet};
use super::group_state::GroupState;
use super::step::Step;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a fresh look at a target shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The functions of an IOMMU group.
    Functions(GroupState),
}

/// What was seen of a target before a change, and what undoing goes back to.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Former {
    /// Each function, as it was.
    Functions(Vec<FunctionSettings>),
}

/// One thing that is done to a target.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStep {
    /// To the functions of an IOMMU group.
    Functions(Step),
}

/// What a fresh look at a target must show at the end.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Postcondition {
    /// Of the functions of an IOMMU group.
    Functions(FunctionsWanted),
}

impl Look {
    /// What has to be remembered of the target to return to it; `None` where a part of it is gone or cannot be read.
    #[must_use]
    pub fn former(&self, target: &Target) -> Option<Former> {
        match (self, target) {
            (Self::Functions(seen), Target::Functions(scope)) => {
                let settled = |address: &PciAddress| seen.member(*address)?.settled().ok();
                scope.members.iter().map(settled).collect::<Option<_>>().map(Former::Functions)
            }
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
        }
    }

    /// The look shows it, as far as the things are still there.
    #[must_use]
    pub fn is_back(&self, seen: &Look) -> bool {
        let wanted = match self {
            Self::Functions(members) => {
                Postcondition::Functions(FunctionsWanted { members: members.clone(), guest_ready: None })
            }
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
        }
    }

    /// It is about nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(members) => all_in(members.iter().map(|settled| settled.address), target),
        }
    }
}

impl PlanStep {
    /// It touches nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(step) => all_in(step.address().into_iter(), target),
        }
    }
}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Functions(step) => step.fmt(f),
        }
    }
}

impl Postcondition {
    /// What of it does not hold; empty = it holds.
    #[must_use]
    pub fn unmet(&self, seen: &Look) -> Vec<Unmet> {
        match (self, seen) {
            (Self::Functions(wanted), Look::Functions(seen)) => wanted.unmet(seen),
        }
    }

    /// It is about nothing but the target.
    #[must_use]
    pub fn stays_in(&self, target: &Target) -> bool {
        match self {
            Self::Functions(wanted) => all_in(wanted.members.iter().map(|settled| settled.address), target),
        }
    }
}

fn all_in(mut addresses: impl Iterator<Item = PciAddress>, target: &Target) -> bool {
    match target {
        Target::Functions(scope) => addresses.all(|address| scope.members.contains(&address)),
    }
}
