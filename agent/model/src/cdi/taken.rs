//! Which devices an engine takes of its directories.

use super::cdi_spec::{ALL, Device, Spec};
use crate::docker::CdiAll;
use std::collections::BTreeMap;

/// One folder, with what was read of each of its files, by name.
pub type CdiFolder = Vec<(String, Spec)>;

/// What an engine takes of these folders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdiDevices {
    /// Names of the devices, sorted.
    pub names: Vec<String>,
    /// What `all` stands for, where there is one.
    pub all: Option<CdiAll>,
}

/// Which devices an engine takes.
#[must_use]
pub fn taken(folders: &[CdiFolder]) -> CdiDevices {
    let each = folders.iter().enumerate().flat_map(|(nth, folder)| {
        folder.iter().flat_map(move |(_, spec)| {
            spec.devices.iter().map(move |device| (nth, device.name.as_str(), (spec, device)))
        })
    });
    let found = resolved(each);
    let all = match found.get(ALL) {
        Some(Owners::One((spec, device))) => Some(all_of(spec, device)),
        Some(Owners::Conflict(_)) | None => None,
    };
    let is_one = |owners: &Owners<_>| matches!(owners, Owners::One(_));
    let names = found.iter().filter(|(_, owners)| is_one(owners)).map(|(name, _)| (*name).to_owned()).collect();
    CdiDevices { names, all }
}

/// Who defines a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owners<T> {
    /// The one definition that an engine takes.
    One(T),
    /// Two definitions of one folder: an engine has no such device.
    Conflict([T; 2]),
}

/// Who defines each device: a later folder goes before an earlier one, and a device that two files of one folder define is none at
/// all, even where a later folder defines it once (`Cache.refresh` of the CDI project). Definitions are given by folder, in order.
pub(super) fn resolved<'a, T: Copy>(
    definitions: impl Iterator<Item = (usize, &'a str, T)>,
) -> BTreeMap<&'a str, Owners<T>> {
    let mut found: BTreeMap<&str, (usize, Owners<T>)> = BTreeMap::new();
    for (folder, name, definition) in definitions {
        match found.get(name) {
            Some((_, Owners::Conflict(_))) => {}
            Some((before, Owners::One(first))) if *before == folder => {
                let both = [*first, definition];
                found.insert(name, (folder, Owners::Conflict(both)));
            }
            Some(_) | None => drop(found.insert(name, (folder, Owners::One(definition)))),
        }
    }
    found.into_iter().map(|(name, (_, owners))| (name, owners)).collect()
}

fn all_of(spec: &Spec, all: &Device) -> CdiAll {
    let names = spec.devices.iter().map(|device| device.name.clone()).filter(|name| name != ALL).collect();
    CdiAll { names, minors: all.minors().into_iter().collect() }
}
