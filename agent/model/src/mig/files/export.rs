//! A host's layouts, or all that its GPUs could have, as a file in mig-parted's form.

use super::DeviceId;
use super::host_gpus::{HostGpu, RecordedMigMode, devices};
use crate::mig::catalog::{GpuProfile, MigCatalog};
use crate::mig::layout::Instance;
use crate::mig::profile::ProfileName;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// MIG devices by their names.
type Counts = BTreeMap<String, u64>;

/// Ids of an entry: none, one as a text, several as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Filter {
    /// One id.
    One(DeviceId),
    /// Any of these.
    Any(Vec<DeviceId>),
}

/// GPUs of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// `all`
    All,
    /// By their indices.
    These(Vec<usize>),
}

impl Serialize for Which {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_str("all"),
            Self::These(indices) => indices.serialize(to),
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Written {
    /// Boards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_filter: Option<Filter>,
    /// GPUs.
    pub devices: Which,
    /// MIG mode.
    pub mig_enabled: bool,
    /// Instances, where the mode is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig_devices: Option<BTreeMap<String, u64>>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WrittenFile {
    /// `v1`
    pub version: &'static str,
    /// Entries by the name of their configuration.
    pub mig_configs: BTreeMap<String, Vec<Written>>,
}

impl WrittenFile {
    fn of(mig_configs: BTreeMap<String, Vec<Written>>) -> Self {
        Self { version: "v1", mig_configs }
    }

