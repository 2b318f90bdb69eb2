//! How often a thing was changed in the last minute.

use model::blocker::Blocker;
use model::plan::Subject;
use model::time::BootMillis;
use std::collections::BTreeMap;

/// Rates count changes of this time.
const WINDOW_MS: u64 = 60_000;

/// The changes of the last minute, by what was changed.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Subject, Vec<BootMillis>>);

impl Rates {
    /// What stands in the way of a further change now; `None` = nothing.
    pub(super) fn blocker(&mut self, subject: Subject, per_minute: u32, now: BootMillis) -> Option<Blocker> {
        let recent = self.0.get_mut(&subject)?;
        recent.retain(|when| now.since(*when) < WINDOW_MS);
        let full = u32::try_from(recent.len()).is_ok_and(|made| made >= per_minute);
        let oldest = recent.first().filter(|_| full)?;
        Some(Blocker::RateLimited { per_minute, retry_after_ms: WINDOW_MS.saturating_sub(now.since(*oldest)) })
    }

    /// A change was made.
    pub(super) fn count(&mut self, subject: Subject, now: BootMillis) {
        let recent = self.0.entry(subject).or_default();
        recent.retain(|when| now.since(*when) < WINDOW_MS);
        recent.push(now);
    }
}
