//! How a part of a GPU's MIG layout must be, held against a fresh look, and the steps from what is seen to it.

use super::layout::Instance;
use super::mig_state::{MigComputeInstance, MigGpuInstance, MigOnGpu};
use super::mig_step::MigStep;
use super::plan::LaidOut;
use crate::absence::Reading;
use crate::driver::MigMode;
use crate::plan::Unmet;
use serde::{Deserialize, Serialize};

/// How the named places of a GPU's layout must be. What is not named is somebody else's, and is neither judged nor touched.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigWanted {
    /// The places that are judged and may be touched.
    pub touched: Vec<Instance>,
    /// Those of them that must exist, with the compute instances in them. Every other one must not exist.
    pub instances: Vec<LaidOut>,
    /// Compute instances at these places that were there before and stay, by their ids: of two that are alike, neither the change
    /// nor undoing it destroys the wrong one.
    #[serde(default)]
    pub stays: Vec<StayingCompute>,
    /// The mode that must be on, now and after the next reset; `None` = whatever it is.
    pub mode: Option<MigMode>,
}

/// A compute instance that is never destroyed.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StayingCompute {
    /// The GPU instance that it is in.
    pub within: Instance,
    /// Its id inside it.
    pub id: u32,
}

impl MigWanted {
    /// The same places as they are in a look, to return to.
    #[must_use]
    pub fn as_seen(&self, seen: &MigOnGpu) -> Option<Self> {
        let mode = match self.mode {
            Some(_) => Some(seen.current.get()?),
            None => None,
        };
        let found = self.touched.iter().filter_map(|place| seen.find(place));
        let instances = found.map(|one| LaidOut { instance: one.instance(), compute: one.slices() }).collect();
        Some(Self { touched: self.touched.clone(), instances, stays: self.stays.clone(), mode })
    }

    /// What of it does not hold; empty = it holds.
    #[must_use]
    pub fn unmet(&self, seen: &MigOnGpu) -> Vec<Unmet> {
        let mut unmet: Vec<Unmet> = self.touched.iter().filter_map(|place| self.unmet_at(place, seen)).collect();
        let differs = |what: &str, wanted: MigMode, found: &Reading<MigMode>| {
            let (what, found) = (what.to_owned(), found.get().map_or("unknown", MigMode::code).to_owned());
            Unmet::Mig { what, wanted: wanted.code().to_owned(), found }
        };
        let now = self.mode.filter(|wanted| seen.current.get() != Some(*wanted));
        unmet.extend(now.map(|wanted| differs("MIG mode", wanted, &seen.current)));
        let later = self.mode.filter(|wanted| seen.pending.get().is_some_and(|pending| pending != *wanted));
        unmet.extend(later.map(|wanted| differs("MIG mode after the next reset", wanted, &seen.pending)));
        unmet
    }

    fn unmet_at(&self, place: &Instance, seen: &MigOnGpu) -> Option<Unmet> {
        let (wanted, found) =
            (self.wanted(place).map(in_words), seen.find(place).map(MigGpuInstance::slices).map(in_words));
        let nothing = || "absent".to_owned();
        let differs = wanted != found;
        differs.then(|| Unmet::Mig {
            what: format!("GPU instance {place}"),
            wanted: wanted.unwrap_or_else(nothing),
            found: found.unwrap_or_else(nothing),
        })
    }

    fn wanted(&self, place: &Instance) -> Option<Vec<u32>> {
        self.instances.iter().find(|one| one.instance == *place).map(|one| sorted(&one.compute))
    }

    /// The steps from what is seen to it: what goes first, then what comes, each by place. Nothing that stays or that the driver names a
    /// process on goes: where that would have to, its GPU instance is left as it is, and what is wanted of it stays unmet.
    #[must_use]
    pub fn steps_from(&self, seen: &MigOnGpu) -> Vec<MigStep> {
        let mut places = self.touched.clone();
        places.sort_by_key(|place| place.start);
        let goes = places.iter().flat_map(|place| self.destroyed_at(place, seen));
        let comes = places.iter().flat_map(|place| self.created_at(place, seen));
        match self.mode_to_set(seen) {
            // Switched off, no instance can be left; switched on, none can exist before.
            Some(MigMode::Disabled) if self.may_switch_off(seen) => {
                goes.chain([MigStep::SetMode { to: MigMode::Disabled }]).collect()
            }
            Some(MigMode::Disabled) => goes.collect(),
            Some(MigMode::Enabled) => {
                std::iter::once(MigStep::SetMode { to: MigMode::Enabled }).chain(goes).chain(comes).collect()
            }
            None => goes.chain(comes).collect(),
        }
    }

