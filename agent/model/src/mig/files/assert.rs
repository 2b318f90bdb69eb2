//! Whether a host is as a configuration states, and what differs.

use super::choose::choose;
use super::host_gpus::{HostGpu, RecordedMigMode, devices};
use super::{FileError, Instances, MigConfig, MigConfigEntry};
use crate::ids::PciAddress;
use crate::mig::catalog::MigCatalog;
use crate::mig::layout::{Instance, Present, Wish};
use crate::mig::layout_refusal::MigRefused;
use crate::mig::plan::{MigPlan, plan};
use std::collections::BTreeMap;
use std::fmt;

/// How one GPU differs from what an entry reports about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// Its MIG mode is another one.
    Mode {
        /// The wanted mode.
        wanted: bool,
    },
    /// Its mode is as wanted, and will be another one after its next reset.
    Pending {
        /// The wanted mode.
        wanted: bool,
    },
    /// It has other MIG devices.
    Devices {
        /// Wanted, and not there.
        missing: Vec<(String, u64)>,
        /// There, and not wanted.
        surplus: Vec<(String, u64)>,
    },
    /// A GPU instance without a compute instance: no program can use it, and its slots are taken.
    NoCompute {
        /// Which.
        instance: Instance,
    },
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |mode: bool| if mode { "on" } else { "off" };
        let counted = |list: &[(String, u64)]| {
            let all: Vec<String> = list.iter().map(|(name, count)| format!("{count} x {name}")).collect();
            if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
        };
        match self {
            Self::Mode { wanted } => write!(f, "MIG mode is {}, but {} is wanted", on(!wanted), on(*wanted)),
            Self::Pending { wanted } => {
                write!(f, "MIG mode is {} and will be {} after the next reset", on(*wanted), on(!wanted))
            }
            Self::Devices { missing, surplus } => {
                write!(f, "missing: {}; not wanted: {}", counted(missing), counted(surplus))
            }
            Self::NoCompute { instance } => write!(f, "{instance} has no compute instance"),
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asserted {
    /// GPUs that differ.
    pub differs: Vec<(PciAddress, Differs)>,
    /// GPUs that no entry names: nothing is set of them.
    pub unnamed: Vec<PciAddress>,
}

impl Asserted {
    /// True where the host is as wanted; with `all_gpus` a GPU that no entry names is none that is.
    #[must_use]
    pub const fn holds(&self, all_gpus: bool) -> bool {
        self.differs.is_empty() && (!all_gpus || self.unnamed.is_empty())
    }
}

/// Compares a host with a configuration; `mode_only` leaves the instances out.
///
/// # Errors
/// The configuration does not fit this host, as in [`choose`].
pub fn assert(config: &MigConfig, host: &[HostGpu], mode_only: bool) -> Result<Asserted, FileError> {
    let mut asserted = Asserted::default();
    for (gpu, entry) in host.iter().zip(choose(config, host)?) {
        match entry {
            None => asserted.unnamed.push(gpu.address),
            Some(entry) => {
                let differs = differences(gpu, entry, mode_only);
                asserted.differs.extend(differs.into_iter().map(|differs| (gpu.address, differs)));
            }
        }
    }
    // What cannot do MIG is off, and nobody has to say so.
    asserted.unnamed.retain(|address| host.iter().any(|gpu| gpu.address == *address && gpu.is_capable()));
    Ok(asserted)
}

fn differences(gpu: &HostGpu, entry: &MigConfigEntry, mode_only: bool) -> Vec<Differs> {
    let wanted = entry.enabled;
    if (gpu.mode == RecordedMigMode::On) != wanted {
        return vec![Differs::Mode { wanted }];
    }
    if gpu.pending.is_some_and(|pending| pending != wanted) {
        return vec![Differs::Pending { wanted }];
    }
    if mode_only || !wanted { Vec::new() } else { of_instances(&gpu.instances, &entry.instances) }
}

/// How instances that are there differ from wanted ones. A file cannot say which compute instances share a GPU instance:
/// only the MIG devices count, at whatever place unless the wish names one.
fn of_instances(present: &[Present], wanted: &[Instances]) -> Vec<Differs> {
    let mut there = devices(present);
    let mut missing: BTreeMap<String, u64> = BTreeMap::new();
    let (placed, anywhere): (Vec<&Instances>, Vec<&Instances>) = wanted.iter().partition(|one| one.start.is_some());
    for one in placed.into_iter().chain(anywhere) {
        let name = one.profile.canonical();
        let mut left = u64::from(one.count);
        let here = |(own, start): &(String, u32)| *own == name && one.start.is_none_or(|wanted| wanted == *start);
        for (_, count) in there.iter_mut().filter(|(device, _)| here(device)) {
            let taken = left.min(*count);
            left -= taken;
            *count -= taken;
        }
        if left > 0 {
            *missing.entry(name).or_insert(0) += left;
        }
    }
    let mut surplus: BTreeMap<String, u64> = BTreeMap::new();
    for ((name, _), count) in there.into_iter().filter(|(_, count)| *count > 0) {
        *surplus.entry(name).or_insert(0) += count;
    }
    let mut differs = Vec::new();
    if !missing.is_empty() || !surplus.is_empty() {
        let (missing, surplus) = (missing.into_iter().collect(), surplus.into_iter().collect());
        differs.push(Differs::Devices { missing, surplus });
    }
    let empty = present.iter().filter(|present| present.compute.is_empty());
    differs.extend(empty.map(|present| Differs::NoCompute { instance: present.instance.clone() }));
    differs
}

/// What an entry wishes of a GPU. Where its instances are all there, however their compute instances are spread, that is what is there.
#[must_use]
pub fn wishes_of(present: &[Present], entry: &MigConfigEntry) -> Vec<Wish> {
    if of_instances(present, &entry.instances).is_empty() {
        let place = |((profile, start), count): ((String, u32), u64)| Wish { profile, start: Some(start), count };
        return devices(present).into_iter().map(place).collect();
    }
    let wish =
        |one: &Instances| Wish { profile: one.profile.to_string(), start: one.start, count: u64::from(one.count) };
    entry.instances.iter().map(wish).collect()
}

/// Plans the way to an entry's instances.
///
/// # Errors
/// As [`plan`].
pub fn plan_entry(catalog: &MigCatalog, present: &[Present], entry: &MigConfigEntry) -> Result<MigPlan, MigRefused> {
    plan(catalog, present, &wishes_of(present, entry))
}
