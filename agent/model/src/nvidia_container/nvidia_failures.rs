//! How often something failed, when it is tried again, and when it is given up.

use super::nvidia_phase::NvidiaFault;
use crate::time::BootMillis;
use serde::{Deserialize, Serialize};

/// Pause after the first failure; each further one in a row doubles it.
const FIRST_PAUSE_MS: u64 = 1_000;
/// Longest pause.
const LONGEST_PAUSE_MS: u64 = 5 * 60 * 1_000;
/// So many failures
const MOST: usize = 5;
/// in this time, and it is given up.
const WITHIN_MS: u64 = 10 * 60 * 1_000;

/// The failures of this boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaFailures {
    /// Those of the last ten minutes.
    recent: Vec<BootMillis>,
    /// How many followed each other without ten good minutes between them.
    in_a_row: u32,
    /// The last one: what, and what was answered.
    last: Option<(NvidiaFault, String)>,
    /// It is not tried again before the wish changes or somebody asks for it.
    given_up: bool,
}

/// Whether something may be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvidiaGate {
    /// It may.
    Open,
    /// Not yet, or not again.
    Shut {
        /// The last failure.
        fault: NvidiaFault,
        /// What was answered.
        reason: String,
        /// When it may; `None` = not by itself.
        until: Option<BootMillis>,
    },
}

impl NvidiaFailures {
    /// Something has failed.
    pub fn fail(&mut self, now: BootMillis, fault: NvidiaFault, reason: &str) {
        self.wait(now, fault, reason);
        // A registry that is away and a GPU that is reset come back by themselves; a container that exits does not get better by being
        // started.
        let may_return = matches!(fault, NvidiaFault::PullFailed | NvidiaFault::NoDevice | NvidiaFault::ProbeRefused);
        self.given_up |= self.recent.len() >= MOST && !may_return;
    }

    /// Something was refused for now, whatever the kind: it is tried again for ever, at last every five minutes.
    pub fn wait(&mut self, now: BootMillis, fault: NvidiaFault, reason: &str) {
        if self.recent.last().is_none_or(|last| now.since(*last) >= WITHIN_MS) {
            self.in_a_row = 0;
        }
        self.recent.retain(|earlier| now.since(*earlier) < WITHIN_MS);
        self.recent.push(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some((fault, crate::printable::printable(reason, 400)));
        let too_many = self.recent.len().saturating_sub(MOST);
        self.recent.drain(..too_many);
    }

    /// Whether it may be tried now.
    #[must_use]
    pub fn gate(&self, now: BootMillis) -> NvidiaGate {
        let (Some((fault, reason)), Some(at)) = (&self.last, self.recent.last()) else { return NvidiaGate::Open };
        let doubled = FIRST_PAUSE_MS.saturating_mul(1_u64 << self.in_a_row.saturating_sub(1).min(20));
        let until = at.plus(doubled.min(LONGEST_PAUSE_MS));
        if !self.given_up && now >= until {
            return NvidiaGate::Open;
        }
        NvidiaGate::Shut { fault: *fault, reason: reason.clone(), until: (!self.given_up).then_some(until) }
    }

    /// The last failure.
    #[must_use]
    pub fn last(&self) -> Option<NvidiaFault> {
        self.last.as_ref().map(|(fault, _)| *fault)
    }

    /// What was answered last.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// Nothing has failed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(failures: &NvidiaFailures, now: u64) -> Option<Option<u64>> {
        match failures.gate(BootMillis(now)) {
            NvidiaGate::Open => None,
            NvidiaGate::Shut { until, .. } => Some(until.map(|at| at.0)),
        }
    }

    #[test]
    fn pauses_double_and_the_fifth_failure_within_ten_minutes_is_the_last() {
        let mut failures = NvidiaFailures::default();
        assert_eq!(until(&failures, 0), None);
        let mut now = 0;
        for pause in [1_000, 2_000, 4_000, 8_000] {
            failures.fail(BootMillis(now), NvidiaFault::Exited, "exit status 1");
            assert_eq!(until(&failures, now), Some(Some(now + pause)));
            now += pause;
            assert_eq!(until(&failures, now), None);
        }
        failures.fail(BootMillis(now), NvidiaFault::Exited, "exit status 1");
        assert_eq!(until(&failures, now + 100 * WITHIN_MS), Some(None));
    }

    #[test]
    fn a_registry_is_asked_for_ever_and_at_least_every_five_minutes() {
        let (mut failures, mut now) = (NvidiaFailures::default(), 0);
        for _ in 0..100 {
            failures.fail(BootMillis(now), NvidiaFault::PullFailed, "no route to host");
            let Some(Some(next)) = until(&failures, now) else { panic!("it is given up") };
            assert!(next - now <= LONGEST_PAUSE_MS);
            now = next;
        }
    }

    #[test]
    fn what_is_refused_for_now_is_tried_for_ever() {
        let (mut failures, mut now) = (NvidiaFailures::default(), 0);
        assert!(failures.is_nothing());
        for _ in 0..100 {
            failures.wait(BootMillis(now), NvidiaFault::DockerConfig, "a build runs");
            let Some(Some(next)) = until(&failures, now) else { panic!("it is given up") };
            assert!(next - now <= LONGEST_PAUSE_MS);
            now = next;
        }
        assert_eq!(failures.reason(), Some("a build runs"));
    }

    #[test]
    fn ten_good_minutes_are_a_new_beginning() {
        let mut failures = NvidiaFailures::default();
        for round in 0..20 {
            let now = round * WITHIN_MS;
            failures.fail(BootMillis(now), NvidiaFault::Exited, "exit status 1");
            assert_eq!(until(&failures, now), Some(Some(now + FIRST_PAUSE_MS)));
        }
    }
}