    /// A mode that is only to come after the next reset has to be taken back as well.
    fn mode_to_set(&self, seen: &MigOnGpu) -> Option<MigMode> {
        let differs = |mode: &Reading<MigMode>, wanted| mode.get().is_some_and(|mode| mode != wanted);
        self.mode.filter(|wanted| differs(&seen.current, *wanted) || differs(&seen.pending, *wanted))
    }

    /// Every instance that it would take with it is among the touched ones, and nobody uses it.
    fn may_switch_off(&self, seen: &MigOnGpu) -> bool {
        let is_idle = |one: &MigGpuInstance| one.compute.iter().all(|compute| compute.processes.is_empty());
        seen.instances.iter().all(|one| self.touched.contains(&one.instance()) && is_idle(one))
    }

    fn destroyed_at(&self, place: &Instance, seen: &MigOnGpu) -> Vec<MigStep> {
        let Some(found) = seen.find(place) else { return Vec::new() };
        let wanted = self.wanted(place);
        let mut stay = wanted.clone().unwrap_or_default();
        let mut steps = Vec::new();
        let (fixed, free): (Vec<_>, Vec<_>) = found.compute.iter().partition(|one| self.may_not_go(place, one));
        for compute in fixed {
            match stay.iter().position(|slices| *slices == compute.slices) {
                Some(at) => drop(stay.swap_remove(at)),
                None => return Vec::new(),
            }
        }
        for compute in free {
            match stay.iter().position(|slices| *slices == compute.slices) {
                Some(at) => drop(stay.swap_remove(at)),
                None => steps.push(MigStep::DestroyCompute {
                    within: place.clone(),
                    id: compute.id,
                    slices: compute.slices,
                }),
            }
        }
        if wanted.is_none() {
            steps.push(MigStep::DestroyGpu { instance: place.clone() });
        }
        steps
    }

    fn may_not_go(&self, place: &Instance, compute: &MigComputeInstance) -> bool {
        let stays = |one: &StayingCompute| one.id == compute.id && one.within == *place;
        !compute.processes.is_empty() || self.stays.iter().any(stays)
    }

    fn created_at(&self, place: &Instance, seen: &MigOnGpu) -> Vec<MigStep> {
        let Some(mut missing) = self.wanted(place) else { return Vec::new() };
        let found = seen.find(place);
        for compute in found.iter().flat_map(|found| &found.compute) {
            if let Some(at) = missing.iter().position(|slices| *slices == compute.slices) {
                missing.remove(at);
            }
        }
        let gpu = found.is_none().then(|| MigStep::CreateGpu { instance: place.clone() });
        let compute = missing.into_iter().map(|slices| MigStep::CreateCompute { within: place.clone(), slices });
        gpu.into_iter().chain(compute).collect()
    }
}

impl MigStep {
    /// It takes something away.
    #[must_use]
    pub const fn destroys(&self) -> bool {
        match self {
            Self::DestroyCompute { .. } | Self::DestroyGpu { .. } => true,
            Self::CreateGpu { .. } | Self::CreateCompute { .. } | Self::SetMode { .. } => false,
        }
    }

    /// The place that it is about; `None` for a step that is about the whole GPU.
    #[must_use]
    pub const fn place(&self) -> Option<&Instance> {
        match self {
            Self::DestroyCompute { within, .. } | Self::CreateCompute { within, .. } => Some(within),
            Self::DestroyGpu { instance } | Self::CreateGpu { instance } => Some(instance),
            Self::SetMode { .. } => None,
        }
    }
}

fn sorted(slices: &[u32]) -> Vec<u32> {
    let mut slices = slices.to_vec();
    slices.sort_unstable_by(|one, other| other.cmp(one));
    slices
}

fn in_words(compute: Vec<u32>) -> String {
    if compute.is_empty() {
        return "there without compute instances".to_owned();
    }
    let each: Vec<String> = compute.iter().map(|slices| format!("{slices}c")).collect();
    format!("there with {}", each.join(", "))
}
