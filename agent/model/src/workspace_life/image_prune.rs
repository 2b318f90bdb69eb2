//! Which images of ours are removed from Docker, and why each of the others stays. A list of our own: Docker's prune calls take an image that
//! was pulled by its digest for a dangling one.

use super::wished_images::WishedImages;
use crate::ids::ContainerId;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::prune_mode::PruneMode;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An image that Docker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its id in this Docker: another digest in each of Docker's stores.
    pub id: ImageDigest,
    /// Its digests in registries.
    pub digests: BTreeSet<ImageDigest>,
    /// Names with tags; what is pulled by its digest has none.
    pub tags: Vec<String>,
    /// Its size, in bytes, with layers that it shares with others.
    pub size_bytes: u64,
    /// When it was built.
    pub created_at: Option<UnixMillis>,
    /// Containers that are created from it, running or not.
    pub used_by: Vec<ContainerId>,
}

/// What is remembered of an image that was pulled here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OurImage {
    /// When it was pulled.
    pub pulled_at: UnixMillis,
    /// When a container or a wish last had it.
    pub needed_at: UnixMillis,
    /// Docker has shown it since. What Docker never had is being pulled, or was not.
    pub is_seen: bool,
}

/// Why an image stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WhyKept {
    /// It was not pulled by gpuhostd.
    NotOurs,
    /// A container is created from it, in whatever state.
    InUse,
    /// The desired state, the driver or the toolkit names it.
    Wished,
    /// It has a name with a tag: another user of Docker has a use for it.
    Tagged,
    /// It was pulled within the last hour: what it is for may not be there yet.
    PulledJustNow,
    /// It was needed within the last day.
    NeededRecently,
    /// A document that is in force cannot be read, so that what it names is not known.
    WishUnknown,
    /// Docker did not remove it when it was last tried.
    NotRemoved,
    /// Nothing is removed on this host.
    PruneIsOff,
    /// The disk has enough without it.
    DiskHasRoom,
}

impl WhyKept {
    /// As it is in JSON and on the command line.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What is decided from.
#[derive(Debug, Clone, Copy)]
pub struct ImagePruneWorld<'a> {
    /// What Docker has.
    pub images: &'a [StoredImage],
    /// What was pulled here.
    pub ours: &'a BTreeMap<ImageRef, OurImage>,
    /// Images of the desired state, of the driver and of the toolkit; `None` = they are not known.
    pub wished: Option<&'a WishedImages>,
    /// Images that Docker did not remove when it was last tried.
    pub failed: &'a BTreeSet<ImageDigest>,
    /// How much is removed while the disk has room.
    pub mode: PruneMode,
    /// So many bytes are missing until the reserve of the disk is free; 0 = it is.
    pub lacking_bytes: u64,
    /// What pulls wait for.
    pub wanted: DiskWanted,
    /// Now.
    pub now: UnixMillis,
}

/// Pulls wait until so much of the disk is free. What is wanted counts only where the images that may go can make room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskWanted {
    /// Free now, in bytes.
    pub available_bytes: u64,
    /// The pulls of workspaces.
    pub workspaces_bytes: u64,
    /// Pulls ahead: no other image of `images` goes for them.
    pub ahead_bytes: u64,
}

impl DiskWanted {
    /// So many bytes are missing for pulls ahead, and for those of workspaces. What cannot be met with so many bytes more lacks none.
    fn lacking(&self, unneeded: u64, listed: u64) -> (u64, u64) {
        let lack = |wanted: u64, most: u64| {
            Some(wanted.saturating_sub(self.available_bytes)).filter(|lack| *lack <= most).unwrap_or(0)
        };
        (lack(self.ahead_bytes, unneeded), lack(self.workspaces_bytes, unneeded.saturating_add(listed)))
    }
}

/// One that may be removed.
struct Removable<'a> {
    image: &'a StoredImage,
    of: &'a ImageRef,
    ours: OurImage,
    /// An entry of `images` names it, and nothing needs it.
    is_listed: bool,
}

/// What is removed, and why the rest stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImagePrunePlan {
    /// One after the other, least risk first, each by its id. On a full disk it is planned again after each.
    pub remove: Vec<ImageDigest>,
    /// Each of the others.
    pub kept: Vec<(ImageDigest, WhyKept)>,
}

