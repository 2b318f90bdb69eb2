//! What is shown of the images that Docker has: whose they are, why each stays, and how much room the disk has.

use super::disk_room::DiskRoom;
use super::image_prune::{ImagePrunePlan, OurImage, StoredImage, WhyKept};
use crate::image_ref::ImageRef;
use crate::prune_mode::PruneMode;
use crate::time::UnixMillis;
use std::collections::BTreeMap;

/// The images of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImagesState {
    /// When Docker showed them; `None` = it was not asked yet.
    pub looked_at: Option<UnixMillis>,
    /// Why Docker shows nothing now; then the images are those that it showed last.
    pub unknown: Option<String>,
    /// How much is removed.
    pub mode: PruneMode,
    /// Each of them.
    pub images: Vec<ImageRow>,
    /// The room of the disk that holds them.
    pub room: Option<DiskRoom>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// As Docker shows it.
    pub image: StoredImage,
    /// As gpuhostd has pulled it; `None` = it has not.
    pub of: Option<(ImageRef, OurImage)>,
    /// Why it stays; `None` = it is removed next.
    pub kept: Option<WhyKept>,
}

impl ImageRow {
    /// One row for each image.
    #[must_use]
    pub fn all(images: Vec<StoredImage>, ours: &BTreeMap<ImageRef, OurImage>, plan: &ImagePrunePlan) -> Vec<Self> {
        let kept: BTreeMap<_, _> = plan.kept.iter().map(|(id, why)| (id, *why)).collect();
        let row = |image: StoredImage| {
            let has = |of: &ImageRef| of.digest().is_some_and(|digest| image.digests.contains(digest));
            let of = ours.iter().find(|(of, _)| has(of)).map(|(of, known)| (of.clone(), *known));
            Self { of, kept: kept.get(&image.id).copied(), image }
        };
        images.into_iter().map(row).collect()
    }
}
