//! The search for the best arrangement: every way to place the wishes is looked at, from the first slot to the last.
//!
//! Best is, in this order: most instances stay, fewest compute instances change, most room is left, lowest starts.

use super::catalog::{GpuProfile, MigCatalog};
use super::layout::PresentCompute;
use super::layout_request::{Kind, Room, Standing};
use std::cmp::{Ordering, Reverse};

/// Partial layouts that are looked at before a search is given up. The products of today need a few thousand at most.
pub(super) const MOST_LOOKS: u64 = 200_000;

/// One wish placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Number of its kind.
    pub(super) kind: usize,
    /// First slot.
    pub(super) start: u32,
}

/// An arrangement of all wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Each wish, by start.
    pub(super) placed: Vec<Placed>,
    /// How many more instances of each plain profile would fit, from the largest profile on.
    pub(super) rest: Vec<u32>,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The best arrangement.
    Best(Found),
    /// There is none.
    Nothing,
    /// Given up before anything was found.
    GivenUp,
}

/// A profile of which as many as possible shall still fit.
#[derive(Debug)]
struct Plain {
    /// Its placements, by end.
    masks: Vec<u64>,
    /// How many would fit by the sums.
    by_sums: u32,
}

/// What can begin at one slot.
#[derive(Debug, Default)]
struct Spot {
    candidates: Vec<Candidate>,
    /// One of the candidates has to: an instance in use is here, or a wish names this slot.
    must: bool,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    kind: usize,
    mask: u64,
    size: u32,
    /// An instance of that profile is here and stays.
    stays: bool,
    /// Compute instances to destroy and to create in it.
    changes: u32,
}

/// How good an arrangement is, as far as it is known before the room that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Score {
    stay: u32,
    changes: u32,
}

struct Search {
    spots: Vec<Spot>,
    plain: Vec<Plain>,
    /// Instances that stand at this slot or behind it.
    standing_from: Vec<u32>,
    /// First slot behind the last one at which something must begin.
    must_until: usize,
    left: Vec<u32>,
    /// What has no choice: it is in every arrangement.
    fixed: Vec<Placed>,
    chosen: Vec<Placed>,
    best: Option<(Score, Found)>,
    looks: u64,
    /// Any arrangement will do.
    any: bool,
}

#[derive(Debug, Clone, Copy)]
struct At {
    slot: usize,
    occupied: u64,
    instances_left: u32,
    slots_left: u32,
    score: Score,
}

impl At {
    fn with(self, one: Candidate) -> Self {
        let Score { stay, changes } = self.score;
        Self {
            slot: self.slot,
            occupied: self.occupied | one.mask,
            instances_left: self.instances_left.saturating_sub(1),
            slots_left: self.slots_left.saturating_sub(one.size),
            score: Score { stay: stay + u32::from(one.stays), changes: changes + one.changes },
        }
    }
}

