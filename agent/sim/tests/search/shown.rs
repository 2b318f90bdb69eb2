//! What the simulated host itself shows of a target, and what others do to it in between: nothing here goes through what is tested.

use crate::worlds::{GPU, at};
use model::driver::MigMode;
use model::mig::{Instance, MigCatalog};
use model::plan::{FunctionSettings, Target};
use sim::mig::SimMig;
use sim::state::HostState;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

/// A target as the host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The functions of a group.
    Functions(Vec<FunctionSettings>),
    /// Mode and instances of a GPU, one line each: `3g.20gb@4 with 2, 1`.
    Mig(BTreeSet<String>),
}

impl Shown {
    /// The same of a host.
    pub(crate) fn on(&self, host: &HostState) -> Self {
        match self {
            Self::Functions(wanted) => Self::Functions(functions(host, wanted)),
            Self::Mig(_) => Self::Mig(mig(&host.mig[&at(GPU)])),
        }
    }

    /// The same, and what others have done besides.
    pub(crate) fn with(&self, others: &[Other]) -> Self {
        let Self::Mig(lines) = self else { return self.clone() };
        let mut lines = lines.clone();
        for other in others {
            match other {
                Other::Probes => {}
                Other::Creates(created) => drop(lines.insert(line_of(created))),
                Other::Destroys(destroyed) => lines.retain(|line| !line.starts_with(&format!("{destroyed} "))),
            }
        }
        Self::Mig(lines)
    }
}

/// What somebody else does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Other {
    /// Has the kernel look for drivers.
    Probes,
    /// Creates a GPU instance with one compute instance, `1g.5gb@0`.
    Creates(&'static str),
    /// Destroys one with all that is in it.
    Destroys(&'static str),
}

impl Other {
    /// Does it where the host lets it.
    pub(crate) fn acts(&self, host: &mut HostState, target: &Target) -> bool {
        let mig = host.mig.get_mut(&at(GPU));
        match (self, mig) {
            (Self::Probes, _) => {
                host.somebody_probes(target.functions());
                true
            }
            (Self::Creates(what), Some(mig)) => {
                let place = instance(what);
                mig.create_gpu(&place.profile, place.start).is_ok_and(|id| {
                    mig.create_compute(id, slices(&mig.catalog, &place)).unwrap();
                    true
                })
            }
            (Self::Destroys(what), Some(mig)) => mig.id_at(&instance(what)).is_some_and(|id| {
                let within = mig.instances.iter().find(|one| one.id == id).unwrap();
                for compute in within.compute.clone() {
                    mig.destroy_compute(id, compute.id).unwrap();
                }
                mig.destroy_gpu(id).is_ok()
            }),
            (Self::Creates(_) | Self::Destroys(_), None) => false,
        }
    }

    /// It has been undone.
    pub(crate) fn is_undone(&self, host: &HostState) -> bool {
        let lines = || mig(&host.mig[&at(GPU)]);
        match self {
            Self::Probes => false,
            Self::Creates(what) => !lines().contains(&line_of(what)),
            Self::Destroys(what) => lines().iter().any(|line| line.starts_with(&format!("{what} "))),
        }
    }
}

/// `3g.20gb@4`.
pub(crate) fn instance(text: &str) -> Instance {
    let (profile, start) = text.split_once('@').unwrap();
    Instance { profile: profile.to_owned(), start: start.parse().unwrap() }
}

/// Compute slices of a whole instance.
pub(crate) fn slices(catalog: &MigCatalog, place: &Instance) -> u32 {
    catalog.profile(catalog.find(&place.profile).unwrap()).unwrap().compute_slices
}

/// An instance with one compute instance that fills it: profiles are called by their slices.
fn line_of(created: &str) -> String {
    format!("{created} with {}", created.split('g').next().unwrap())
}

fn mig(mig: &SimMig) -> BTreeSet<String> {
    let each = mig.instances.iter().map(|one| {
        let mut slices: Vec<u32> = one.compute.iter().map(|compute| compute.slices).collect();
        slices.sort_unstable_by(|one, other| other.cmp(one));
        let slices: Vec<String> = slices.iter().map(ToString::to_string).collect();
        format!("{}@{} with {}", one.profile, one.placement.start, slices.join(", "))
    });
    each.chain([mode(mig.current, mig.pending)]).collect()
}

pub(crate) fn mode(now: MigMode, after_reset: MigMode) -> String {
    format!("MIG {}, then {}", now.code(), after_reset.code())
}

/// Each compute instance of a GPU with its ids, and each GPU instance.
pub(crate) fn identities(mig: &SimMig) -> BTreeSet<String> {
    let each = mig.instances.iter().flat_map(|one| {
        let whole = format!("{}@{} as {}", one.profile, one.placement.start, one.id);
        let inside = one.compute.iter().map(|compute| format!("{whole}: {} of {}", compute.id, compute.slices));
        inside.chain([whole.clone()]).collect::<Vec<_>>()
    });
    each.collect()
}

/// The functions as the kernel has them: read from the bus itself, not through what is tested.
fn functions(host: &HostState, wanted: &[FunctionSettings]) -> Vec<FunctionSettings> {
    let function = |settled: &FunctionSettings| {
        let function = &host.bus.functions[&settled.address];
        FunctionSettings {
            address: settled.address,
            driver: function.driver.clone(),
            driver_override: function.driver_override.as_ref().map(|text| text.parse().unwrap()),
            d3cold_allowed: function.d3cold_allowed,
            power_control: function.power_control,
        }
    };
    wanted.iter().map(function).collect()
}

/// Everything of a host that a change can be about.
pub(crate) fn hash_host(host: &HostState, hasher: &mut impl Hasher) {
    (&host.stuck, host.vfio == model::plan::ModuleState::Loaded).hash(hasher);
    for f in host.bus.functions.values() {
        (f.address, &f.driver, &f.driver_override, f.d3cold_allowed, f.power_control).hash(hasher);
    }
    for mig in host.mig.values() {
        (mode(mig.current, mig.pending), identities(mig)).hash(hasher);
    }
}
