//! GPUs that did not answer NVML in their time: they are asked alone, and seldom, so that the others keep their facts.

use model::absence::Absence;
use protocol::lines::AskedGpu;
use spawn::Purpose;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    by_gpu: BTreeMap<AskedGpu, Suspect>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    /// The reason beside each of its values.
    pub(super) why: Absence,
    /// What happened, in a sentence.
    pub(super) said: String,
    /// What the process that waits for its answer was started as.
    pub(super) child: Option<Purpose>,
    /// It is asked again from then on.
    pub(super) ask_at: Instant,
}

impl Suspects {
    pub(super) fn insert(&mut self, which: AskedGpu, suspect: Suspect) {
        self.by_gpu.insert(which, suspect);
    }

    pub(super) fn remove(&mut self, which: AskedGpu) {
        self.by_gpu.remove(&which);
    }

    /// Forgets those that are not among the GPUs found, but for what a process still waits for.
    pub(super) fn keep(&mut self, found: &[AskedGpu]) {
        self.by_gpu.retain(|which, suspect| suspect.child.is_some() || found.contains(which));
    }

    /// Notes which processes have ended.
    pub(super) fn release(&mut self, has_ended: impl Fn(&Purpose) -> bool) {
        for suspect in self.by_gpu.values_mut() {
            suspect.child = suspect.child.take().filter(|purpose| !has_ended(purpose));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<AskedGpu> {
        self.by_gpu.keys().copied().collect()
    }

    /// Each with what is known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AskedGpu, &Suspect)> {
        self.by_gpu.iter()
    }

    /// Those that no process waits for and whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<AskedGpu> {
        let is_due = |suspect: &Suspect| suspect.child.is_none() && suspect.ask_at <= now;
        self.by_gpu.iter().filter(|(_, suspect)| is_due(suspect)).map(|(which, _)| *which).collect()
    }

    /// A process waits for this GPU under this name.
    pub(super) fn waits(&mut self, which: AskedGpu, purpose: Purpose) {
        if let Some(suspect) = self.by_gpu.get_mut(&which) {
            suspect.child = Some(purpose);
        }
    }

    /// A process that waits for one of them was started as this.
    pub(super) fn holds(&self, purpose: &str) -> bool {
        self.by_gpu.values().any(|suspect| suspect.child.as_deref() == Some(purpose))
    }

    /// One of them has a process of which this holds.
    pub(super) fn any(&self, holds: impl Fn(&Purpose) -> bool) -> bool {
        self.by_gpu.values().any(|suspect| suspect.child.as_ref().is_some_and(&holds))
    }
}
