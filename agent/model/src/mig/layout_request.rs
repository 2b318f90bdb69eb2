//! A request against a catalog: wishes and instances by number, compute instances shared out, and what the sums alone refuse.

use super::catalog::{ComputeProfile, GpuProfile, MigCatalog, MigEngine};
use super::layout::{Instance, Present, Wish};
use super::layout_refusal::MigRefusal;
use super::profile::ProfileName;
use super::share::{Part, share_out};
use std::collections::{BTreeMap, BTreeSet};

/// Wishes for GPU instances that are alike: one profile, one place (or any), the same compute instances in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// Number of the profile in the catalog.
    pub(super) profile: usize,
    /// Where; anywhere where it does not say.
    pub(super) start: Option<u32>,
    /// Slices of the compute instances in each, largest first.
    pub(super) compute: Vec<u32>,
    /// How many.
    pub(super) count: u32,
}

/// A GPU instance that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// Number of its profile.
    pub(super) profile: usize,
    /// Its slots.
    pub(super) mask: u64,
    /// What is there.
    pub(super) is: &'a Present,
}

/// What may be spent: slices, instances of each profile, engines of each kind.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Compute slices.
    pub(super) slices: u64,
    /// Instances, by profile.
    pub(super) instances: Vec<u64>,
    /// Engines in the order of [`MigEngine::ALL`]; `None` where they are not shared out.
    pub(super) engines: [Option<u64>; 5],
}

impl Room {
    /// What the GPU has. What is there proves that there is at least as much: the driver made it, whatever the numbers say.
    pub(super) fn of(catalog: &MigCatalog, standing: &[Standing<'_>]) -> Self {
        let mut room = Self {
            slices: catalog.compute_slices().into(),
            instances: catalog.profiles().iter().map(|profile| profile.instances.into()).collect(),
            engines: MigEngine::ALL.map(|engine| catalog.capacity(engine).map(u64::from)),
        };
        let mut spent = Spent::none(catalog);
        for instance in standing {
            spent.add(catalog, instance.profile, 1);
        }
        room.slices = room.slices.max(spent.slices);
        for (room, spent) in room.instances.iter_mut().zip(&spent.instances) {
            *room = (*room).max(*spent);
        }
        for (room, spent) in room.engines.iter_mut().zip(spent.engines) {
            *room = room.map(|room| room.max(spent));
        }
        room
    }

    /// Takes one instance of a profile out; false, and nothing is taken, where there is no room for it.
    pub(super) fn take(&mut self, number: usize, profile: &GpuProfile) -> bool {
        let slices = self.slices.checked_sub(profile.compute_slices.into());
        let left = self.instances.get(number).and_then(|left| left.checked_sub(1));
        let engines = engines_less(self.engines, profile);
        let (Some(slices), Some(left), Some(engines)) = (slices, left, engines) else { return false };
        self.slices = slices;
        self.engines = engines;
        if let Some(instances) = self.instances.get_mut(number) {
            *instances = left;
        }
        true
    }

    /// Gives back what [`Room::take`] took.
    pub(super) fn give_back(&mut self, number: usize, profile: &GpuProfile) {
        self.slices += u64::from(profile.compute_slices);
        if let Some(instances) = self.instances.get_mut(number) {
            *instances += 1;
        }
        for (engine, left) in MigEngine::ALL.iter().zip(&mut self.engines) {
            *left = left.map(|left| left + u64::from(profile.engines.of(*engine).unwrap_or(0)));
        }
    }

    /// How many instances of a profile there is room for, by the sums alone.
    pub(super) fn times(&self, number: usize, profile: &GpuProfile) -> u64 {
        let by_slices = self.slices.checked_div(profile.compute_slices.into()).unwrap_or(0);
        let by_count = self.instances.get(number).copied().unwrap_or(0);
        let each = MigEngine::ALL.iter().zip(self.engines);
        let by_engines = each.filter_map(|(engine, left)| left?.checked_div(profile.engines.of(*engine)?.into())).min();
        by_slices.min(by_count).min(by_engines.unwrap_or(u64::MAX))
    }
}

fn engines_less(mut engines: [Option<u64>; 5], profile: &GpuProfile) -> Option<[Option<u64>; 5]> {
    for (engine, left) in MigEngine::ALL.iter().zip(&mut engines) {
        if let Some(room) = *left {
            *left = Some(room.checked_sub(profile.engines.of(*engine).unwrap_or(0).into())?);
        }
    }
    Some(engines)
}

/// What instances take together. Counts come from outside and may be huge: it never overflows.
#[derive(Debug)]
struct Spent {
    slices: u64,
    slots: u64,
    instances: Vec<u64>,
    engines: [u64; 5],
}

impl Spent {
    fn none(catalog: &MigCatalog) -> Self {
        Self { slices: 0, slots: 0, instances: vec![0; catalog.profiles().len()], engines: [0; 5] }
    }

