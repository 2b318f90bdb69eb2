//! The machine of one change: shows what to do next and is notified of what happened. It does nothing itself, so that the same
//! machine runs in the daemon and in a search that breaks it at every point.

use super::Outcome;
use super::aftermath::{OnCommitFailure, OnDone, OnRestored};
use super::entry::{Entry, Phase};
use crate::plan::{Look, PlanStep, Unmet};
use crate::ports::{ActError, JournalError};
use crate::time::BootMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// So often restoring is planned again from a fresh look before the GPU is quarantined.
pub const RESTORE_ATTEMPTS: u32 = 3;

/// Why a change did not reach its end.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// The journal could not be written, and so nothing was touched, or what was done was undone.
    Journal(JournalError),
    /// A step did not work.
    Step(PlanStep, ActError),
    /// The host could not be looked at.
    Look(ActError),
    /// All steps reported success, and the host shows something else.
    Unverified(Vec<Unmet>),
    /// The daemon ended in the middle of it.
    Interrupted,
}

impl FailureCause {
    /// The kernel did not return: what was tried may have its effect at any time.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        matches!(self, Self::Step(_, ActError::Hung { .. }) | Self::Look(ActError::Hung { .. }))
    }
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(fault) => write!(f, "the change could not be recorded: {fault}"),
            Self::Step(step, fault) => write!(f, "{step}: {fault}"),
            Self::Look(fault) => write!(f, "the host could not be observed: {fault}"),
            Self::Unverified(unmet) => {
                let named: Vec<String> = unmet.iter().map(ToString::to_string).collect();
                write!(f, "all steps succeeded, but verification failed: {}", named.join("; "))
            }
            Self::Interrupted => f.write_str("the daemon stopped during the change"),
        }
    }
}

/// What has to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write the entry to the journal, on disk. Answer: [`Event::Journaled`].
    Journal(Box<Entry>),
    /// Remove the entry from the journal. Answer: [`Event::Journaled`].
    Forget,
    /// Look at the target afresh. Answer: [`Event::Looked`].
    Look,
    /// Take a step. Answer: [`Event::Took`].
    Take(PlanStep),
    /// Nothing: it has ended.
    End(Outcome),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The journal was written, or not.
    Journaled(Result<(), JournalError>),
    /// What was seen.
    Looked(Result<Box<Look>, ActError>),
    /// The step was taken, or not.
    Took(Result<(), ActError>),
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
enum Stage {
    Journaling,
    Stepping(usize),
    Verifying,
    Committing,
    Abandoning,
    Reopening,
    Planning,
    Restoring(Vec<PlanStep>, usize),
    Checking,
    Closing,
    Quarantining,
    Ended(Outcome),
}

/// One change on its way.
#[derive(Debug, Clone, Hash)]
pub struct ChangeMachine {
    entry: Entry,
    stage: Stage,
    trouble: FailureCause,
    attempts: u32,
    now: BootMillis,
}

impl ChangeMachine {
    /// A change that begins: its entry must be in the phase [`Phase::Open`].
    #[must_use]
    pub const fn begin(entry: Entry, now: BootMillis) -> Self {
        Self { entry, stage: Stage::Journaling, trouble: FailureCause::Interrupted, attempts: 0, now }
    }

    /// The undoing of an entry that was found in the journal.
    #[must_use]
    pub const fn recover(entry: Entry, now: BootMillis) -> Self {
        Self { entry, stage: Stage::Planning, trouble: FailureCause::Interrupted, attempts: 0, now }
    }

    /// The entry as the journal has it, or is about to.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Steps that were taken of the plan, and how many it has.
    #[must_use]
    pub const fn progress(&self) -> (usize, usize) {
        let all = self.entry.plan.steps.len();
        match self.stage {
            Stage::Journaling => (0, all),
            Stage::Stepping(taken) => (taken, all),
            Stage::Verifying
            | Stage::Committing
            | Stage::Abandoning
            | Stage::Reopening
            | Stage::Planning
            | Stage::Restoring(..)
            | Stage::Checking
            | Stage::Closing
            | Stage::Quarantining
            | Stage::Ended(_) => (all, all),
        }
    }

