//! What is remembered of one of NVIDIA's containers, because Docker cannot show it.

use super::nvidia_deed::NvidiaDeed;
use super::nvidia_failures::NvidiaFailures;
use super::nvidia_look::NvidiaContainerSeen;
use super::nvidia_phase::NvidiaFault;
use super::nvidia_spec::{NvidiaOptions, NvidiaSpec};
use crate::ids::ContainerId;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::time::{BootMillis, UnixMillis};
use serde::{Deserialize, Serialize};

/// So many specifications are remembered: the wished one, the good one, and what was in between.
const MOST_KNOWN: usize = 4;

/// The memory of one role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaMemory {
    /// The wish that the rest is about; `None` = gpuhostd has never deployed this container, or does not know it.
    pub wish: Option<String>,
    /// It was wished over the files (`enable`, a desired state): where that is lost, it is not a wish to have it removed.
    #[serde(default)]
    pub is_over_files: bool,
    /// The digest that the wished tag stands for, since it was pulled.
    pub resolved: Option<ImageDigest>,
    /// Somebody asked for what the tag stands for now.
    pub pull_again: bool,
    /// What containers were created from, by their label.
    pub known: Vec<KnownNvidiaSpec>,
    /// What was ready last: the way back.
    pub good: Option<NvidiaSpec>,
    /// What failed in place of the good one: it is not tried again before the wish changes.
    pub failed: Option<FailedNvidiaSpec>,
    /// What was begun and is not known to have ended.
    pub begun: Option<NvidiaBegun>,
    /// A stopped container that Docker could not start: it is created again.
    pub rebuild: Option<ContainerId>,
    /// What has failed.
    pub failures: NvidiaFailures,
}

/// What a container with a label was created from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownNvidiaSpec {
    /// The label.
    pub label: String,
    /// The specification.
    pub spec: NvidiaSpec,
}

/// A specification that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedNvidiaSpec {
    /// Which one.
    pub spec: NvidiaSpec,
    /// How.
    pub fault: NvidiaFault,
    /// What was answered.
    pub reason: String,
}

/// A deed that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NvidiaBegun {
    /// A pull.
    Pull {
        /// Of this image.
        image: ImageRef,
    },
    /// A creation.
    Create {
        /// From this one.
        spec: NvidiaSpec,
    },
    /// A start. It stays until the container has exited or gone.
    Start(NvidiaStart),
    /// A stop.
    Stop {
        /// Of this container.
        id: ContainerId,
    },
    /// A removal.
    Remove {
        /// Of this container.
        id: ContainerId,
    },
}

/// A start of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaStart {
    /// The container.
    pub id: ContainerId,
    /// When it was begun, or first seen running.
    pub at: BootMillis,
    /// When Docker had last started it before: by this is known whether the start has happened.
    pub before: Option<UnixMillis>,
    /// It has been ready since.
    pub ready: bool,
    /// Since when it has not been ready any more.
    pub lost: Option<BootMillis>,
    /// Docker was away since: then an exit is not the container's fault.
    pub docker_was_away: bool,
}

impl NvidiaBegun {
    /// What is remembered of a deed that is about to begin.
    #[must_use]
    pub fn of(deed: &NvidiaDeed, containers: &[NvidiaContainerSeen], now: BootMillis) -> Self {
        match deed.clone() {
            NvidiaDeed::Pull { image, .. } => Self::Pull { image },
            NvidiaDeed::Create(spec) => Self::Create { spec },
            NvidiaDeed::Start { id, .. } => {
                let before = containers.iter().find(|one| one.id == id).and_then(|one| one.started_at);
                Self::Start(NvidiaStart { id, at: now, before, ready: false, lost: None, docker_was_away: false })
            }
            NvidiaDeed::Stop { id, .. } => Self::Stop { id },
            NvidiaDeed::Remove { id, .. } => Self::Remove { id },
        }
    }
}

impl NvidiaMemory {
    /// Begins afresh where the wish is another one. What ran well, and what runs, is known as before.
    pub fn wish(&mut self, wish: String) {
        if self.wish.as_ref() != Some(&wish) {
            (self.resolved, self.pull_again, self.failed) = (None, false, None);
            self.failures = NvidiaFailures::default();
            self.wish = Some(wish);
        }
    }

    /// Somebody asks for another try.
    pub fn try_again(&mut self) {
        (self.failures, self.failed) = (NvidiaFailures::default(), None);
    }

    /// Instants of an earlier boot mean nothing, and what had been begun then has ended.
    pub fn forget_boot(&mut self) {
        (self.failures, self.begun) = (NvidiaFailures::default(), None);
    }

    /// Remembers what containers with this label are created from.
    pub fn know(&mut self, label: String, spec: NvidiaSpec) {
        self.known.retain(|known| known.label != label);
        self.known.push(KnownNvidiaSpec { label, spec });
        let too_many = self.known.len().saturating_sub(MOST_KNOWN);
        self.known.drain(..too_many);
    }

    /// What a container was created from, as far as it is known.
    #[must_use]
    pub fn spec_of(&self, container: &NvidiaContainerSeen) -> Option<&NvidiaSpec> {
        let label = container.spec_digest.as_ref()?;
        self.known.iter().find(|known| known.label == *label).map(|known| &known.spec)
    }

    /// A container is what this specification would create. An unknown one is judged by its image, so that nothing is replaced because
    /// a file was lost or gpuhostd is another version.
    #[must_use]
    pub fn is_from(&self, container: &NvidiaContainerSeen, spec: &NvidiaSpec) -> bool {
        if container.spec_digest.as_ref() == Some(&spec.digest()) {
            return true;
        }
        match self.spec_of(container) {
            Some(known) => is_same(known, spec),
            None => spec.image.digest().is_some_and(|digest| container.image_digests.contains(digest)),
        }
    }

    /// The specification that failed.
    #[must_use]
    pub fn has_failed(&self, spec: &NvidiaSpec) -> Option<&FailedNvidiaSpec> {
        self.failed.as_ref().filter(|failed| is_same(&failed.spec, spec))
    }

    /// The good one, where it is another one than this.
    #[must_use]
    pub fn way_back_from(&self, spec: &NvidiaSpec) -> Option<&NvidiaSpec> {
        self.good.as_ref().filter(|good| !is_same(good, spec))
    }
}

/// Both are the same image and the same options. `DRIVER_CONFIG_DIGEST` follows from the others.
#[must_use]
pub(super) fn is_same(one: &NvidiaSpec, other: &NvidiaSpec) -> bool {
    let same_options = match (&one.options, &other.options) {
        (NvidiaOptions::Driver(one), NvidiaOptions::Driver(other)) => one.kernel_modules == other.kernel_modules,
        (NvidiaOptions::Toolkit(one), NvidiaOptions::Toolkit(other)) => one == other,
        (NvidiaOptions::Driver(_), NvidiaOptions::Toolkit(_))
        | (NvidiaOptions::Toolkit(_), NvidiaOptions::Driver(_)) => false,
    };
    one.image.digest() == other.image.digest() && same_options
}
