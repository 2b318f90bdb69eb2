//! What is remembered of `features.cdi` in Docker's configuration, because neither Docker nor the file can show it.

use super::nvidia_failures::NvidiaFailures;
use crate::time::BootMillis;
use serde::{Deserialize, Serialize};

/// What is remembered of `features.cdi`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerCdiMemory {
    /// gpuhostd has put it in, or is about to.
    pub ours: bool,
    /// A step was begun and is not known to have ended.
    pub begun: bool,
    /// When Docker was last restarted for it.
    pub restarted: Option<BootMillis>,
    /// Docker did not take it: it is not put in again before the wish changes.
    pub not_taken: Option<String>,
    /// What has failed.
    pub failures: NvidiaFailures,
}

impl DockerCdiMemory {
    /// Nothing is remembered.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// In another boot Docker has read its file.
    pub(super) fn forget_boot(&mut self) {
        (self.begun, self.restarted, self.failures) = (false, None, NvidiaFailures::default());
    }

    /// Another try is asked for.
    pub(super) fn try_again(&mut self) {
        (self.not_taken, self.failures) = (None, NvidiaFailures::default());
    }
}
