//! When the readiness call is made: once all gates are met, again with exponential backoff for ten minutes, and never twice in a
//! boot after it was accepted.

use super::gate_state::UnmetGate;
use crate::checkin::slot::mix;
use crate::time::BootMillis;

/// It is retried for so long, in milliseconds.
pub const READINESS_WINDOW_MS: u64 = 600_000;
/// The first pause, in milliseconds; each further one is twice as long,
const PAUSE_FIRST_MS: u64 = 2_000;
/// up to this.
const PAUSE_MOST_MS: u64 = 60_000;
/// Each pause is so many per cent longer or shorter at most, so that hosts that came up together do not call together.
const SPREAD_PERCENT: u64 = 20;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was accepted.
    Accepted,
    /// It was refused for good: 401, 403 or 404.
    Refused(String),
    /// It came to nothing, and may go better later.
    Failed {
        /// What was tried, what came, what to do.
        why: String,
        /// Not before so many milliseconds, as the other side asked.
        not_before_ms: Option<u64>,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessNext {
    /// Make the call.
    Call,
    /// Nothing before this instant; `None` = before something else changes.
    Wait(Option<BootMillis>),
}

/// The calls of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadinessCaller {
    seed: u64,
    window: Option<Window>,
    is_accepted: bool,
    ended: Option<(&'static str, String)>,
}

/// The time in which it is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    began: BootMillis,
    calls: u32,
    due: BootMillis,
    last: Option<String>,
}

impl ReadinessCaller {
    /// One that has made no call. `seed` differs between hosts.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// It was accepted already in this boot.
    pub const fn accepted_before(&mut self) {
        self.is_accepted = true;
    }

    /// It was accepted.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    /// Why no further call is made although none was accepted: a stable code, and a sentence.
    #[must_use]
    pub fn ended(&self) -> Option<(&'static str, &str)> {
        self.ended.as_ref().map(|(code, why)| (*code, why.as_str()))
    }

    /// Calls that were made since all gates were met, and why the last one failed.
    #[must_use]
    pub fn tried(&self) -> Option<(u32, &str)> {
        let window = self.window.as_ref()?;
        Some((window.calls, window.last.as_deref()?))
    }

    /// Other settings, or another token: what was given up is tried again.
    pub fn begin_again(&mut self) {
        (self.window, self.ended) = (None, None);
    }

    /// What is to be done now that these gates are not met.
    pub fn next(&mut self, now: BootMillis, unmet: &[UnmetGate]) -> ReadinessNext {
        if self.is_accepted || self.ended.is_some() {
            return ReadinessNext::Wait(None);
        }
        if !unmet.is_empty() {
            // A host that is not ready any more must not report that it is.
            self.window = None;
            return ReadinessNext::Wait(None);
        }
        let window = self.window.get_or_insert(Window { began: now, calls: 0, due: now, last: None });
        if window.due <= now { ReadinessNext::Call } else { ReadinessNext::Wait(Some(window.due)) }
    }

    /// This came of a call.
    pub fn on_outcome(&mut self, now: BootMillis, outcome: CallOutcome) {
        let Some(window) = &mut self.window else { return };
        window.calls = window.calls.saturating_add(1);
        match outcome {
            CallOutcome::Accepted => self.is_accepted = true,
            CallOutcome::Refused(why) => self.ended = Some(("refused", why)),
            CallOutcome::Failed { why, not_before_ms } => {
                let pause = pause(self.seed, window.calls).max(not_before_ms.unwrap_or(0));
                let end = window.began.plus(READINESS_WINDOW_MS);
                // The last call is made at the end of the time, unless the other side wants to be asked later.
                let due = now.plus(pause);
                let due = if not_before_ms.is_none() && now < end { due.min(end) } else { due };
                if due > end {
                    let (calls, minutes) = (window.calls, READINESS_WINDOW_MS / 60_000);
                    let why = format!("given up after {calls} calls in {minutes} minutes: {why}");
                    self.ended = Some(("given_up", why));
                } else {
                    (window.due, window.last) = (due, Some(why));
                }
            }
        }
    }
}

/// The pause after this many calls.
fn pause(seed: u64, calls: u32) -> u64 {
    let doubled = PAUSE_FIRST_MS.saturating_mul(1 << calls.saturating_sub(1).min(16)).min(PAUSE_MOST_MS);
    let percent = 100 - SPREAD_PERCENT + mix(seed.wrapping_add(u64::from(calls))) % (2 * SPREAD_PERCENT + 1);
    doubled * percent / 100
}
