//! What the registries have, what the simulated Docker has pulled of it, and how a pull goes wrong.

use super::sim_workspace::SimProgram;
use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::ImageSeen;
use model::time::BootMillis;
use std::collections::{BTreeMap, BTreeSet};

/// A pull without a byte for so long is closed by the container hand.
const STALLED_AFTER_MS: u64 = 60_000;

/// How a pull ends. Seen with a real registry on 20.10, 26.1 and 28.5, with a relay that cuts or stalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullFate {
    /// The image is here.
    #[default]
    Works,
    /// The registry does not have it: 404, `manifest unknown`.
    Unknown,
    /// The credentials are wrong: 500 on 26.1, 401 on 28.5.
    Denied,
    /// The connection is cut at half of it.
    Cut,
    /// Half of it comes, and then not a byte more: Docker would wait for ever, and the hand closes it after a minute.
    Stalls,
    /// The disk is full: 200, and `errorDetail` in the stream.
    NoSpace,
}

impl PullFate {
    const fn fault(self) -> Option<&'static str> {
        match self {
            Self::Works => None,
            Self::Unknown => Some("manifest unknown: manifest unknown"),
            Self::Denied => Some("unauthorized: authentication required"),
            Self::Cut => Some("unexpected EOF"),
            Self::Stalls => Some("no byte was received for 60 s: the pull was closed"),
            Self::NoSpace => Some("failed to register layer: write /layer.tar: no space left on device"),
        }
    }
}

/// An image of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryImage {
    /// What its containers do.
    pub program: SimProgram,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How its next pulls end.
    pub fate: PullFate,
}

impl RegistryImage {
    /// One whose containers run until they are stopped.
    pub const SERVES: Self = Self { program: SimProgram::SERVES, bytes: 400_000_000, fate: PullFate::Works };
    /// One whose containers exit at once.
    pub const EXITS: Self = Self { program: SimProgram::EXITS, ..Self::SERVES };
}

/// The images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PullState {
    registry: BTreeMap<ImageDigest, RegistryImage>,
    here: BTreeSet<ImageDigest>,
    /// Names with tags, of what is here.
    pub(super) tags: BTreeMap<ImageDigest, Vec<String>>,
    /// The images together may have so many bytes; `None` = the disk is large.
    pub(super) room_bytes: Option<u64>,
    pulling: BTreeMap<ImageRef, BootMillis>,
    failed: BTreeMap<ImageRef, String>,
    pub(super) pull_takes_ms: u64,
    pub(super) registry_away: bool,
    /// An image that was not published is one that works.
    pub(super) has_every_image: bool,
    /// Most pulls at once so far.
    pub(super) most_at_once: usize,
}

impl Default for PullState {
    fn default() -> Self {
        Self {
            registry: BTreeMap::new(),
            here: BTreeSet::new(),
            tags: BTreeMap::new(),
            room_bytes: None,
            pulling: BTreeMap::new(),
            failed: BTreeMap::new(),
            pull_takes_ms: 20_000,
            registry_away: false,
            has_every_image: false,
            most_at_once: 0,
        }
    }
}

impl PullState {
    pub(super) fn publish(&mut self, digest: ImageDigest, image: RegistryImage) {
        self.registry.insert(digest, image);
    }

    pub(super) fn have(&mut self, digest: ImageDigest) {
        self.here.insert(digest);
    }

    pub(super) fn program(&self, image: &ImageRef) -> SimProgram {
        let published = image.digest().and_then(|digest| self.registry.get(digest));
        published.map_or(SimProgram::SERVES, |image| image.program)
    }

    pub(super) fn has(&self, image: &ImageRef) -> bool {
        image.digest().is_some_and(|digest| self.here.contains(digest))
    }

    pub(super) fn is_pulling(&self) -> bool {
        !self.pulling.is_empty()
    }

    /// Begins a pull; where one goes on already it goes on.
    pub(super) fn pull(&mut self, image: &ImageRef, now: BootMillis) {
        if self.has(image) || self.pulling.contains_key(image) {
            return;
        }
        self.failed.remove(image);
        self.pulling.insert(image.clone(), now);
        self.most_at_once = self.most_at_once.max(self.pulling.len());
    }

