//! A second, plain reading of what is a layout and which is best: every layout of a product is made, and all are compared.

use model::mig::catalog::MigEngine;
use model::mig::{GpuProfile, Instance, MigCatalog, MigPlan, Present, PresentCompute, Wish};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// One layout: instances by start, as (start, number of the profile).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Laid {
    pub(crate) instances: Vec<(u32, usize)>,
    pub(crate) counts: Vec<u64>,
    /// How many more of each plain profile would fit, from the largest on.
    pub(crate) rest: Vec<u32>,
}

/// All layouts of a product.
pub(crate) struct World {
    pub(crate) catalog: MigCatalog,
    pub(crate) layouts: Vec<Laid>,
    by_counts: BTreeMap<Vec<u64>, Vec<usize>>,
}

/// A wish by number: profile, start, count.
pub(crate) type Want = (usize, Option<u32>, u64);

/// What the oracle says of the best arrangement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Best {
    pub(crate) kept: usize,
    pub(crate) rest: Vec<u32>,
    pub(crate) instances: Vec<(u32, usize)>,
}

fn slots_of(profile: &GpuProfile, start: u32) -> Option<std::ops::Range<u32>> {
    profile.placements.iter().find(|p| p.start == start).map(|p| p.start..p.start + p.size)
}

/// Valid by the numbers of the catalog, told anew: no overlap, slices, instances of each profile, engines.
fn is_valid(catalog: &MigCatalog, instances: &[(u32, usize)]) -> bool {
    let profiles = catalog.profiles();
    let mut taken = BTreeSet::new();
    for (start, number) in instances {
        let Some(slots) = slots_of(&profiles[*number], *start) else { return false };
        if !slots.into_iter().all(|slot| taken.insert(slot)) {
            return false;
        }
    }
    let of = |number: usize| instances.iter().filter(|(_, own)| *own == number).count() as u64;
    let slices: u32 = instances.iter().map(|(_, number)| profiles[*number].compute_slices).sum();
    let largest = profiles.iter().max_by_key(|p| (p.slots(), p.compute_slices)).unwrap();
    let engines_fit = MigEngine::ALL.iter().all(|engine| {
        let have = |profile: &GpuProfile| u64::from(profile.engines.of(*engine).unwrap());
        let total = have(largest);
        let consistent = profiles.iter().all(|profile| have(profile) * u64::from(profile.instances) <= total);
        !consistent || instances.iter().map(|(_, number)| have(&profiles[*number])).sum::<u64>() <= total
    });
    slices <= largest.compute_slices
        && (0..profiles.len()).all(|n| of(n) <= profiles[n].instances.into())
        && engines_fit
}

/// The most instances of one profile that can be added.
fn more_of(catalog: &MigCatalog, instances: &[(u32, usize)], number: usize, from: usize) -> u32 {
    let mut most = 0;
    for (at, placement) in catalog.profiles()[number].placements.iter().enumerate().skip(from) {
        let with: Vec<_> = instances.iter().copied().chain([(placement.start, number)]).collect();
        if is_valid(catalog, &with) {
            most = most.max(1 + more_of(catalog, &with, number, at + 1));
        }
    }
    most
}

impl World {
    pub(crate) fn of(catalog: MigCatalog) -> Self {
        let places: Vec<(u32, usize)> = catalog
            .profiles()
            .iter()
            .enumerate()
            .flat_map(|(number, profile)| profile.placements.iter().map(move |p| (p.start, number)))
            .collect();
        let mut found = Vec::new();
        add(&catalog, &places, 0, &mut Vec::new(), &mut found);
        let mut plain: Vec<usize> = (0..catalog.profiles().len()).collect();
        plain.retain(|n| !catalog.profiles()[*n].profile.contains(['+', '-']));
        plain.sort_by_key(|n| Reverse((catalog.profiles()[*n].slots(), catalog.profiles()[*n].compute_slices)));
        let laid = |mut instances: Vec<(u32, usize)>| {
            instances.sort_unstable();
            let count = |n| instances.iter().filter(|(_, own)| *own == n).count() as u64;
            let rest = plain.iter().map(|n| more_of(&catalog, &instances, *n, 0)).collect();
            Laid { counts: (0..catalog.profiles().len()).map(count).collect(), rest, instances }
        };
        let layouts: Vec<Laid> = found.into_iter().map(laid).collect();
        let mut by_counts: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
        for (at, laid) in layouts.iter().enumerate() {
            by_counts.entry(laid.counts.clone()).or_default().push(at);
        }
        Self { catalog, layouts, by_counts }
    }

    /// How many different multisets of instances there are, the empty one among them.
    pub(crate) fn multisets(&self) -> usize {
        self.by_counts.len()
    }

    /// Every multiset of wishes up to the instance count of each profile.
    pub(crate) fn universe(&self) -> Vec<Vec<u64>> {
        let mut all = vec![Vec::new()];
        for profile in self.catalog.profiles() {
            all = all
                .into_iter()
                .flat_map(|sofar: Vec<u64>| {
                    (0..=u64::from(profile.instances)).map(move |count| [sofar.clone(), vec![count]].concat())
                })
                .collect();
        }
        all
    }