    /// The host shows what was wanted, and the journal is about to hold that.
    #[must_use]
    pub const fn is_committing(&self) -> bool {
        matches!(self.stage, Stage::Committing)
    }

    /// It goes back to what was before.
    #[must_use]
    pub const fn is_restoring(&self) -> bool {
        matches!(self.stage, Stage::Planning | Stage::Restoring(..) | Stage::Checking | Stage::Closing)
    }

    /// What time it is: `confirm-within` counts from the end of the change.
    pub const fn at(&mut self, now: BootMillis) {
        self.now = now;
    }

    /// What the journal holds after [`Outcome::Done`]; `None` = nothing.
    #[must_use]
    pub fn record_when_done(&self) -> Option<Entry> {
        match self.entry.aftermath.on_done {
            OnDone::Stand => Some(self.entry.clone()),
            OnDone::Forget => None,
        }
    }

    /// What the journal holds after [`Outcome::Restored`]; `None` = nothing.
    #[must_use]
    pub fn record_when_restored(&self) -> Option<Entry> {
        match self.entry.aftermath.on_restored {
            OnRestored::Forget => None,
            OnRestored::StandAgain(operation) => Some(self.entry.standing_again(operation)),
        }
    }

    /// What has to be done now. Asking again gives the same answer until something happened.
    #[must_use]
    pub fn to_do(&self) -> Effect {
        match &self.stage {
            Stage::Journaling | Stage::Reopening => Effect::Journal(Box::new(self.entry.clone())),
            Stage::Stepping(next) => {
                self.entry.plan.steps.get(*next).map_or(Effect::Look, |step| Effect::Take(step.clone()))
            }
            Stage::Verifying | Stage::Planning | Stage::Checking => Effect::Look,
            Stage::Committing => match self.entry.aftermath.on_done {
                OnDone::Stand => Effect::Journal(Box::new(self.standing())),
                OnDone::Forget => Effect::Forget,
            },
            Stage::Restoring(steps, next) => steps.get(*next).map_or(Effect::Look, |step| Effect::Take(step.clone())),
            Stage::Abandoning | Stage::Closing => {
                self.record_when_restored().map_or(Effect::Forget, |record| Effect::Journal(Box::new(record)))
            }
            Stage::Quarantining => Effect::Journal(Box::new(self.quarantined())),
            Stage::Ended(outcome) => Effect::End(outcome.clone()),
        }
    }

    /// Takes in what happened. What does not belong to what was asked for changes nothing.
    pub fn happened(&mut self, what: Event) {
        let stage = std::mem::replace(&mut self.stage, Stage::Planning);
        self.stage = match (stage, what) {
            (Stage::Journaling, Event::Journaled(Ok(()))) => self.step_or_verify(0),
            (Stage::Journaling, Event::Journaled(Err(fault))) => {
                // It may have reached the disk all the same: an entry of a change that never was must not stay.
                self.trouble = FailureCause::Journal(fault);
                Stage::Abandoning
            }
            (Stage::Abandoning, Event::Journaled(_)) => Stage::Ended(Outcome::Untouched(self.trouble.clone())),
            (Stage::Stepping(taken), Event::Took(Ok(()))) => self.step_or_verify(taken.saturating_add(1)),
            (Stage::Stepping(next), Event::Took(Err(fault))) => {
                let step = self.entry.plan.steps.get(next).cloned();
                self.failed_step(step, fault)
            }
            (Stage::Verifying, Event::Looked(seen)) => self.verified(seen),
            (Stage::Committing, Event::Journaled(Ok(()))) => {
                if self.entry.aftermath.on_done == OnDone::Stand {
                    self.entry = self.standing();
                }
                Stage::Ended(Outcome::Done)
            }
            (Stage::Committing, Event::Journaled(Err(fault))) => self.uncommitted(fault),
            (Stage::Reopening, Event::Journaled(Ok(()))) => Stage::Planning,
            // What is on the disk is not known: standing or open, both agree with a host that is left as it is.
            (Stage::Reopening, Event::Journaled(Err(_))) => Stage::Ended(Outcome::Quarantined(self.trouble.clone())),
            (Stage::Planning, Event::Looked(seen)) => self.planned(seen),
            (Stage::Restoring(steps, next), Event::Took(Ok(()))) => restore_or_check(steps, next.saturating_add(1)),
            (Stage::Restoring(steps, next), Event::Took(Err(fault))) => self.failed_restoring(steps.get(next), fault),
            (Stage::Checking, Event::Looked(seen)) => self.checked(seen),
            // That the entry stays costs nothing: anyone who finds it restores what is already so.
            (Stage::Closing, Event::Journaled(_)) => Stage::Ended(Outcome::Restored(self.trouble.clone())),
            // An entry that could not be rewritten is still open, which means the same to anyone who finds it.
            (Stage::Quarantining, Event::Journaled(_)) => Stage::Ended(Outcome::Quarantined(self.trouble.clone())),
            (stage, _) => stage,
        };
    }

