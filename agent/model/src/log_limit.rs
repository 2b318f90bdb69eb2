//! Rate limit of the log: how much is logged of what others can cause without end: a few entries, and then how many there were.

use std::fmt::{Display, Formatter, Result};
use std::time::{Duration, Instant};

/// So many are logged one by one
const LOGGED: u32 = 20;
/// in this time; the others are counted.
const WITHIN: Duration = Duration::from_secs(10);

/// The entries of one kind: anyone who causes them all the time must not push everything else out of the journal.
#[derive(Debug, Default)]
pub struct LogLimit {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

/// How many were not logged since the last that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl Display for LeftOut {
    /// For the end of a message: nothing where none was left out.
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self.0 {
            0 => Ok(()),
            1 => out.write_str(" (one similar message was not logged)"),
            more => write!(out, " ({more} similar messages were not logged)"),
        }
    }
}

impl LogLimit {
    /// One more, now: whether it is logged, and how many before it were not.
    pub fn one(&mut self, now: Instant) -> Option<LeftOut> {
        if self.since.is_none_or(|since| now.duration_since(since) >= WITHIN) {
            let left_out = self.left_out;
            *self = Self { since: Some(now), logged: 1, left_out: 0 };
            return Some(LeftOut(left_out));
        }
        if self.logged < LOGGED {
            self.logged += 1;
            return Some(LeftOut(0));
        }
        self.left_out += 1;
        None
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
mod tests {
    use super::*;

    #[test]
    fn they_are_logged_until_there_are_too_many_and_the_others_are_counted() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        assert!((0..LOGGED).all(|_| limit.one(start) == Some(LeftOut(0))));
        assert!((0..70_000).all(|_| limit.one(start).is_none()));
        assert_eq!(limit.one(start + WITHIN), Some(LeftOut(70_000)));
        assert_eq!(limit.one(start + WITHIN), Some(LeftOut(0)));
    }

    #[test]
    fn the_number_is_said_where_there_is_one() {
        let said = [0, 1, 7].map(|count| LeftOut(count).to_string());
        assert_eq!(said, ["", " (one similar message was not logged)", " (7 similar messages were not logged)"]);
    }
}
