//! The largest part of a wish that fits beside what is in use: most instances, then slices, then slots.

use super::catalog::MigCatalog;
use super::layout::Wish;
use super::request::{Kind, Room, Standing};
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
    let sizes = kinds.iter().map(|kind| size(catalog, kind)).collect();
    let mut fit = Fit { catalog, kinds, sizes, left, chosen, best: None, looks: 0 };
    let score = fit.chosen.iter().fold(Score::default(), |sum, number| sum.with(fit.sizes.get(*number)));
    fit.go(0, occupied, &room, score);
    wishes(catalog, kinds, fit.best.map(|(_, chosen)| chosen).unwrap_or_default())
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
    sizes: Vec<Size>,
    left: Vec<u32>,
    chosen: Vec<usize>,
    best: Option<(Score, Vec<usize>)>,
    looks: u64,
}

impl Fit<'_> {
    fn go(&mut self, slot: u32, occupied: u64, room: &Room, score: Score) {
        self.looks += 1;
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, self.chosen.clone()));
        }
        if slot >= self.catalog.slots() || self.looks >= MOST_LOOKS || !self.can_be_better(slot, occupied, room, score)
        {
            return;
        }
        for number in 0..self.kinds.len() {
            self.try_one(number, slot, occupied, room, score);
        }
        self.go(slot + 1, occupied, room, score);
    }

    fn try_one(&mut self, number: usize, slot: u32, occupied: u64, room: &Room, score: Score) {
        let Some(kind) = self.kinds.get(number).filter(|kind| kind.start.is_none_or(|start| start == slot)) else {
            return;
        };
        let Some(profile) = self.catalog.profile(kind.profile) else { return };
        let Some(placement) = profile.placement(slot).filter(|placement| placement.mask() & occupied == 0) else {
            return;
        };
        if self.left.get(number).is_none_or(|left| *left == 0) {
            return;
        }
        let mut rest = room.clone();
        if !rest.take(kind.profile, profile) {
            return;
        }
        self.add(number, -1);
        self.chosen.push(number);
        let score = score.with(self.sizes.get(number));
        self.go(slot + 1, occupied | placement.mask(), &rest, score);
        self.chosen.pop();
        self.add(number, 1);
    }

    fn add(&mut self, number: usize, by: i32) {
        if let Some(left) = self.left.get_mut(number) {
            *left = left.saturating_add_signed(by);
        }
    }

    /// A bound: as if what is left could be cut at will.
    fn can_be_better(&self, slot: u32, occupied: u64, room: &Room, score: Score) -> bool {
        let Some((best, _)) = &self.best else { return true };
        let ahead =
            u64::MAX.checked_shl(slot).unwrap_or(0) & u64::MAX.checked_shr(64 - self.catalog.slots()).unwrap_or(0);
        let free = (!occupied & ahead).count_ones();
        let slices = u32::try_from(room.slices).unwrap_or(u32::MAX);
        let wished = || self.left.iter().zip(&self.sizes).filter(|(left, _)| **left > 0);
        let (Some(least_slots), Some(least_slices)) =
            (wished().map(|(_, size)| size.slots).min(), wished().map(|(_, size)| size.slices).min())
        else {
            return false;
        };
        let sum = |each: fn(&Size) -> u32| {
            wished().fold(0_u32, |sum, (left, size)| sum.saturating_add(left.saturating_mul(each(size))))
        };
        let count = wished().fold(0_u32, |sum, (left, _)| sum.saturating_add(*left));
        let by_slots = free.checked_div(least_slots).unwrap_or(0);
        let by_slices = slices.checked_div(least_slices).unwrap_or(0);
        let bound = Score {
            instances: score.instances + count.min(by_slots).min(by_slices),
            slices: score.slices + sum(|size| size.slices).min(slices),
            slots: score.slots + sum(|size| size.slots).min(free),
        };
        bound > *best
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
