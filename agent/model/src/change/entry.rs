//! A journal entry: what is on disk of a change before its first effect, so that it can be undone after a crash.

use super::aftermath::{Aftermath, OnDone, OnRestored};
use super::id::{ChangeId, name_of};
use crate::ids::JobId;
use crate::plan::{Former, Plan, Postcondition, Subject, Target};
use crate::policy::Act;
use crate::time::{BootMillis, UnixMillis};
use serde::{Deserialize, Serialize};

/// How far a change is.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Steps may have been taken. After a crash: restore.
    Open,
    /// The change is done, and is undone unless somebody confirms it in time.
    Unconfirmed {
        /// On CLOCK_BOOTTIME of the boot of the entry.
        until: BootMillis,
    },
    /// The change is done and confirmed. Of a GPU that is given away this is the record of what it returns to; of a change of MIG
    /// nothing remains but to write down whose the instances are, and to remove the entry.
    Standing,
    /// It could not be undone.
    Quarantined {
        /// What happened.
        why: String,
    },
}

/// One document of the journal.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which change.
    pub id: ChangeId,
    /// What is being done.
    pub operation: Act,
    /// The job that does it.
    pub job: JobId,
    /// User id of the requester, if it was a local user.
    pub actor_uid: Option<u32>,
    /// When it began, on the wall clock: for people.
    pub began_at: UnixMillis,
    /// The boot in which it began, or [`super::UNKNOWN_BOOT`]: another boot has forgotten every override and binding.
    pub boot_id: String,
    /// What is to be done.
    pub plan: Plan,
    /// What was observed before the first step. Restoring plans from what is then to this.
    pub before: Former,
    /// What was observed before the GPU was given away: a release goes back to it. The same as `before` for a binding.
    pub home: Former,
    /// `confirm-within` of the binding, in milliseconds.
    pub confirm_within_ms: Option<u64>,
    /// What remains of it in the journal.
    pub aftermath: Aftermath,
    /// How far it is.
    pub phase: Phase,
}

impl Entry {
    /// Name of its document.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.id, &self.plan.bounds.lanes)
    }

    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        self.plan.bounds.subject
    }

    /// The GPU is given away, confirmed or not.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.is_kept() && matches!(self.plan.bounds.target, Target::Functions(_))
    }

    /// A change of MIG that is done, and is undone unless it is confirmed. Once it is confirmed its entry is removed.
    #[must_use]
    pub const fn is_mig_on_trial(&self) -> bool {
        self.is_kept() && matches!(self.plan.bounds.target, Target::Mig(_))
    }

    const fn is_kept(&self) -> bool {
        matches!(self.phase, Phase::Standing | Phase::Unconfirmed { .. })
    }

    /// When the change is done it is settled whose the MIG instances are. On trial it is not, and undoing leaves the record of them as it
    /// was before.
    #[must_use]
    pub fn settles_owned(&self) -> bool {
        self.aftermath.on_done == OnDone::Forget && self.aftermath.on_restored == OnRestored::Forget
    }

    /// When it is undone unless somebody confirms it before.
    #[must_use]
    pub const fn unconfirmed_until(&self) -> Option<BootMillis> {
        match self.phase {
            Phase::Unconfirmed { until } => Some(until),
            Phase::Open | Phase::Standing | Phase::Quarantined { .. } => None,
        }
    }

    /// The same entry in another phase.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self { phase, ..self.clone() }
    }

    /// The record that stood before this change, made by that operation: what the entry becomes where the change was undone.
    #[must_use]
    pub fn standing_again(&self, operation: Act) -> Self {
        if let Former::Mig(on_trial) = &self.before {
            let postcondition = Postcondition::Mig(on_trial.clone());
            return Self {
                operation,
                plan: Plan { steps: Vec::new(), postcondition, ..self.plan.clone() },
                before: self.home.clone(),
                aftermath: Aftermath::MIG_ON_TRIAL,
                // Its time is over: it is tried again.
                phase: Phase::Unconfirmed { until: BootMillis(0) },
                ..self.clone()
            };
        }
        Self {
            operation,
            before: self.home.clone(),
            aftermath: Aftermath::of(operation),
            phase: Phase::Standing,
            ..self.clone()
        }
    }
}
