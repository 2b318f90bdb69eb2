//! What a registry has, and what Docker has pulled of it.

use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::ImageSeen;
use model::time::BootMillis;
use std::collections::{BTreeMap, BTreeSet};

/// Size of an image, in bytes.
const IMAGE_BYTES: u64 = 400_000_000;

/// How the containers of an image behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimImage {
    /// So long after its start a container is ready; `None` = never.
    pub ready_after_ms: Option<u64>,
    /// So long after its start a container exits by itself, with this status.
    pub exits: Option<(u64, i64)>,
}

impl SimImage {
    /// One that works.
    pub const GOOD: Self = Self { ready_after_ms: Some(90_000), exits: None };
    /// One whose container exits as soon as it has started.
    pub const EXITS: Self = Self { ready_after_ms: None, exits: Some((1_500, 1)) };
    /// One that runs and never gets ready.
    pub const NEVER_READY: Self = Self { ready_after_ms: None, exits: None };
}

/// The images of a registry and of one Docker.
#[derive(Debug, Clone, Default)]
pub(super) struct SimImages {
    /// What the registry has, by tag and by digest.
    tags: BTreeMap<String, ImageDigest>,
    behaviours: BTreeMap<ImageDigest, SimImage>,
    /// What this Docker has.
    here: BTreeSet<ImageDigest>,
    /// Which digest a tag had when it was pulled.
    pulled_tags: BTreeMap<String, ImageDigest>,
    pulling: BTreeMap<ImageRef, BootMillis>,
    failed: BTreeMap<ImageRef, String>,
    /// How long a pull takes.
    pull_takes_ms: u64,
    /// Images that Docker has without a digest of a registry (`docker load`).
    loaded: BTreeSet<String>,
    /// The registry does not answer.
    pub(super) registry_away: bool,
}

impl SimImages {
    pub(super) fn pulling_for(pull_takes_ms: u64) -> Self {
        Self { pull_takes_ms, ..Self::default() }
    }

    pub(super) fn publish(&mut self, tag: &ImageRef, digest: &ImageDigest, image: SimImage) {
        self.tags.insert(tag.name().to_owned(), digest.clone());
        self.behaviours.insert(digest.clone(), image);
    }

    /// An image that the registry does not have yet gets a digest of its name.
    pub(super) fn publish_unknown(&mut self, image: &ImageRef) {
        if self.digest_in_registry(image).is_some() {
            return;
        }
        // FNV-1a: it tells names apart, and protects nothing.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = image.name().bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        let named =
            image.digest().cloned().map_or_else(|| format!("sha256:{}", format!("{hash:016x}").repeat(4)).parse(), Ok);
        if let Ok(digest) = named {
            self.publish(image, &digest, SimImage::GOOD);
        }
    }

    pub(super) fn behaviour(&self, digest: Option<&ImageDigest>) -> SimImage {
        digest.and_then(|digest| self.behaviours.get(digest)).copied().unwrap_or(SimImage::NEVER_READY)
    }

    fn digest_in_registry(&self, image: &ImageRef) -> Option<ImageDigest> {
        let by_digest = image.digest().filter(|digest| self.behaviours.contains_key(*digest)).cloned();
        by_digest.or_else(|| self.tags.get(image.name()).filter(|_| image.digest().is_none()).cloned())
    }

    fn digest_here(&self, image: &ImageRef) -> Option<ImageDigest> {
        let digest = image.digest().or_else(|| self.pulled_tags.get(image.name()));
        digest.filter(|digest| self.here.contains(*digest)).cloned()
    }

    pub(super) fn has(&self, image: &ImageRef) -> bool {
        self.digest_here(image).is_some()
    }

    pub(super) fn pull(&mut self, image: &ImageRef, now: BootMillis) {
        self.failed.remove(image);
        self.pulling.insert(image.clone(), now.plus(self.pull_takes_ms));
    }

    /// Pulls that are due end.
    pub(super) fn advance(&mut self, now: BootMillis) {
        let due: Vec<ImageRef> =
            self.pulling.iter().filter(|(_, at)| **at <= now).map(|(image, _)| image.clone()).collect();
        for image in due {
            self.pulling.remove(&image);
            match self.digest_in_registry(&image).filter(|_| !self.registry_away) {
                // What is here under that name stays as it was loaded.
                _ if self.loaded.contains(image.name()) => {}
                Some(digest) => {
                    if image.digest().is_none() {
                        self.pulled_tags.insert(image.name().to_owned(), digest.clone());
                    }
                    self.here.insert(digest);
                }
                None => {
                    let _earlier = self.failed.insert(image, "manifest unknown, or the registry is away".to_owned());
                }
            }
        }
    }

    /// Somebody loads an image from a file.
    pub(super) fn load(&mut self, image: &ImageRef) {
        self.loaded.insert(image.name().to_owned());
    }

    /// Whatever is being pulled is cut.
    pub(super) fn cut(&mut self) {
        for (image, _) in std::mem::take(&mut self.pulling) {
            self.failed.insert(image, "unexpected EOF".to_owned());
        }
    }

    /// Docker ends: pulls end with it and leave no word.
    pub(super) fn forget_pulls(&mut self) {
        self.pulling.clear();
        self.failed.clear();
    }

    /// Somebody prunes.
    pub(super) fn prune(&mut self) {
        self.here.clear();
        self.pulled_tags.clear();
    }

    pub(super) fn seen(&self, image: Option<&ImageRef>) -> ImageSeen {
        let Some(image) = image else { return ImageSeen::Absent };
        if self.pulling.contains_key(image) {
            return ImageSeen::Pulling { done_bytes: IMAGE_BYTES / 2, total_bytes: IMAGE_BYTES };
        }
        match (self.digest_here(image), self.failed.get(image)) {
            (Some(digest), _) => ImageSeen::Present { digests: vec![digest] },
            (None, Some(why)) => ImageSeen::PullFailed { why: why.clone() },
            (None, None) if self.loaded.contains(image.name()) => ImageSeen::Present { digests: Vec::new() },
            (None, None) => ImageSeen::Absent,
        }
    }
}