/// Looks for the best arrangement of all wishes beside the instances in use.
pub(super) fn best(catalog: &MigCatalog, kinds: &[Kind], standing: &[Standing<'_>], room: &Room) -> Outcome {
    run(catalog, kinds, standing, room, false)
}

/// Looks whether there is any arrangement on a GPU with nothing on it.
pub(super) fn possible(catalog: &MigCatalog, kinds: &[Kind], room: &Room) -> bool {
    matches!(run(catalog, kinds, &[], room, true), Outcome::Best(_))
}

fn run(catalog: &MigCatalog, kinds: &[Kind], standing: &[Standing<'_>], room: &Room, any: bool) -> Outcome {
    let mut room = room.clone();
    let (mut instances_left, mut slots_left) = (0, 0);
    for kind in kinds {
        let Some(profile) = catalog.profile(kind.profile) else { return Outcome::Nothing };
        for _ in 0..kind.count {
            if !room.take(kind.profile, profile) {
                return Outcome::Nothing;
            }
            instances_left += 1;
            slots_left += profile.slots();
        }
    }
    let spots: Vec<Spot> = (0..catalog.slots()).map(|slot| spot(catalog, kinds, standing, slot)).collect();
    let mut search = Search {
        plain: if any { Vec::new() } else { plain(catalog, &room) },
        standing_from: standing_from(catalog, standing),
        must_until: 0,
        spots,
        left: kinds.iter().map(|kind| kind.count).collect(),
        fixed: Vec::new(),
        chosen: Vec::with_capacity(64),
        best: None,
        looks: 0,
        any,
    };
    let score = Score { stay: 0, changes: 0 };
    let Some(begin) = search.fix(At { slot: 0, occupied: 0, instances_left, slots_left, score }) else {
        return Outcome::Nothing;
    };
    search.go(begin, catalog.slots());
    match search.best {
        Some((_, found)) => Outcome::Best(found),
        None if search.looks >= MOST_LOOKS => Outcome::GivenUp,
        None => Outcome::Nothing,
    }
}

/// The plain profiles from the largest on: slots, then slices.
pub(super) fn plain_profiles(catalog: &MigCatalog) -> Vec<(usize, &GpuProfile)> {
    let mut list: Vec<(usize, &GpuProfile)> =
        catalog.profiles().iter().enumerate().filter(|(_, profile)| profile.is_plain()).collect();
    list.sort_by_key(|(_, profile)| Reverse((profile.slots(), profile.compute_slices)));
    list
}

fn plain(catalog: &MigCatalog, room: &Room) -> Vec<Plain> {
    plain_profiles(catalog).into_iter().map(|(number, profile)| Plain::of(number, profile, room)).collect()
}

/// How many more of each profile would fit.
pub(super) fn more_of_each(catalog: &MigCatalog, room: &Room, occupied: u64) -> Vec<u32> {
    let profiles = catalog.profiles().iter().enumerate();
    profiles.map(|(number, profile)| Plain::of(number, profile, room).room(occupied)).collect()
}

fn standing_from(catalog: &MigCatalog, standing: &[Standing<'_>]) -> Vec<u32> {
    let from = |slot: u32| standing.iter().filter(|instance| instance.is.instance.start >= slot).count();
    (0..=catalog.slots()).map(|slot| u32::try_from(from(slot)).unwrap_or(u32::MAX)).collect()
}

fn spot(catalog: &MigCatalog, kinds: &[Kind], standing: &[Standing<'_>], slot: u32) -> Spot {
    let here = standing.iter().find(|instance| instance.is.instance.start == slot);
    let in_use = standing.iter().filter(|instance| instance.is.in_use);
    let taken = in_use.filter(|instance| instance.is.instance.start != slot).fold(0, |all, one| all | one.mask);
    let kept_here = here.filter(|instance| instance.is.in_use);
    let named = kinds.iter().any(|kind| kind.start == Some(slot));
    let candidate = |(number, kind): (usize, &Kind)| {
        let placement = catalog.profile(kind.profile)?.placement(slot)?;
        let (mask, size) = (placement.mask(), placement.size);
        let wrong_place = kind.start.map_or(named, |start| start != slot);
        let in_the_way = kept_here.is_some_and(|instance| instance.profile != kind.profile);
        if wrong_place || in_the_way || mask & taken != 0 {
            return None;
        }
        let same = here.filter(|instance| instance.profile == kind.profile);
        let changes = same.map_or(Some(0), |instance| changes(&instance.is.compute, &kind.compute))?;
        Some(Candidate { kind: number, mask, size, stays: same.is_some(), changes })
    };
    let candidates = kinds.iter().enumerate().filter_map(candidate).collect();
    Spot { candidates, must: named || kept_here.is_some() }
}

/// How many compute instances have to go and come so that these slices are there; none where one in use would have to go.
pub(super) fn changes(present: &[PresentCompute], wanted: &[u32]) -> Option<u32> {
    let (go, come) = compute_steps(present, wanted)?;
    u32::try_from(go.len().saturating_add(come.len())).ok()
}

/// The compute instances that have to go and those that have to come; those in use are kept first.
pub(super) fn compute_steps(present: &[PresentCompute], wanted: &[u32]) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut come = wanted.to_vec();
    let mut go = Vec::new();
    let (used, idle): (Vec<PresentCompute>, Vec<PresentCompute>) = present.iter().partition(|compute| compute.in_use);
    for compute in used.into_iter().chain(idle) {
        match come.iter().position(|slices| *slices == compute.slices) {
            Some(at) => drop(come.remove(at)),
            None if compute.in_use => return None,
            None => go.push(compute.slices),
        }
    }
    Some((go, come))
}

impl Search {
    /// Places what must begin at a slot and can be of one kind only; none where that is impossible.
    fn fix(&mut self, mut at: At) -> Option<At> {
        let mut spots = std::mem::take(&mut self.spots);
        for (slot, spot) in spots.iter_mut().enumerate().filter(|(_, spot)| spot.must) {
            let [only] = spot.candidates.as_slice() else { continue };
            if only.mask & at.occupied != 0 || !self.take(only.kind) {
                return None;
            }
            self.fixed.push(Placed { kind: only.kind, start: u32::try_from(slot).ok()? });
            at = at.with(*only);
            *spot = Spot::default();
        }
        self.must_until = spots.iter().rposition(|spot| spot.must).map_or(0, |last| last + 1);
        self.spots = spots;
        Some(at)
    }

    fn go(&mut self, at: At, slots: u32) {
        self.looks += 1;
        if self.looks >= MOST_LOOKS || (self.any && self.best.is_some()) {
            return;
        }
        if at.instances_left == 0 {
            if at.slot >= self.must_until {
                self.judge(at);
            }
            return;
        }
        let free = u64::MAX.checked_shl(u32::try_from(at.slot).unwrap_or(u32::MAX)).unwrap_or(0)
            & !at.occupied
            & u64::MAX.checked_shr(64 - slots).unwrap_or(0);
        if free.count_ones() < at.slots_left || self.cannot_be_better(at) {
            return;
        }
        let next = At { slot: at.slot + 1, ..at };
        let mut candidate = 0;
        while let Some(one) = self.spots.get(at.slot).and_then(|spot| spot.candidates.get(candidate)).copied() {
            candidate += 1;
            if one.mask & at.occupied != 0 || !self.take(one.kind) {
                continue;
            }
            self.chosen.push(Placed { kind: one.kind, start: u32::try_from(at.slot).unwrap_or(u32::MAX) });
            self.go(next.with(one), slots);
            self.chosen.pop();
            self.give_back(one.kind);
        }
        if self.spots.get(at.slot).is_some_and(|spot| !spot.must) {
            self.go(next, slots);
        }
    }

    fn take(&mut self, kind: usize) -> bool {
        match self.left.get_mut(kind) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn give_back(&mut self, kind: usize) {
        if let Some(left) = self.left.get_mut(kind) {
            *left += 1;
        }
    }

    fn cannot_be_better(&self, at: At) -> bool {
        let Some((best, _)) = &self.best else { return false };
        let ahead = self.standing_from.get(at.slot).copied().unwrap_or(0).min(at.instances_left);
        let most = at.score.stay + ahead;
        most < best.stay || (most == best.stay && at.score.changes > best.changes)
    }

    /// Layouts come by lowest starts: a later one has to be better, not as good.
    fn judge(&mut self, at: At) {
        let rest = || self.plain.iter().map(|plain| plain.room(at.occupied));
        let rank = |score: &Score| (score.stay, Reverse(score.changes));
        let better = self.best.as_ref().is_none_or(|(score, found)| match rank(&at.score).cmp(&rank(score)) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => rest().gt(found.rest.iter().copied()),
        });
        if better {
            let mut placed: Vec<Placed> = self.fixed.iter().chain(&self.chosen).copied().collect();
            placed.sort_by_key(|placed| placed.start);
            self.best = Some((at.score, Found { placed, rest: rest().collect() }));
        }
    }
}

impl Plain {
    fn of(number: usize, profile: &GpuProfile, room: &Room) -> Self {
        let mut placements = profile.placements.clone();
        placements.sort_by_key(|placement| placement.start + placement.size);
        let masks = placements.iter().map(|placement| placement.mask()).collect();
        Self { masks, by_sums: u32::try_from(room.times(number, profile)).unwrap_or(u32::MAX) }
    }

    /// How many more would fit: of intervals by their ends, each that fits is taken.
    fn room(&self, mut occupied: u64) -> u32 {
        let mut count = 0;
        for mask in &self.masks {
            if count == self.by_sums {
                break;
            }
            if mask & occupied == 0 {
                occupied |= mask;
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compute_instances_in_use_are_kept_first_and_never_go() {
        let compute = |slices, in_use| PresentCompute { slices, in_use };
        let three = [compute(1, false), compute(1, true), compute(2, false)];
        assert_eq!(compute_steps(&three, &[1, 1]), Some((vec![2], vec![])));
        assert_eq!(compute_steps(&three, &[1]), Some((vec![1, 2], vec![])));
        assert_eq!(compute_steps(&three, &[3]), None);
        assert_eq!(changes(&[], &[3]), Some(1), "a GPU instance that nobody gave a compute instance gets one");
    }

    #[test]
    fn room_is_counted_by_ends() {
        let plain = Plain { masks: vec![0b0000_1111, 0b1111_0000], by_sums: 7 };
        assert_eq!([plain.room(0), plain.room(1), plain.room(0b1000_1000)], [2, 1, 0]);
        assert_eq!(Plain { by_sums: 1, ..plain }.room(0), 1);
    }
}
