//! A container of the simulated Docker.

use super::sim_images::SimImage;
use model::ids::ContainerId;
use model::image_ref::ImageDigest;
use model::nvidia_container::{ContainerRun, NvidiaContainerSeen, NvidiaRole, WhyForeign};
use model::time::{BootMillis, UnixMillis};

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimContainerRun {
    /// It was never started.
    Created,
    /// It runs since then.
    Running(BootMillis),
    /// It has ended with this status.
    Ended(i64),
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimContainer {
    /// Its id.
    pub id: ContainerId,
    /// The role in its label.
    pub role: NvidiaRole,
    /// Its name.
    pub name: String,
    /// Digest of its specification, from its label.
    pub label: Option<String>,
    /// Digest of its image.
    pub digest: Option<ImageDigest>,
    /// It is not ours.
    pub foreign: Option<WhyForeign>,
    /// What it does.
    pub run: SimContainerRun,
    /// How often it was started: Docker's time of the last start differs each time.
    pub starts: i64,
}

impl SimContainer {
    /// It runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.run, SimContainerRun::Running(_))
    }

    pub(super) fn ready_at(&self, image: SimImage) -> Option<BootMillis> {
        let SimContainerRun::Running(since) = self.run else { return None };
        image.ready_after_ms.map(|after| since.plus(after))
    }

    pub(super) fn advance(&mut self, image: SimImage, now: BootMillis) {
        if let (SimContainerRun::Running(since), Some((after, status))) = (self.run, image.exits)
            && since.plus(after) <= now
        {
            self.run = SimContainerRun::Ended(status);
        }
    }

    pub(super) fn seen(&self) -> NvidiaContainerSeen {
        let run = match self.run {
            SimContainerRun::Created => ContainerRun::Created,
            SimContainerRun::Running(_) => ContainerRun::Running,
            SimContainerRun::Ended(exit) => ContainerRun::Ended { exit, oom: false },
        };
        NvidiaContainerSeen {
            id: self.id.clone(),
            name: self.name.clone(),
            foreign: self.foreign,
            spec_digest: self.label.clone(),
            image_digests: self.digest.iter().cloned().collect(),
            run,
            started_at: (self.starts > 0).then_some(UnixMillis(self.starts)),
        }
    }
}