    fn name(&self, number: usize) -> &str {
        &self.catalog.profiles()[number].profile
    }

    /// The best layout that has exactly what is wanted and every instance in use; none where there is none.
    pub(crate) fn best(&self, present: &[(u32, usize, bool)], wants: &[Want]) -> Option<Best> {
        let count = |n| wants.iter().filter(|(own, _, _)| *own == n).map(|(_, _, count)| count).sum();
        let counts: Vec<u64> = (0..self.catalog.profiles().len()).map(count).collect();
        let fits = |laid: &&Laid| {
            let has = |start: u32, number: usize| laid.instances.contains(&(start, number));
            present.iter().all(|(start, number, in_use)| !in_use || has(*start, *number))
                && wants
                    .iter()
                    .all(|(number, start, count)| start.is_none_or(|start| *count == 1 && has(start, *number)))
        };
        let kept = |laid: &Laid| present.iter().filter(|(s, n, _)| laid.instances.contains(&(*s, *n))).count();
        let order = |laid: &Laid| -> Vec<(u32, String)> {
            laid.instances.iter().map(|(start, number)| (*start, self.name(*number).to_owned())).collect()
        };
        let candidates = self.by_counts.get(&counts)?.iter().map(|at| &self.layouts[*at]).filter(fits);
        let best = candidates.max_by_key(|laid| (kept(laid), laid.rest.clone(), Reverse(order(laid))))?;
        Some(Best { kept: kept(best), rest: best.rest.clone(), instances: best.instances.clone() })
    }

    /// How large the largest part of the wishes is that fits beside what is in use: instances, slices, slots.
    pub(crate) fn largest(&self, present: &[(u32, usize, bool)], wants: &[Want]) -> (u64, u64, u64) {
        let beside = self.layouts.iter().filter(|laid| {
            present.iter().all(|(start, number, in_use)| !in_use || laid.instances.contains(&(*start, *number)))
        });
        let pinned = wants.iter().any(|(_, start, _)| start.is_some());
        // Where no wish names a place only the counts matter.
        let mut seen = BTreeSet::new();
        beside
            .filter(|laid| pinned || seen.insert(&laid.counts))
            .map(|laid| self.served(laid, wants))
            .max()
            .unwrap_or_default()
    }

    /// How many of the wishes a layout serves, with their slices and slots.
    fn served(&self, laid: &Laid, wants: &[Want]) -> (u64, u64, u64) {
        let mut sum = (0, 0, 0);
        for (number, profile) in self.catalog.profiles().iter().enumerate() {
            let there = laid.counts[number];
            let own = || wants.iter().filter(|(n, _, count)| *n == number && *count > 0);
            let named = own().filter_map(|(_, start, _)| *start).collect::<BTreeSet<_>>();
            let at_place = named.iter().filter(|start| laid.instances.contains(&(**start, number))).count() as u64;
            let anywhere: u64 = own().filter(|(_, start, _)| start.is_none()).map(|(_, _, count)| count).sum();
            let count = at_place + anywhere.min(there - at_place);
            sum.0 += count;
            sum.1 += count * u64::from(profile.compute_slices);
            sum.2 += count * u64::from(profile.slots());
        }
        sum
    }

    /// The instances as the planner takes them.
    pub(crate) fn present(&self, present: &[(u32, usize, bool)]) -> Vec<Present> {
        let one = |(start, number, in_use): &(u32, usize, bool)| Present {
            instance: Instance { profile: self.name(*number).to_owned(), start: *start },
            in_use: *in_use,
            compute: vec![PresentCompute { slices: self.catalog.profiles()[*number].compute_slices, in_use: *in_use }],
        };
        present.iter().map(one).collect()
    }

    /// The wishes as the planner takes them.
    pub(crate) fn wishes(&self, wants: &[Want]) -> Vec<Wish> {
        let one = |(number, start, count): &Want| Wish {
            profile: self.name(*number).to_owned(),
            start: *start,
            count: *count,
        };
        wants.iter().map(one).collect()
    }

    /// The layout after a plan.
    pub(crate) fn after(&self, plan: &MigPlan) -> Vec<(u32, usize)> {
        let kept = plan.keep.iter().map(|kept| &kept.instance);
        let all = kept.chain(plan.create.iter().map(|created| &created.instance));
        let mut all: Vec<(u32, usize)> = all.map(|i| (i.start, self.catalog.find(&i.profile).unwrap())).collect();
        all.sort_unstable();
        all
    }
}

fn add(
    catalog: &MigCatalog,
    places: &[(u32, usize)],
    from: usize,
    sofar: &mut Vec<(u32, usize)>,
    found: &mut Vec<Vec<(u32, usize)>>,
) {
    found.push(sofar.clone());
    for at in from..places.len() {
        sofar.push(places[at]);
        if is_valid(catalog, sofar) {
            add(catalog, places, at + 1, sofar, found);
        }
        sofar.pop();
    }
}
