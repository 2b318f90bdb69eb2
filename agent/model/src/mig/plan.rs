//! The planner: from the instances that are there to those that are wanted, with the least harm, or why not.

use super::catalog::MigCatalog;
use super::fit::largest;
use super::layout::{Instance, Present, PresentCompute, Wish};
use super::layout_refusal::{MigRefusal, MigRefused};
use super::layout_request::{Kind, Room, Standing, Wanted, standing};
use super::search::{Found, MOST_LOOKS, Outcome, best, compute_steps, more_of_each, plain_profiles, possible};
use serde::{Deserialize, Serialize};

/// A GPU instance that stays, and what changes inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptInstance {
    /// What and where.
    #[serde(flatten)]
    pub instance: Instance,
    /// Somebody uses it.
    pub in_use: bool,
    /// Slices of the compute instances in it that are destroyed; none of them is in use.
    pub destroy_compute: Vec<u32>,
    /// Slices of the compute instances in it that are made.
    pub create_compute: Vec<u32>,
}

/// A GPU instance with what is in it.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaidOut {
    /// What and where.
    #[serde(flatten)]
    pub instance: Instance,
    /// Slices of the compute instances in it, largest first.
    pub compute: Vec<u32>,
}

/// What is to be done to a GPU's layout. Destroyed first, then created; nothing of it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigPlan {
    /// Instances that stay, by start.
    pub keep: Vec<KeptInstance>,
    /// Instances that are destroyed, by start.
    pub destroy: Vec<Instance>,
    /// Instances that are made, by start.
    pub create: Vec<LaidOut>,
    /// How many more of each plain profile will fit, from the largest profile on.
    pub rest: Vec<(String, u32)>,
}

impl MigPlan {
    /// True where the GPU is as wanted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let same = |kept: &KeptInstance| kept.destroy_compute.is_empty() && kept.create_compute.is_empty();
        self.destroy.is_empty() && self.create.is_empty() && self.keep.iter().all(same)
    }
}

/// Plans the way from the instances that are there to the wanted ones.
///
/// In this order: nothing in use is touched; as many instances as can stay do, at whatever start; the fewest compute instances
/// change in those that stay; the most room is left; lowest starts.
///
/// # Errors
/// It is impossible on this GPU, or beside what is in use; with the largest part of the wishes that fits.
pub fn plan(catalog: &MigCatalog, present: &[Present], wishes: &[Wish]) -> Result<MigPlan, MigRefused> {
    let there = match standing(catalog, present) {
        Ok(there) => there,
        Err(why) => return Err(MigRefused { why, in_use: in_use(present), largest: Vec::new() }),
    };
    let room = Room::of(catalog, &there);
    let wanted = Wanted::resolve(catalog, wishes, &room);
    let why = match wanted.refusal {
        Some(why) => why,
        None => match search(catalog, &wanted.kinds, &there, &room) {
            Ok(found) => return Ok(plan_of(catalog, &wanted.kinds, &there, &found)),
            Err(why) => why,
        },
    };
    Err(MigRefused { why, in_use: in_use(present), largest: largest(catalog, &wanted.kinds, &there, &room) })
}

/// Whether these instances can stand together on such a GPU. For what a person reports is there: of what a driver shows, the driver
/// knows better.
///
/// # Errors
/// Why they cannot.
pub fn check(catalog: &MigCatalog, present: &[Present]) -> Result<(), MigRefusal> {
    standing(catalog, present)?;
    let wish = |one: &Present| {
        let profile = catalog.profile(catalog.find(&one.instance.profile)?)?;
        let start = Some(one.instance.start);
        let part = |compute: &PresentCompute| Wish { profile: profile.compute_name(compute.slices), start, count: 1 };
        Some(one.compute.iter().map(part).collect::<Vec<_>>())
    };
    let wishes: Vec<Wish> = present.iter().filter_map(wish).flatten().collect();
    plan(catalog, &[], &wishes).map(drop).map_err(|refused| refused.why)
}

/// How many more instances of each profile would fit beside what is there, by the names of the profiles.
///
/// # Errors
/// What is there is none of this GPU.
pub fn free(catalog: &MigCatalog, present: &[Present]) -> Result<Vec<(String, u32)>, MigRefusal> {
    let there = standing(catalog, present)?;
    let mut room = Room::of(catalog, &there);
    let mut occupied = 0;
    for instance in &there {
        occupied |= instance.mask;
        if let Some(profile) = catalog.profile(instance.profile) {
            room.take(instance.profile, profile);
        }
    }
    let fits = more_of_each(catalog, &room, occupied);
    Ok(catalog.names().into_iter().zip(fits).collect())
}

