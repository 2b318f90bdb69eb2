//! Which conditions came and went, for the journal: a line for each, and for one that comes and goes all the time a line now and
//! then with how often it did.

use super::{Condition, ConditionStatus};
use crate::time::BootMillis;
use std::collections::BTreeMap;

/// So many lines of one condition are logged
const LOGGED: u32 = 6;
/// in this time, in milliseconds; what follows is counted and reported at its end.
const WITHIN_MS: u64 = 10 * 60 * 1000;

/// What was logged of each condition.
#[derive(Debug, Default)]
pub struct Changes {
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Its reason and since when it holds, as the journal has it.
    logged: Option<(String, BootMillis)>,
    /// Its reason as it was seen last.
    seen: Option<String>,
    window: BootMillis,
    lines: u32,
    /// Changes that were seen since the last line and not logged.
    held_back: u64,
}

/// One line for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionLine {
    /// Type of the condition.
    pub kind: String,
    /// Whether it holds.
    pub now: ConditionNow,
    /// How often it changed before that without a line.
    pub held_back: u64,
}

/// The state of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionNow {
    /// It holds, for this reason.
    Holds {
        /// Stable code.
        reason: String,
        /// For people.
        message: String,
    },
    /// It does not hold any more.
    Over {
        /// How long it held, in milliseconds.
        held_ms: u64,
    },
}

impl Changes {
    /// What is to be logged now that these conditions stand.
    pub fn see<'a>(
        &mut self,
        now: BootMillis,
        standing: impl IntoIterator<Item = &'a Condition>,
    ) -> Vec<ConditionLine> {
        let held = standing.into_iter().filter(|condition| condition.status == ConditionStatus::True);
        let held: BTreeMap<&str, &Condition> = held.map(|condition| (condition.kind.as_str(), condition)).collect();
        for kind in held.keys() {
            self.known.entry((*kind).to_owned()).or_default();
        }
        let mut lines = Vec::new();
        for (kind, known) in &mut self.known {
            lines.extend(known.see(now, kind, held.get(kind.as_str()).copied()));
        }
        // One that is over, told, and quiet since is as one that was never there.
        self.known
            .retain(|_, known| known.logged.is_some() || known.held_back > 0 || now.since(known.window) < WITHIN_MS);
        lines
    }

    /// When something is to be logged at the latest that was held back.
    #[must_use]
    pub fn due(&self) -> Option<BootMillis> {
        let held_back = self.known.values().filter(|known| known.held_back > 0);
        held_back.map(|known| known.window.plus(WITHIN_MS)).min()
    }
}

impl Known {
    fn see(&mut self, now: BootMillis, kind: &str, held: Option<&Condition>) -> Option<ConditionLine> {
        let reason = held.map(|condition| condition.reason.clone());
        if reason != self.seen {
            self.held_back += 1;
            self.seen = reason;
        }
        if self.held_back == 0 {
            return None;
        }
        if now.since(self.window) >= WITHIN_MS {
            (self.window, self.lines) = (now, 0);
        }
        if self.lines >= LOGGED {
            return None;
        }
        // The line itself is one of the changes.
        let held_back = std::mem::take(&mut self.held_back) - 1;
        let before = self.logged.take();
        let now_holds = match held {
            Some(condition) => {
                let same = before.filter(|(reason, _)| *reason == condition.reason);
                self.logged = Some((condition.reason.clone(), same.map_or(now, |(_, since)| since)));
                ConditionNow::Holds { reason: condition.reason.clone(), message: condition.message.clone() }
            }
            None => ConditionNow::Over { held_ms: before.map_or(0, |(_, since)| now.since(since)) },
        };
        self.lines += 1;
        Some(ConditionLine { kind: kind.to_owned(), now: now_holds, held_back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    fn condition(kind: &str, reason: &str) -> Condition {
        let message = format!("{kind}: {reason}");
        Condition {
            kind: kind.into(),
            status: ConditionStatus::True,
            reason: reason.into(),
            message,
            since: UnixMillis(0),
        }
    }

    fn see(changes: &mut Changes, ms: u64, standing: &[Condition]) -> Vec<(String, Option<String>, u64)> {
        let reason = |now: ConditionNow| match now {
            ConditionNow::Holds { reason, .. } => Some(reason),
            ConditionNow::Over { .. } => None,
        };
        let lines = changes.see(BootMillis(ms), standing).into_iter();
        lines.map(|line| (line.kind, reason(line.now), line.held_back)).collect()
    }

    #[test]
    fn each_coming_and_going_is_a_line_and_staying_is_none() {
        let mut changes = Changes::default();
        let docker = condition("docker_unavailable", "absent");
        let rose = vec![("docker_unavailable".to_owned(), Some("absent".to_owned()), 0)];
        assert_eq!(see(&mut changes, 1_000, std::slice::from_ref(&docker)), rose);
        assert_eq!(see(&mut changes, 2_000, std::slice::from_ref(&docker)), []);
        let other = [condition("docker_unavailable", "timeout")];
        assert_eq!(see(&mut changes, 3_000, &other)[0].1.as_deref(), Some("timeout"), "another reason is news");
        let over = changes.see(BootMillis(63_000), []);
        assert_eq!(over[0].now, ConditionNow::Over { held_ms: 60_000 });
        assert_eq!((see(&mut changes, 64_000, &[]), changes.due()), (vec![], None));
    }

    #[test]
    fn one_that_comes_and_goes_all_the_time_is_told_now_and_then_with_how_often() {
        let mut changes = Changes::default();
        let docker = [condition("docker_unavailable", "absent")];
        let mut lines = Vec::new();
        for second in 0..1200 {
            let standing: &[Condition] = if second % 2 == 0 { &docker } else { &[] };
            lines.extend(see(&mut changes, second * 1000, standing));
        }
        assert!(lines.len() <= 2 * 6 + 1, "{} lines in 20 min", lines.len());
        assert!(lines.iter().map(|(_, _, held_back)| held_back + 1).sum::<u64>() <= 1200);
        assert!(lines.iter().any(|(_, _, held_back)| *held_back > 500), "{lines:?}");
        let due = changes.due().expect("something was held back");
        let last = see(&mut changes, due.0, &docker);
        assert_eq!(last[0].1.as_deref(), Some("absent"), "where it stands in the end is told");
        assert_eq!(changes.due(), None);
        assert_eq!(see(&mut changes, due.0 + 2 * WITHIN_MS, &docker), []);
    }

    #[test]
    fn one_that_flaps_keeps_no_other_from_being_told_and_nothing_is_kept_for_ever() {
        let mut changes = Changes::default();
        for second in 0..100 {
            let standing = if second % 2 == 0 { vec![condition("a", "x")] } else { Vec::new() };
            see(&mut changes, second * 1000, &standing);
        }
        assert_eq!(see(&mut changes, 100_000, &[condition("b", "y")])[0].0, "b");
        see(&mut changes, 10 * WITHIN_MS, &[]);
        see(&mut changes, 20 * WITHIN_MS, &[]);
        see(&mut changes, 30 * WITHIN_MS, &[]);
        assert!(changes.known.is_empty());
    }
}