/// What was pulled within this time stays.
const JUST_NOW_MS: i64 = 60 * 60 * 1000;
/// What was needed within this time stays, unless the mode is aggressive or the disk is full.
const RECENTLY_MS: i64 = 24 * 60 * 60 * 1000;

/// Decides. In an emergency (the reserve of the disk is not free) what is not needed goes in the order of risk, until it is free: first what
/// a newer image of its repository has replaced, then what was not needed for the longest time, of two such the larger one. What only
/// an entry of `images` names goes last of all, and only where a workspace waits for the room.
#[must_use]
pub fn plan_image_prune(world: &ImagePruneWorld<'_>) -> ImagePrunePlan {
    let mut plan = ImagePrunePlan::default();
    let mut removable: Vec<Removable<'_>> = Vec::new();
    for image in world.images {
        match judge(world, image) {
            Ok(one) => removable.push(one),
            Err(why) => plan.kept.push((image.id.clone(), why)),
        }
    }
    let is_replaced = |of: &ImageRef, ours: OurImage| {
        let newer = |(other, known): (&ImageRef, &OurImage)| {
            other.repository() == of.repository() && known.pulled_at > ours.pulled_at
        };
        world.ours.iter().any(newer)
    };
    removable.sort_by_key(|Removable { image, of, ours, is_listed }| {
        let age = (ours.needed_at, u64::MAX - image.size_bytes, image.id.clone());
        (*is_listed, !is_replaced(of, *ours), age)
    });
    let sum = |is_listed: bool| {
        let sizes = removable.iter().filter(|one| one.is_listed == is_listed).map(|one| one.image.size_bytes);
        sizes.fold(0, u64::saturating_add)
    };
    let (ahead, mut of_workspaces) = world.wanted.lacking(sum(false), sum(true));
    let mut lacking = world.lacking_bytes.max(ahead).max(of_workspaces);
    let is_short = lacking > 0;
    for Removable { image, ours, is_listed, .. } in removable {
        let is_recent = world.now.0.saturating_sub(ours.needed_at.0) < RECENTLY_MS;
        let why = match world.mode {
            _ if is_listed => (of_workspaces == 0).then_some(WhyKept::Wished),
            _ if lacking > 0 => None,
            PruneMode::Aggressive => None,
            PruneMode::Emergency => Some(WhyKept::DiskHasRoom),
            PruneMode::Normal if is_recent && is_short => Some(WhyKept::DiskHasRoom),
            PruneMode::Normal if is_recent => Some(WhyKept::NeededRecently),
            PruneMode::Normal => None,
            PruneMode::Off => Some(WhyKept::PruneIsOff),
        };
        match why {
            Some(why) => plan.kept.push((image.id.clone(), why)),
            None => {
                lacking = lacking.saturating_sub(image.size_bytes);
                of_workspaces = of_workspaces.saturating_sub(image.size_bytes);
                plan.remove.push(image.id.clone());
            }
        }
    }
    plan
}

/// The image of ours that it is, where it may be removed; else why it stays.
fn judge<'a>(world: &ImagePruneWorld<'a>, image: &'a StoredImage) -> Result<Removable<'a>, WhyKept> {
    let has = |of: &&ImageRef| of.digest().is_some_and(|digest| image.digests.contains(digest));
    // Pulled more than once, from several repositories: the last time counts.
    let ours = world.ours.iter().filter(|(of, _)| has(of)).max_by_key(|(_, ours)| ours.pulled_at);
    let (of, ours) = ours.ok_or(WhyKept::NotOurs)?;
    if !image.used_by.is_empty() {
        return Err(WhyKept::InUse);
    }
    let wished = world.wished.ok_or(WhyKept::WishUnknown)?;
    if wished.needed.iter().any(|of| has(&of)) {
        return Err(WhyKept::Wished);
    }
    let is_listed = wished.listed.iter().any(|of| has(&of));
    match may_not_go(world, image, *ours) {
        Some(_) if is_listed => Err(WhyKept::Wished),
        Some(why) => Err(why),
        None => Ok(Removable { image, of, ours: *ours, is_listed }),
    }
}