fn search(catalog: &MigCatalog, kinds: &[Kind], there: &[Standing<'_>], room: &Room) -> Result<Found, MigRefusal> {
    let unwanted = not_wanted(kinds, there);
    if unwanted.is_empty() {
        match best(catalog, kinds, there, room) {
            Outcome::Best(found) => return Ok(found),
            Outcome::GivenUp => return Err(MigRefusal::TooManyLayouts { looked_at: MOST_LOOKS }),
            Outcome::Nothing => {}
        }
    }
    let instances: Vec<Instance> = used(there).map(|instance| instance.is.instance.clone()).collect();
    match () {
        () if !possible(catalog, kinds, room) => Err(MigRefusal::Placement),
        () if !unwanted.is_empty() => Err(MigRefusal::InUseNotWanted { instances: unwanted }),
        () => Err(MigRefusal::InUseBlocks { instances }),
    }
}

fn used<'a, 'b>(there: &'b [Standing<'a>]) -> impl Iterator<Item = &'b Standing<'a>> {
    there.iter().filter(|instance| instance.is.in_use)
}

fn in_use(present: &[Present]) -> Vec<Instance> {
    let mut list: Vec<Instance> = present.iter().filter(|one| one.in_use).map(|one| one.instance.clone()).collect();
    list.sort_by_key(|instance| instance.start);
    list
}

/// Instances in use for which no wish is left, after those that a wish names by their place.
fn not_wanted(kinds: &[Kind], there: &[Standing<'_>]) -> Vec<Instance> {
    let mut anywhere: Vec<(usize, u32)> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.start.is_none()) {
        match anywhere.iter_mut().find(|(profile, _)| *profile == kind.profile) {
            Some((_, count)) => *count = count.saturating_add(kind.count),
            None => anywhere.push((kind.profile, kind.count)),
        }
    }
    let mut unwanted = Vec::new();
    for instance in used(there) {
        let start = Some(instance.is.instance.start);
        if kinds.iter().any(|kind| kind.profile == instance.profile && kind.start == start) {
            continue;
        }
        match anywhere.iter_mut().find(|(profile, count)| *profile == instance.profile && *count > 0) {
            Some((_, count)) => *count -= 1,
            None => unwanted.push(instance.is.instance.clone()),
        }
    }
    unwanted.sort_by_key(|instance| instance.start);
    unwanted
}

fn plan_of(catalog: &MigCatalog, kinds: &[Kind], there: &[Standing<'_>], found: &Found) -> MigPlan {
    let mut plan = MigPlan { keep: Vec::new(), destroy: Vec::new(), create: Vec::new(), rest: Vec::new() };
    for placed in &found.placed {
        let Some(kind) = kinds.get(placed.kind) else { continue };
        let Some(profile) = catalog.profile(kind.profile) else { continue };
        let instance = Instance { profile: profile.profile.clone(), start: placed.start };
        let same = |other: &&Standing<'_>| other.profile == kind.profile && other.is.instance.start == placed.start;
        match there.iter().find(same) {
            Some(stays) => {
                let steps = compute_steps(&stays.is.compute, &kind.compute);
                let (destroy_compute, create_compute) = steps.unwrap_or_default();
                plan.keep.push(KeptInstance { instance, in_use: stays.is.in_use, destroy_compute, create_compute });
            }
            None => plan.create.push(LaidOut { instance, compute: kind.compute.clone() }),
        }
    }
    for instance in there {
        let place = (instance.profile, instance.is.instance.start);
        let kept = found
            .placed
            .iter()
            .any(|placed| kinds.get(placed.kind).is_some_and(|kind| (kind.profile, placed.start) == place));
        if !kept {
            plan.destroy.push(instance.is.instance.clone());
        }
    }
    plan.destroy.sort_by_key(|instance| instance.start);
    let rest = plain_profiles(catalog).into_iter().zip(&found.rest);
    plan.rest = rest.map(|((_, profile), count)| (profile.profile.clone(), *count)).collect();
    plan
}