    /// The file as YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut out = format!("version: {}\nmig-configs:\n", self.version);
        for (name, entries) in &self.mig_configs {
            let _ = writeln!(out, "  {}:", quoted(name));
            for entry in entries {
                let mut begin = "  - ";
                if let Some(filter) = &entry.device_filter {
                    let text = match filter {
                        Filter::One(id) => quoted(&id.to_string()),
                        Filter::Any(ids) => {
                            format!("[{}]", ids.iter().map(|id| quoted(&id.to_string())).collect::<Vec<_>>().join(", "))
                        }
                    };
                    let _ = writeln!(out, "{begin}device-filter: {text}");
                    begin = "    ";
                }
                let devices = match &entry.devices {
                    Which::All => "all".to_owned(),
                    Which::These(list) => {
                        format!("[{}]", list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                    }
                };
                let _ = writeln!(out, "{begin}devices: {devices}\n    mig-enabled: {}", entry.mig_enabled);
                match entry.mig_devices.as_ref().map(|devices| (devices.is_empty(), devices)) {
                    None => {}
                    Some((true, _)) => out.push_str("    mig-devices: {}\n"),
                    Some((false, devices)) => {
                        out.push_str("    mig-devices:\n");
                        for (profile, count) in devices {
                            let _ = writeln!(out, "      {}: {count}", quoted(profile));
                        }
                    }
                }
            }
        }
        out
    }
}

/// The layouts of a host as one configuration; and the GPU instances that such a file cannot hold, since they have no compute
/// instance.
#[must_use]
pub fn export(host: &[HostGpu], label: &str) -> (WrittenFile, Vec<Instance>) {
    let mut groups: Vec<(Option<Counts>, Vec<usize>)> = Vec::new();
    for (index, gpu) in host.iter().enumerate() {
        let layout = (gpu.mode == RecordedMigMode::On).then(|| counted(gpu));
        match groups.iter_mut().find(|(known, _)| *known == layout) {
            Some((_, indices)) => indices.push(index),
            None => groups.push((layout, vec![index])),
        }
    }
    let id = |index: &usize| host.get(*index).map(|gpu| gpu.id.primary());
    let all_ids: BTreeSet<DeviceId> = host.iter().map(|gpu| gpu.id.primary()).collect();
    let alone = groups.len() == 1;
    let write = |(layout, indices): (Option<Counts>, Vec<usize>)| {
        let ids: BTreeSet<DeviceId> = indices.iter().filter_map(id).collect();
        let of_these = host.iter().enumerate().filter(|(_, gpu)| ids.contains(&gpu.id.primary()));
        let whole = of_these.map(|(index, _)| index).eq(indices.iter().copied());
        let filter = match ids.iter().collect::<Vec<_>>().as_slice() {
            _ if alone || all_ids.len() == 1 => None,
            [one] => Some(Filter::One(**one)),
            many => Some(Filter::Any(many.iter().map(|id| **id).collect())),
        };
        Written {
            device_filter: filter,
            devices: if whole { Which::All } else { Which::These(indices) },
            mig_enabled: layout.is_some(),
            mig_devices: layout,
        }
    };
    let entries = groups.into_iter().map(write).collect();
    let lost = host.iter().flat_map(|gpu| &gpu.instances).filter(|present| present.compute.is_empty());
    let lost = lost.map(|present| present.instance.clone()).collect();
    (WrittenFile::of(BTreeMap::from([(label.to_owned(), entries)])), lost)
}

fn counted(gpu: &HostGpu) -> Counts {
    let mut counts = BTreeMap::new();
    for ((name, _), count) in devices(&gpu.instances) {
        *counts.entry(name).or_insert(0) += count;
    }
    counts
}

/// A file with what the GPUs of a host could have: `all-disabled`, `all-enabled`, `all-PROFILE` for each profile as often as it
/// fits, and `all-balanced`.
#[must_use]
pub fn generate(kinds: &[(DeviceId, MigCatalog)]) -> WrittenFile {
    let several = kinds.len() > 1;
    let entry = |ids: Vec<DeviceId>, devices: BTreeMap<String, u64>| Written {
        device_filter: several.then_some(Filter::Any(ids)),
        devices: Which::All,
        mig_enabled: true,
        mig_devices: Some(devices),
    };
    let off = Written { device_filter: None, devices: Which::All, mig_enabled: false, mig_devices: None };
    let on = Written { mig_enabled: true, mig_devices: Some(BTreeMap::new()), ..off.clone() };
    let mut configs = BTreeMap::from([("all-disabled".to_owned(), vec![off]), ("all-enabled".to_owned(), vec![on])]);
    let mut by_profile: BTreeMap<&str, BTreeMap<u32, Vec<DeviceId>>> = BTreeMap::new();
    for (id, catalog) in kinds {
        for profile in catalog.profiles() {
            let counts = by_profile.entry(&profile.profile).or_default();
            counts.entry(profile.instances).or_default().push(id.primary());
        }
    }
    for (profile, counts) in by_profile {
        let one = |(count, mut ids): (u32, Vec<DeviceId>)| {
            ids.sort_unstable();
            entry(ids, BTreeMap::from([(profile.to_owned(), u64::from(count))]))
        };
        configs.insert(format!("all-{}", profile.replace('+', ".")), counts.into_iter().map(one).collect());
    }
    let balanced = kinds.iter().filter_map(|(id, catalog)| Some(entry(vec![id.primary()], balanced(catalog)?)));
    let balanced: Vec<Written> = balanced.collect();
    if !balanced.is_empty() {
        configs.insert("all-balanced".to_owned(), balanced);
    }
    WrittenFile::of(configs)
}

/// Two of one slice and one of two, and one of three where the GPU has seven slices.
fn balanced(catalog: &MigCatalog) -> Option<BTreeMap<String, u64>> {
    let formula: &[(u32, u64)] = match catalog.compute_slices() {
        7 => &[(1, 2), (2, 1), (3, 1)],
        4 => &[(1, 2), (2, 1)],
        _ => return None,
    };
    let smallest = |slices: u32| -> Option<&GpuProfile> {
        let plain = |profile: &&GpuProfile| profile.profile.parse::<ProfileName>().is_ok_and(|name| name.is_plain());
        let fits = catalog.profiles().iter().filter(|profile| profile.compute_slices == slices).filter(plain);
        fits.max_by_key(|profile| profile.instances)
    };
    formula.iter().map(|(slices, count)| Some((smallest(*slices)?.profile.clone(), *count))).collect()
}
