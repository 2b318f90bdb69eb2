//! What a heartbeat leaves out after a manager refused a larger one, and for how long.

use crate::time::BootMillis;

/// After so long the whole report is tried again, in milliseconds.
pub const OMIT_FOR_MS: u64 = 3_600_000;

/// How much is left out; each step leaves out what the steps before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Omit {
    /// Nothing: the whole report.
    #[default]
    Nothing,
    /// Metrics of workspaces.
    WorkspaceMetrics,
    /// Metrics of MIG devices.
    MigMetrics,
    /// Everything that the contract does not require but the conditions: GPU metrics, workspaces, inventory, agent.
    Optional,
}

impl Omit {
    /// The next step after a 413; `None` where nothing is left to leave out.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Nothing => Some(Self::WorkspaceMetrics),
            Self::WorkspaceMetrics => Some(Self::MigMetrics),
            Self::MigMetrics => Some(Self::Optional),
            Self::Optional => None,
        }
    }

    /// What is left out, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::WorkspaceMetrics => "metrics of workspaces",
            Self::MigMetrics => "metrics of workspaces and of MIG devices",
            Self::Optional => "all optional blocks but the conditions",
        }
    }
}

/// What is left out since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitting {
    level: Omit,
    since: BootMillis,
}

impl Omitting {
    /// What is left out now.
    #[must_use]
    pub const fn level(self, now: BootMillis) -> Omit {
        if now.since(self.since) >= OMIT_FOR_MS { Omit::Nothing } else { self.level }
    }

    /// Leaves out more from now on.
    #[must_use]
    pub const fn from_now(level: Omit, now: BootMillis) -> Self {
        Self { level, since: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_metrics_go_before_mig_metrics_and_all_come_back_after_an_hour() {
        let steps: Vec<_> = std::iter::successors(Some(Omit::Nothing), |o| o.next()).collect();
        assert_eq!(steps, [Omit::Nothing, Omit::WorkspaceMetrics, Omit::MigMetrics, Omit::Optional]);
        let omitting = Omitting::from_now(Omit::Optional, BootMillis(10));
        assert_eq!(omitting.level(BootMillis(10 + OMIT_FOR_MS - 1)), Omit::Optional);
        assert_eq!(omitting.level(BootMillis(10 + OMIT_FOR_MS)), Omit::Nothing);
    }
}
