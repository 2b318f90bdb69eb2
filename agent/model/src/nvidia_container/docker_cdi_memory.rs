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
    /// Restarts that were not done: tried again as long as the file has what was put in. Left out where there are none, so that earlier
    /// versions read the record too.
    #[serde(skip_serializing_if = "NvidiaFailures::is_nothing")]
    pub refusals: NvidiaFailures,
}

impl DockerCdiMemory {
    /// Nothing is remembered.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// In another boot Docker has read its file.
    pub(super) fn forget_boot(&mut self) {
        (self.begun, self.restarted) = (false, None);
        (self.failures, self.refusals) = (NvidiaFailures::default(), NvidiaFailures::default());
    }

    /// Another try is asked for.
    pub(super) fn try_again(&mut self) {
        self.not_taken = None;
        (self.failures, self.refusals) = (NvidiaFailures::default(), NvidiaFailures::default());
    }

    /// The file is seen without it. After a restart that was not done, Docker did not start with it and the hand has taken it out again:
    /// that ends it.
    pub(super) fn seen_absent(&mut self) {
        if let Some(why) = self.refusals.reason().filter(|_| self.ours) {
            (self.ours, self.not_taken) = (false, Some(why.to_owned()));
            self.refusals = NvidiaFailures::default();
        }
    }
}
