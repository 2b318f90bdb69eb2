//! The largest part of a wish that fits beside what is in use: most instances, then slices, then slots.

use super::catalog::MigCatalog;
use super::layout::Wish;
use super::layout_request::{Kind, Room, Standing};
use super::search::{MOST_LOOKS, changes};

/// The wishes of which none more would fit.
pub(super) fn largest(catalog: &MigCatalog, kinds: &[Kind], standing: &[Standing<'_>], room: &Room) -> Vec<Wish> {
    let in_use: Vec<Standing<'_>> = standing.iter().filter(|instance| instance.is.in_use).copied().collect();
    let mut room = room.clone();
    for instance in &in_use {
        if let Some(profile) = catalog.profile(instance.profile) {
            room.take(instance.profile, profile);
        }
    }
    let occupied = in_use.iter().fold(0, |all, instance| all | instance.mask);
    let mut left: Vec<u32> = kinds.iter().map(|kind| kind.count).collect();
    let mut chosen = Vec::new();
    for instance in &in_use {
        if let Some(number) = served(kinds, &left, instance) {
            chosen.push(number);
            if let Some(left) = left.get_mut(number) {
                *left -= 1;
            }
        }
    }
    let sizes: Vec<Size> = kinds.iter().map(|kind| size(catalog, kind)).collect();
    let score = chosen.iter().fold(Score::default(), |sum, number| sum.with(sizes.get(*number)));
    let spots = (0..catalog.slots()).map(|slot| spot(catalog, kinds, slot, occupied)).collect();
    let sorted = |each: fn(&Size) -> u32| {
        let mut numbers: Vec<usize> = (0..kinds.len()).collect();
        numbers.sort_by_key(|number| sizes.get(*number).map(each));
        numbers
    };
    let (by_slots, by_slices) = (sorted(|size| size.slots), sorted(|size| size.slices));
    let mut fit = Fit { catalog, kinds, spots, sizes, by_slots, by_slices, left, room, chosen, best: None, looks: 0 };
    fit.go(0, occupied, score);
    wishes(catalog, kinds, fit.best.map(|(_, chosen)| chosen).unwrap_or_default())
}

/// What can begin at a slot beside what is in use: numbers of kinds, and their slots.
fn spot(catalog: &MigCatalog, kinds: &[Kind], slot: u32, occupied: u64) -> Vec<(usize, u64)> {
    let fits = |(number, kind): (usize, &Kind)| {
        let mask = catalog.profile(kind.profile)?.placement(slot)?.mask();
        (kind.start.is_none_or(|start| start == slot) && mask & occupied == 0).then_some((number, mask))
    };
    kinds.iter().enumerate().filter_map(fits).collect()
}

/// The kind that an instance in use is one of: one for its very place first.
fn served(kinds: &[Kind], left: &[u32], instance: &Standing<'_>) -> Option<usize> {
    let start = instance.is.instance.start;
    let fits = |(kind, left): (&Kind, &u32)| {
        *left > 0
            && kind.profile == instance.profile
            && kind.start.is_none_or(|own| own == start)
            && changes(&instance.is.compute, &kind.compute).is_some()
    };
    let matching = kinds.iter().zip(left).enumerate().filter(|(_, pair)| fits(*pair));
    matching
        .max_by_key(|(number, (kind, _))| (kind.start.is_some(), std::cmp::Reverse(*number)))
        .map(|(number, _)| number)
}

#[derive(Debug, Clone, Copy)]
struct Size {
    slices: u32,
    slots: u32,
}

fn size(catalog: &MigCatalog, kind: &Kind) -> Size {
    catalog
        .profile(kind.profile)
        .map_or(Size { slices: 0, slots: 0 }, |profile| Size { slices: profile.compute_slices, slots: profile.slots() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Score {
    instances: u32,
    slices: u32,
    slots: u32,
}

impl Score {
    fn with(self, size: Option<&Size>) -> Self {
        size.map_or(self, |size| Self {
            instances: self.instances + 1,
            slices: self.slices + size.slices,
            slots: self.slots + size.slots,
        })
    }
}

struct Fit<'a> {
    catalog: &'a MigCatalog,
    kinds: &'a [Kind],
    spots: Vec<Vec<(usize, u64)>>,
    sizes: Vec<Size>,
    /// Numbers of the kinds, the smallest first.
    by_slots: Vec<usize>,
    by_slices: Vec<usize>,
    left: Vec<u32>,
    room: Room,
    chosen: Vec<usize>,
    best: Option<(Score, Vec<usize>)>,
    looks: u64,
}

impl Fit<'_> {
    /// Everything that can be added from a slot on.
    fn go(&mut self, from: usize, occupied: u64, score: Score) {
        self.looks += 1;
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, self.chosen.clone()));
        }
        for slot in from..self.spots.len() {
            if self.looks >= MOST_LOOKS || !self.can_be_better(slot, occupied, score) {
                return;
            }
            let mut candidate = 0;
            while let Some((number, mask)) = self.spots.get(slot).and_then(|spot| spot.get(candidate)).copied() {
                candidate += 1;
                if mask & occupied == 0 && self.take(number) {
                    self.chosen.push(number);
                    self.go(slot + 1, occupied | mask, score.with(self.sizes.get(number)));
                    self.chosen.pop();
                    self.give_back(number);
                }
            }
        }
    }

    fn take(&mut self, number: usize) -> bool {
        let kind = self.kinds.get(number);
        let profile = kind.and_then(|kind| Some((kind.profile, self.catalog.profile(kind.profile)?)));
        let (Some(left), Some((of, profile))) = (self.left.get_mut(number), profile) else { return false };
        if *left == 0 || !self.room.take(of, profile) {
            return false;
        }
        *left -= 1;
        true
    }

    fn give_back(&mut self, number: usize) {
        let kind = self.kinds.get(number);
        let profile = kind.and_then(|kind| Some((kind.profile, self.catalog.profile(kind.profile)?)));
        if let (Some(left), Some((of, profile))) = (self.left.get_mut(number), profile) {
            *left += 1;
            self.room.give_back(of, profile);
        }
    }

    /// A bound: as if the free slots lay together and could be cut at will.
    fn can_be_better(&self, slot: usize, occupied: u64, score: Score) -> bool {
        let Some((best, _)) = &self.best else { return true };
        let ahead = u32::try_from(slot).ok().and_then(|slot| u64::MAX.checked_shl(slot)).unwrap_or(0);
        let all = u64::MAX.checked_shr(64 - self.catalog.slots()).unwrap_or(0);
        let free = (!occupied & ahead & all).count_ones();
        let slices = u32::try_from(self.room.slices).unwrap_or(u32::MAX);
        let by_slots = self.most(&self.by_slots, free, |size| size.slots);
        let by_slices = self.most(&self.by_slices, slices, |size| size.slices);
        let bound = Score {
            instances: score.instances + by_slots.0.min(by_slices.0),
            slices: score.slices + by_slices.1.min(slices),
            slots: score.slots + by_slots.1.min(free),
        };
        bound > *best
    }

    /// How many of the wishes that are left fit into so much, the smallest first; and how much all of them would take.
    fn most(&self, smallest_first: &[usize], mut into: u32, each: fn(&Size) -> u32) -> (u32, u32) {
        let (mut count, mut all) = (0_u32, 0_u32);
        for number in smallest_first {
            let (Some(left), Some(size)) = (self.left.get(*number), self.sizes.get(*number)) else { continue };
            let size = each(size);
            let fits = into.checked_div(size).unwrap_or(0).min(*left);
            into -= fits * size;
            count += fits;
            all = all.saturating_add(left.saturating_mul(size));
        }
        (count, all)
    }
}

fn wishes(catalog: &MigCatalog, kinds: &[Kind], mut chosen: Vec<usize>) -> Vec<Wish> {
    chosen.sort_unstable();
    let mut wishes: Vec<Wish> = Vec::new();
    for kind in chosen.into_iter().filter_map(|number| kinds.get(number)) {
        let Some(profile) = catalog.profile(kind.profile) else { continue };
        for slices in &kind.compute {
            let (profile, start) = (profile.compute_name(*slices), kind.start);
            match wishes.iter_mut().find(|wish| wish.profile == profile && wish.start == start) {
                Some(wish) => wish.count += 1,
                None => wishes.push(Wish { profile, start, count: 1 }),
            }
        }
    }
    wishes
}