    fn image(&self, image: &ImageRef) -> RegistryImage {
        let unknown = RegistryImage { fate: PullFate::Unknown, ..RegistryImage::SERVES };
        let otherwise = if self.has_every_image { RegistryImage::SERVES } else { unknown };
        image.digest().and_then(|digest| self.registry.get(digest)).copied().unwrap_or(otherwise)
    }

    fn takes_ms(&self, fate: PullFate) -> u64 {
        match fate {
            PullFate::Works => self.pull_takes_ms,
            PullFate::Unknown | PullFate::Denied => 0,
            PullFate::Cut | PullFate::NoSpace => self.pull_takes_ms / 2,
            PullFate::Stalls => (self.pull_takes_ms / 2).saturating_add(STALLED_AFTER_MS),
        }
    }

    /// Pulls that are due end. True: one did.
    pub(super) fn advance(&mut self, now: BootMillis) -> bool {
        let due = |(image, begun): &(&ImageRef, &BootMillis)| {
            self.registry_away || begun.plus(self.takes_ms(self.image(image).fate)) <= now
        };
        let due: Vec<ImageRef> = self.pulling.iter().filter(due).map(|(image, _)| image.clone()).collect();
        for image in &due {
            self.pulling.remove(image);
            let away = self.registry_away.then_some("dial tcp: connection refused");
            let is_full =
                self.room_bytes.is_some_and(|room| self.used_bytes().saturating_add(self.image(image).bytes) > room);
            let away = away.or_else(|| is_full.then(|| PullFate::NoSpace.fault()).flatten());
            match (away.or_else(|| self.image(image).fate.fault()), image.digest()) {
                (None, Some(digest)) => {
                    self.here.insert(digest.clone());
                }
                (fault, _) => {
                    self.failed.insert(image.clone(), fault.unwrap_or("it has no digest").to_owned());
                }
            }
        }
        !due.is_empty()
    }

    /// The digests that are here, each with its size.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&ImageDigest, u64)> {
        let bytes = |digest: &ImageDigest| {
            let published = self.registry.get(digest).copied();
            published.unwrap_or(RegistryImage::SERVES).bytes
        };
        self.here.iter().map(move |digest| (digest, bytes(digest)))
    }

    /// Bytes of all that is here.
    pub(super) fn used_bytes(&self) -> u64 {
        self.stored().map(|(_, bytes)| bytes).fold(0, u64::saturating_add)
    }

    /// One is gone.
    pub(super) fn remove(&mut self, digest: &ImageDigest) {
        self.here.remove(digest);
        self.tags.remove(digest);
    }

    /// Whatever is being pulled is cut, and the caller hears of it.
    pub(super) fn cut(&mut self) {
        for image in std::mem::take(&mut self.pulling).into_keys() {
            self.failed.insert(image, "unexpected EOF".to_owned());
        }
    }

    /// The container hand, which waits for pulls, was started again: they are closed, and nothing is remembered of them.
    pub(super) fn forget(&mut self) {
        self.pulling.clear();
        self.failed.clear();
    }

    /// Another program removes images, by force: also those under containers that do not run.
    pub(super) fn prune(&mut self) {
        self.here.clear();
    }

    pub(super) fn seen(&self, image: &ImageRef, now: BootMillis) -> ImageSeen {
        if let Some(begun) = self.pulling.get(image) {
            let RegistryImage { bytes, fate, .. } = self.image(image);
            let most = if fate == PullFate::Works { bytes } else { bytes / 2 };
            let share = now.since(*begun).min(self.pull_takes_ms);
            let done = bytes.saturating_mul(share).checked_div(self.pull_takes_ms).unwrap_or(0).min(most);
            // The sizes of layers are known only when the first of them come.
            return ImageSeen::Pulling { done_bytes: done, total_bytes: if share == 0 { 0 } else { bytes } };
        }
        match (image.digest().filter(|digest| self.here.contains(*digest)), self.failed.get(image)) {
            (Some(digest), _) => ImageSeen::Present { digests: vec![digest.clone()] },
            (None, Some(why)) => ImageSeen::PullFailed { why: why.clone() },
            (None, None) => ImageSeen::Absent,
        }
    }
}
