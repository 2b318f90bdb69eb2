//! How often something failed, when it is tried again, and when it is given up.

use super::workspace_status::WorkspaceReason;
use crate::printable::printable;
use crate::time::BootMillis;

/// Pause after the first failure; each further one in a row doubles it.
const FIRST_PAUSE_MS: u64 = 1_000;
/// Longest pause.
const LONGEST_PAUSE_MS: u64 = 5 * 60 * 1_000;
/// So many failures
const MOST: usize = 5;
/// in this time, and it is given up.
const WITHIN_MS: u64 = 10 * 60 * 1_000;
/// Longest message that is kept.
const MESSAGE_MAX_CHARS: usize = 600;

/// The failures since the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspacePace {
    recent: Vec<BootMillis>,
    in_a_row: u32,
    last: Option<WorkspaceReason>,
    given_up: bool,
}

/// Whether something may be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceGate {
    /// It may.
    Open,
    /// Not yet, or not again.
    Shut {
        /// The last failure.
        reason: WorkspaceReason,
        /// When it may; `None` = not before somebody asks for it, or something else is wished.
        until: Option<BootMillis>,
    },
}

impl WorkspacePace {
    /// Something has failed. What `can_end` is given up after five failures within ten minutes; the rest is tried for ever.
    pub fn fail(&mut self, now: BootMillis, code: &str, message: &str, can_end: bool) {
        if self.recent.last().is_none_or(|last| now.since(*last) >= WITHIN_MS) {
            self.in_a_row = 0;
        }
        self.recent.retain(|earlier| now.since(*earlier) < WITHIN_MS);
        self.add(now, code, message, can_end);
    }

    /// The same of what is given up after five failures, however far apart they are.
    pub fn fail_at_any_pace(&mut self, now: BootMillis, code: &str, message: &str) {
        self.add(now, code, message, true);
    }

    fn add(&mut self, now: BootMillis, code: &str, message: &str, can_end: bool) {
        self.recent.push(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(WorkspaceReason::new(code, printable(message, MESSAGE_MAX_CHARS)));
        self.given_up |= can_end && self.recent.len() >= MOST;
        let too_many = self.recent.len().saturating_sub(MOST);
        self.recent.drain(..too_many);
    }

    /// Whether it may be tried now.
    #[must_use]
    pub fn gate(&self, now: BootMillis) -> WorkspaceGate {
        let (Some(reason), Some(at)) = (&self.last, self.recent.last()) else { return WorkspaceGate::Open };
        let doubled = FIRST_PAUSE_MS.saturating_mul(1_u64 << self.in_a_row.saturating_sub(1).min(20));
        let until = at.plus(doubled.min(LONGEST_PAUSE_MS));
        if !self.given_up && now >= until {
            return WorkspaceGate::Open;
        }
        WorkspaceGate::Shut { reason: reason.clone(), until: (!self.given_up).then_some(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(pace: &WorkspacePace, now: u64) -> Option<Option<u64>> {
        match pace.gate(BootMillis(now)) {
            WorkspaceGate::Open => None,
            WorkspaceGate::Shut { until, .. } => Some(until.map(|at| at.0)),
        }
    }

    #[test]
    fn pauses_double_and_the_fifth_failure_within_ten_minutes_is_the_last_of_what_can_end() {
        let (mut ending, mut endless, mut now) = (WorkspacePace::default(), WorkspacePace::default(), 0);
        for pause in [1_000, 2_000, 4_000, 8_000] {
            ending.fail(BootMillis(now), "ended", "exit status 1", true);
            endless.fail(BootMillis(now), "pull_failed", "no route", false);
            assert_eq!(until(&ending, now), Some(Some(now + pause)));
            now += pause;
            assert_eq!((until(&ending, now), until(&endless, now)), (None, None));
        }
        ending.fail(BootMillis(now), "ended", "exit status 1", true);
        endless.fail(BootMillis(now), "pull_failed", "no route", false);
        assert_eq!(until(&ending, now + 100 * WITHIN_MS), Some(None));
        assert_eq!(until(&endless, now), Some(Some(now + 16_000)));
    }

    #[test]
    fn what_counts_at_any_pace_is_given_up_after_five_failures_however_far_apart() {
        let mut pace = WorkspacePace::default();
        for now in [1, 2, 3, 4].map(|number| number * 10 * WITHIN_MS) {
            pace.fail_at_any_pace(BootMillis(now), "gpu_lost", "again");
            assert_eq!(until(&pace, now + LONGEST_PAUSE_MS), None);
        }
        pace.fail_at_any_pace(BootMillis(50 * WITHIN_MS), "gpu_lost", "again");
        assert_eq!(until(&pace, 500 * WITHIN_MS), Some(None));
    }
}