/// What keeps an image of ours that nothing needs.
fn may_not_go(world: &ImagePruneWorld<'_>, image: &StoredImage, ours: OurImage) -> Option<WhyKept> {
    if !image.tags.is_empty() {
        return Some(WhyKept::Tagged);
    }
    // A clock that was set back makes nothing old.
    if world.now.0.saturating_sub(ours.pulled_at.0) < JUST_NOW_MS {
        return Some(WhyKept::PulledJustNow);
    }
    if world.failed.contains(&image.id) {
        return Some(WhyKept::NotRemoved);
    }
    (world.mode == PruneMode::Off).then_some(WhyKept::PruneIsOff)
}

/// Notes which images of ours are needed now, and forgets those that Docker does not have any more. The hour after a pull begins when
/// Docker first shows the image.
#[must_use]
pub fn note_needed_images(world: &ImagePruneWorld<'_>) -> BTreeMap<ImageRef, OurImage> {
    let mut noted = BTreeMap::new();
    for (of, ours) in world.ours {
        let Some(digest) = of.digest() else { continue };
        let Some(image) = world.images.iter().find(|image| image.digests.contains(digest)) else {
            // A pull of it can be under way.
            if !ours.is_seen && world.now.0.saturating_sub(ours.pulled_at.0) < RECENTLY_MS {
                noted.insert(of.clone(), *ours);
            }
            continue;
        };
        let is_wished = world.wished.is_some_and(|WishedImages { needed, listed }| {
            needed.iter().chain(listed).any(|wished| wished.digest() == Some(digest))
        });
        let is_needed = !image.used_by.is_empty() || is_wished || !ours.is_seen;
        let needed_at = if is_needed { world.now } else { ours.needed_at };
        let pulled_at = if ours.is_seen { ours.pulled_at } else { world.now };
        noted.insert(of.clone(), OurImage { pulled_at, needed_at, is_seen: true });
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const NOW: UnixMillis = UnixMillis(1_000 * DAY_MS);

    fn digest(number: u8) -> ImageDigest {
        format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().unwrap()
    }

    fn image(number: u8) -> ImageRef {
        format!("r.example/of{}/x@{}", number / 10, digest(number)).parse().unwrap()
    }

    fn days_ago(days: i64) -> UnixMillis {
        UnixMillis(NOW.0 - days * DAY_MS)
    }

    fn stored(number: u8) -> StoredImage {
        StoredImage {
            id: digest(100 + number),
            digests: BTreeSet::from([digest(number)]),
            tags: Vec::new(),
            size_bytes: 1000,
            created_at: None,
            used_by: Vec::new(),
        }
    }

    /// Images of ours that were pulled a hundred days ago and needed as many days ago as their number; each of a repository of its own.
    fn world(mode: PruneMode, lacking_bytes: u64, change: impl FnOnce(&mut Owned)) -> ImagePrunePlan {
        let known = |days: u8| OurImage { pulled_at: days_ago(100), needed_at: days_ago(days.into()), is_seen: true };
        let mut owned = Owned {
            images: vec![stored(10), stored(20), stored(30), stored(40)],
            ours: [10, 20, 30, 40].map(|number| (image(number), known(number))).into(),
            wished: WishedImages::default(),
            failed: BTreeSet::new(),
            wanted: DiskWanted::default(),
            is_wish_unknown: false,
        };
        change(&mut owned);
        let (Owned { images, ours, wished, .. }, wanted) = (&owned, owned.wanted);
        let (wished, failed) = (Some(wished).filter(|_| !owned.is_wish_unknown), &owned.failed);
        plan_image_prune(&ImagePruneWorld { images, ours, wished, failed, mode, lacking_bytes, wanted, now: NOW })
    }

    struct Owned {
        images: Vec<StoredImage>,
        ours: BTreeMap<ImageRef, OurImage>,
        wished: WishedImages,
        failed: BTreeSet<ImageDigest>,
        wanted: DiskWanted,
        is_wish_unknown: bool,
    }

    fn ids(numbers: &[u8]) -> Vec<ImageDigest> {
        numbers.iter().map(|number| digest(100 + number)).collect()
    }

    #[test]
    fn what_is_not_ours_used_wished_tagged_or_new_stays_in_every_mode_and_on_a_full_disk() {
        type Change = fn(&mut Owned);
        let rows: [(Change, WhyKept); 7] = [
            (|one| one.failed.extend([digest(110)]), WhyKept::NotRemoved),
            (|one| one.ours.retain(|of, _| *of != image(10)), WhyKept::NotOurs),
            (|one| one.images[0].digests.clear(), WhyKept::NotOurs),
            (|one| one.images[0].used_by.push("a".repeat(64).parse().unwrap()), WhyKept::InUse),
            (
                |one| one.wished.needed.extend([format!("other.example/y@{}", digest(10)).parse().unwrap()]),
                WhyKept::Wished,
            ),
            (|one| one.images[0].tags.push("mine:1".to_owned()), WhyKept::Tagged),
            (
                |one| one.ours.get_mut(&image(10)).unwrap().pulled_at = UnixMillis(NOW.0 - JUST_NOW_MS + 1),
                WhyKept::PulledJustNow,
            ),
        ];
        for (change, why) in rows {
            for (mode, lacking) in [
                (PruneMode::Normal, 0),
                (PruneMode::Aggressive, 0),
                (PruneMode::Normal, u64::MAX),
                (PruneMode::Aggressive, u64::MAX),
            ] {
                let plan = world(mode, lacking, change);
                assert_eq!(plan.kept, [(digest(110), why)], "{mode:?}, {lacking}");
                assert_eq!(plan.remove, ids(&[40, 30, 20]), "{mode:?}, {lacking}");
            }
        }
        for lacking in [0, u64::MAX] {
            let plan = world(PruneMode::Aggressive, lacking, |one| one.is_wish_unknown = true);
            assert!(plan.remove.is_empty(), "a document that is not read is not an empty one: {plan:?}");
            assert!(plan.kept.iter().all(|(_, why)| *why == WhyKept::WishUnknown), "{plan:?}");
        }
        // A clock that was set back.
        let plan = world(PruneMode::Aggressive, 0, |one| {
            one.ours.values_mut().for_each(|ours| ours.pulled_at = UnixMillis(NOW.0 + DAY_MS));
        });
        assert!(plan.remove.is_empty(), "{plan:?}");
    }

    #[test]
    fn the_modes_differ_in_what_was_needed_recently_and_off_is_off_on_a_full_disk_too() {
        let recent: fn(&mut Owned) =
            |one| one.ours.get_mut(&image(20)).unwrap().needed_at = UnixMillis(NOW.0 - RECENTLY_MS + 1);
        let normal = world(PruneMode::Normal, 0, recent);
        assert_eq!(normal.remove, ids(&[40, 30, 10]));
        assert_eq!(normal.kept, [(digest(120), WhyKept::NeededRecently)]);
        assert_eq!(world(PruneMode::Aggressive, 0, recent).remove, ids(&[40, 30, 10, 20]));
        let emergency = world(PruneMode::Emergency, 0, recent);
        assert!(emergency.remove.is_empty(), "{emergency:?}");
        assert!(emergency.kept.iter().all(|(_, why)| *why == WhyKept::DiskHasRoom), "{emergency:?}");
        assert_eq!(world(PruneMode::Emergency, u64::MAX, recent).remove, ids(&[40, 30, 10, 20]));
        for lacking in [0, u64::MAX] {
            let off = world(PruneMode::Off, lacking, recent);
            assert!(off.remove.is_empty(), "{off:?}");
            assert!(off.kept.iter().all(|(_, why)| *why == WhyKept::PruneIsOff), "{off:?}");
        }
    }

    #[test]
    fn a_full_disk_takes_the_least_risk_first_and_no_more_than_it_needs() {
        let recent: fn(&mut Owned) = |one| {
            one.ours.values_mut().for_each(|ours| ours.needed_at = UnixMillis(NOW.0 - 5 * JUST_NOW_MS));
            one.ours.get_mut(&image(30)).unwrap().needed_at = UnixMillis(NOW.0 - 6 * JUST_NOW_MS);
            one.images[0].size_bytes = 1001;
            // A newer one of the same repository as the second.
            one.ours.insert(image(21), OurImage { pulled_at: days_ago(1), needed_at: NOW, is_seen: true });
        };
        assert!(world(PruneMode::Normal, 0, recent).remove.is_empty());
        for (lacking, expected) in
            [(1, &[20][..]), (1000, &[20]), (1001, &[20, 30]), (2001, &[20, 30, 10]), (u64::MAX, &[20, 30, 10, 40])]
        {
            let plan = world(PruneMode::Normal, lacking, recent);
            assert_eq!(plan.remove, ids(expected), "{lacking}");
            assert!(plan.kept.iter().all(|(_, why)| *why == WhyKept::DiskHasRoom), "{plan:?}");
        }
    }

    #[test]
    fn what_pulls_wait_for_counts_only_where_it_can_be_met_and_what_is_only_listed_goes_last_for_workspaces_alone() {
        let plan = |workspaces_bytes, ahead_bytes| {
            world(PruneMode::Emergency, 0, |one| {
                one.wished.listed.extend([image(40)]);
                one.wanted = DiskWanted { available_bytes: 500, workspaces_bytes, ahead_bytes };
            })
        };
        for (workspaces, ahead, expected) in [
            (501, 0, &[30][..]),
            (500, 500, &[]),
            (0, 501, &[30]),
            (0, 3500, &[30, 20, 10]),
            (0, 3501, &[]),
            (3500, 0, &[30, 20, 10]),
            (3501, 0, &[30, 20, 10, 40]),
            (4500, 0, &[30, 20, 10, 40]),
            (4501, 0, &[]),
            (u64::MAX, u64::MAX, &[]),
        ] {
            let plan = plan(workspaces, ahead);
            assert_eq!(plan.remove, ids(expected), "{workspaces}, {ahead}");
            let listed = plan.kept.iter().find(|(id, _)| *id == digest(140)).map(|(_, why)| *why);
            assert_eq!(listed, (!expected.contains(&40)).then_some(WhyKept::Wished), "{workspaces}, {ahead}");
        }
        // A reserve that others have used up costs no image that is listed.
        let short = world(PruneMode::Aggressive, u64::MAX, |one| one.wished.listed.extend([image(40)]));
        assert_eq!((short.remove, short.kept), (ids(&[30, 20, 10]), vec![(digest(140), WhyKept::Wished)]));
    }

    #[test]
    fn what_is_needed_is_noted_and_what_is_gone_is_forgotten() {
        let mut images = [stored(10), stored(20)];
        images[0].used_by.push("a".repeat(64).parse().unwrap());
        let old = OurImage { pulled_at: days_ago(9), needed_at: days_ago(8), is_seen: true };
        let begun = OurImage { pulled_at: UnixMillis(NOW.0 - JUST_NOW_MS), needed_at: days_ago(0), is_seen: false };
        let never = OurImage { pulled_at: days_ago(2), ..begun };
        let ours = BTreeMap::from([
            (image(10), old),
            (image(20), old),
            (image(30), old),
            (image(40), begun),
            (image(41), never),
        ]);
        let (wished, failed) = (WishedImages::default(), BTreeSet::new());
        let (mode, wanted) = (PruneMode::Normal, DiskWanted::default());
        let (images, ours) = (&images[..], &ours);
        let wished = Some(&wished);
        let world = ImagePruneWorld { images, ours, wished, failed: &failed, mode, lacking_bytes: 0, wanted, now: NOW };
        let noted = note_needed_images(&world);
        let needed = OurImage { needed_at: NOW, ..old };
        let expected = BTreeMap::from([(image(10), needed), (image(20), old), (image(40), begun)]);
        assert_eq!(noted, expected, "what is being pulled is not forgotten");
        let wished = WishedImages { listed: BTreeSet::from([image(20)]), ..WishedImages::default() };
        let noted = note_needed_images(&ImagePruneWorld { wished: Some(&wished), ..world });
        assert_eq!(noted[&image(20)].needed_at, NOW);
        let images = [stored(40)];
        let noted = note_needed_images(&ImagePruneWorld { images: &images, ..world });
        assert_eq!(noted[&image(40)], OurImage { pulled_at: NOW, needed_at: NOW, is_seen: true }, "its hour begins");
    }
}
