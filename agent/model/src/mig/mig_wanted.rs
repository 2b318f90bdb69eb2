//! How a part of a GPU's MIG layout must be, held against a fresh look, and the steps from what is seen to it.

use super::layout::Instance;
use super::mig_state::{MigGpuInstance, MigOnGpu};
use super::mig_step::MigStep;
use super::plan::LaidOut;
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
    /// The mode that must be on; `None` = whatever it is.
    pub mode: Option<MigMode>,
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
        Some(Self { touched: self.touched.clone(), instances, mode })
    }

    /// What of it does not hold; empty = it holds.
    #[must_use]
    pub fn unmet(&self, seen: &MigOnGpu) -> Vec<Unmet> {
        let mut unmet: Vec<Unmet> = self.touched.iter().filter_map(|place| self.unmet_at(place, seen)).collect();
        let mode = self.mode.filter(|wanted| seen.current.get() != Some(*wanted));
        unmet.extend(mode.map(|wanted| {
            let found = seen.current.get().map_or("unknown", MigMode::code);
            Unmet::Mig { what: "MIG mode".to_owned(), wanted: wanted.code().to_owned(), found: found.to_owned() }
        }));
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

    /// The steps from what is seen to it: what goes first, then what comes, each by place.
    #[must_use]
    pub fn steps_from(&self, seen: &MigOnGpu) -> Vec<MigStep> {
        let mut places = self.touched.clone();
        places.sort_by_key(|place| place.start);
        let mode = self.mode.filter(|wanted| seen.current.get() != Some(*wanted)).map(|to| MigStep::SetMode { to });
        let goes = places.iter().flat_map(|place| self.destroyed_at(place, seen));
        let comes = places.iter().flat_map(|place| self.created_at(place, seen));
        match mode {
            // Switched off, no instance can be left; switched on, none can exist before.
            Some(MigStep::SetMode { to: MigMode::Disabled }) => goes.chain(mode).collect(),
            Some(_) | None => mode.into_iter().chain(goes).chain(comes).collect(),
        }
    }

    fn destroyed_at(&self, place: &Instance, seen: &MigOnGpu) -> Vec<MigStep> {
        let Some(found) = seen.find(place) else { return Vec::new() };
        let wanted = self.wanted(place);
        let mut stay = wanted.clone().unwrap_or_default();
        let mut steps = Vec::new();
        for compute in &found.compute {
            // What somebody uses is left for last: of equal ones another goes.
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
