//! What was found: one line for each thing that was tried.

use std::fmt;

/// How a manager did in one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the contract has it.
    Right,
    /// Not as the contract has it: what came, and what to do.
    Wrong(String),
    /// Not there, and it need not be: what a host does without it.
    Absent(String),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub what: &'static str,
    /// How the manager did.
    pub verdict: Verdict,
}

impl Finding {
    /// It is as the contract has it.
    #[must_use]
    pub const fn right(what: &'static str) -> Self {
        Self { what, verdict: Verdict::Right }
    }

    /// It is not.
    pub fn wrong(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Wrong(why.into()) }
    }

    /// It is not there.
    pub fn absent(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Absent(why.into()) }
    }

    /// Right where nothing is wrong.
    pub fn of(what: &'static str, faults: &[String]) -> Self {
        if faults.is_empty() { Self::right(what) } else { Self::wrong(what, faults.join("; ")) }
    }

    /// The contract is broken.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        matches!(self.verdict, Verdict::Wrong(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Right => write!(f, "ok      {}", self.what),
            Verdict::Wrong(why) => write!(f, "WRONG   {}: {why}", self.what),
            Verdict::Absent(why) => write!(f, "absent  {}: {why}", self.what),
        }
    }
}