    fn step_or_verify(&self, next: usize) -> Stage {
        if next < self.entry.plan.steps.len() { Stage::Stepping(next) } else { Stage::Verifying }
    }

    /// The record of a change that is done and stays.
    fn standing(&self) -> Entry {
        let phase = match self.entry.confirm_within_ms {
            Some(millis) => Phase::Unconfirmed { until: self.now.plus(millis) },
            None => Phase::Standing,
        };
        self.entry.in_phase(phase)
    }

    fn quarantined(&self) -> Entry {
        self.entry.in_phase(Phase::Quarantined { why: self.trouble.to_string() })
    }

    fn failed_step(&mut self, step: Option<PlanStep>, fault: ActError) -> Stage {
        let hangs = matches!(fault, ActError::Hung { .. });
        if let Some(step) = step {
            self.trouble = FailureCause::Step(step, fault);
        }
        // What hangs may have its effect at any time: nothing may be written over it.
        if hangs { Stage::Quarantining } else { Stage::Planning }
    }

    fn verified(&mut self, seen: Result<Box<Look>, ActError>) -> Stage {
        match seen {
            Ok(seen) => {
                let unmet = self.entry.plan.postcondition.unmet(&seen);
                if unmet.is_empty() {
                    return Stage::Committing;
                }
                self.trouble = FailureCause::Unverified(unmet);
            }
            Err(fault) => self.trouble = FailureCause::Look(fault),
        }
        Stage::Planning
    }

    fn uncommitted(&mut self, fault: JournalError) -> Stage {
        match self.entry.aftermath.on_commit_failure {
            // The record may have reached the disk all the same, and must be open again before anything is undone.
            OnCommitFailure::Undo => {
                self.trouble = FailureCause::Journal(fault);
                Stage::Reopening
            }
            OnCommitFailure::Accept => Stage::Ended(Outcome::Done),
        }
    }

    /// Restoring is planned from what is now, never from what was done: a step that did nothing has no inverse.
    fn planned(&mut self, seen: Result<Box<Look>, ActError>) -> Stage {
        let seen = match seen {
            Ok(seen) => seen,
            Err(fault) => return self.try_again(FailureCause::Look(fault)),
        };
        let may_be_done = match self.entry.aftermath.on_commit_failure {
            OnCommitFailure::Accept => self.trouble == FailureCause::Interrupted,
            OnCommitFailure::Undo => false,
        };
        if may_be_done && self.entry.plan.postcondition.unmet(&seen).is_empty() {
            return Stage::Committing;
        }
        restore_or_check(self.entry.before.steps_back(&seen), 0)
    }

    fn failed_restoring(&mut self, step: Option<&PlanStep>, fault: ActError) -> Stage {
        if matches!(fault, ActError::Hung { .. }) {
            return self.failed_step(step.cloned(), fault);
        }
        self.try_again(self.trouble.clone())
    }

    fn checked(&mut self, seen: Result<Box<Look>, ActError>) -> Stage {
        match seen {
            Ok(seen) if self.entry.before.is_back(&seen) => Stage::Closing,
            Ok(_) | Err(_) => self.try_again(self.trouble.clone()),
        }
    }

    fn try_again(&mut self, trouble: FailureCause) -> Stage {
        self.trouble = trouble;
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= RESTORE_ATTEMPTS { Stage::Quarantining } else { Stage::Planning }
    }
}

fn restore_or_check(steps: Vec<PlanStep>, next: usize) -> Stage {
    if next < steps.len() { Stage::Restoring(steps, next) } else { Stage::Checking }
}