    fn add(&mut self, catalog: &MigCatalog, number: usize, count: u64) {
        let (Some(profile), Some(instances)) = (catalog.profile(number), self.instances.get_mut(number)) else {
            return;
        };
        let more = |sum: &mut u64, each: u32| *sum = sum.saturating_add(count.saturating_mul(each.into()));
        more(instances, 1);
        more(&mut self.slices, profile.compute_slices);
        more(&mut self.slots, profile.slots());
        for (engine, sum) in MigEngine::ALL.iter().zip(&mut self.engines) {
            more(sum, profile.engines.of(*engine).unwrap_or(0));
        }
    }
}

/// The wishes by number, sorted by the profile's name and then the place, and what the sums refuse of them.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// What can be looked for.
    pub(super) kinds: Vec<Kind>,
    /// The first thing that cannot be, in the order in which they are reported.
    pub(super) refusal: Option<MigRefusal>,
}

impl Wanted {
    /// Resolves the wishes. What is refused is left out of `kinds`, so that the largest part of the rest can be found.
    pub(super) fn resolve(catalog: &MigCatalog, wishes: &[Wish], room: &Room) -> Self {
        let mut wanted = Self::default();
        let mut unknown: Vec<String> = Vec::new();
        let mut parts: BTreeMap<(usize, Option<u32>), Vec<Part>> = BTreeMap::new();
        let mut misplaced = None;
        for wish in wishes.iter().filter(|wish| wish.count > 0) {
            let Some((number, slices)) = resolve_one(catalog, &wish.profile) else {
                unknown.push(wish.profile.clone());
                continue;
            };
            match (catalog.profile(number), wish.start) {
                (Some(profile), Some(start)) if profile.placement(start).is_none() => {
                    let starts = profile.placements.iter().map(|placement| placement.start).collect();
                    let profile = profile.profile.clone();
                    misplaced.get_or_insert(MigRefusal::PlacementUnknown { profile, start, starts });
                }
                _ => parts.entry((number, wish.start)).or_default().push(Part { slices, count: wish.count }),
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let has: BTreeSet<String> = unknown.iter().flat_map(|name| those_that_it_has(catalog, name)).collect();
            let mut has: Vec<String> = has.into_iter().collect();
            has.sort_by_key(|name| catalog.find(name));
            wanted.refusal = Some(MigRefusal::UnknownProfile { profiles: unknown, has });
        }
        wanted.refusal = wanted.refusal.or(misplaced);
        wanted.add_kinds(catalog, &parts, room);
        let name = |kind: &Kind| catalog.profile(kind.profile).map(|profile| profile.profile.as_str());
        wanted.kinds.sort_by(|one, other| {
            let by_name = name(one).cmp(&name(other)).then_with(|| one.start.cmp(&other.start));
            by_name.then_with(|| other.compute.cmp(&one.compute))
        });
        wanted
    }

    /// Shares the compute instances out, counts, and refuses what the sums refuse. No count is expanded before it is known to
    /// be one that the GPU could hold.
    fn add_kinds(&mut self, catalog: &MigCatalog, parts: &BTreeMap<(usize, Option<u32>), Vec<Part>>, room: &Room) {
        let mut spent = Spent::none(catalog);
        let mut overlap = None;
        for ((number, start), parts) in parts {
            let Some(profile) = catalog.profile(*number) else { continue };
            let most = room.instances.get(*number).copied().unwrap_or(0);
            let shared = share_out(profile, parts, most.saturating_add(1));
            spent.add(catalog, *number, shared.instances);
            if let Some(start) = start.filter(|_| shared.instances > 1) {
                let one = Instance { profile: profile.profile.clone(), start };
                overlap.get_or_insert(MigRefusal::PlacementOverlap { other: one.clone(), one });
            }
            for (compute, count) in shared.kinds {
                let count = u32::try_from(count.min(most)).unwrap_or(0);
                self.kinds.push(Kind { profile: *number, start: *start, compute, count });
            }
        }
        let refused = self.refusal.take().or(overlap);
        self.refusal = refused.or_else(|| by_the_sums(catalog, &spent, room));
    }
}

/// Number of the profile, and the slices of the compute instance; none where the catalog does not have it.
fn resolve_one(catalog: &MigCatalog, name: &str) -> Option<(usize, u32)> {
    let number = catalog.find(name)?;
    let profile = catalog.profile(number)?;
    if profile.profile == name {
        return Some((number, profile.compute_slices));
    }
    let parsed: ProfileName = name.parse().ok()?;
    if parsed.is_whole() {
        return Some((number, profile.compute_slices));
    }
    let known = profile.compute_profiles.known();
    let has = known.is_none_or(|list: &Vec<ComputeProfile>| list.iter().any(|own| own.slices == parsed.compute));
    has.then_some((number, parsed.compute))
}

/// What the GPU has in place of a name that it does not have: the compute instances of the GPU instance where that is known.
fn those_that_it_has(catalog: &MigCatalog, name: &str) -> Vec<String> {
    let split = name.parse::<ProfileName>().is_ok_and(|parsed| !parsed.is_whole());
    let profile = catalog.find(name).and_then(|number| catalog.profile(number)).filter(|_| split);
    let inside = profile.and_then(|profile| Some((profile, profile.compute_profiles.known()?)));
    match inside {
        Some((profile, list)) => list.iter().map(|compute| profile.compute_name(compute.slices)).collect(),
        None => catalog.names(),
    }
}

fn by_the_sums(catalog: &MigCatalog, spent: &Spent, room: &Room) -> Option<MigRefusal> {
    let counts = catalog.profiles().iter().zip(spent.instances.iter().zip(&room.instances));
    let maximum = counts.into_iter().find(|(_, (wanted, most))| wanted > most).map(|(profile, (wanted, most))| {
        MigRefusal::Maximum { profile: profile.profile.clone(), wanted: *wanted, maximum: *most }
    });
    let engine = |(engine, (wanted, total)): (&MigEngine, (u64, Option<u64>))| {
        let total = total.filter(|total| wanted > *total)?;
        Some((*engine, MigRefusal::Media { engine: *engine, wanted, total }))
    };
    let engines: Vec<(MigEngine, MigRefusal)> =
        MigEngine::ALL.iter().zip(spent.engines.into_iter().zip(room.engines)).filter_map(engine).collect();
    let (copy, media): (Vec<_>, Vec<_>) = engines.into_iter().partition(|(engine, _)| *engine == MigEngine::Copy);
    let first = |list: Vec<(MigEngine, MigRefusal)>| list.into_iter().next().map(|(_, refusal)| refusal);
    let slots = u64::from(catalog.slots());
    let memory = (spent.slots > slots).then_some(MigRefusal::Memory { wanted: spent.slots, total: slots });
    let too_many = spent.slices > room.slices;
    let slices = too_many.then_some(MigRefusal::Slices { wanted: spent.slices, total: room.slices });
    maximum.or_else(|| first(media)).or(memory).or(slices).or_else(|| first(copy))
}

/// The instances that are there by number.
///
/// # Errors
/// One has an unknown profile or place, or two need the same slots.
pub(super) fn standing<'a>(catalog: &MigCatalog, present: &'a [Present]) -> Result<Vec<Standing<'a>>, MigRefusal> {
    let mut standing: Vec<Standing<'a>> = Vec::with_capacity(present.len());
    for is in present {
        let Instance { profile: name, start } = &is.instance;
        let number = catalog.find(name);
        let Some((number, profile)) = number.and_then(|number| Some((number, catalog.profile(number)?))) else {
            return Err(MigRefusal::UnknownProfile { profiles: vec![name.clone()], has: catalog.names() });
        };
        let Some(placement) = profile.placement(*start) else {
            let starts = profile.placements.iter().map(|placement| placement.start).collect();
            return Err(MigRefusal::PlacementUnknown { profile: name.clone(), start: *start, starts });
        };
        let mask = placement.mask();
        if let Some(other) = standing.iter().find(|other| other.mask & mask != 0) {
            let (one, other) = (other.is.instance.clone(), is.instance.clone());
            return Err(MigRefusal::PlacementOverlap { one, other });
        }
        standing.push(Standing { profile: number, mask, is });
    }
    Ok(standing)
}
