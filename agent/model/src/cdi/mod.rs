//! CDI specifications of NVIDIA's GPUs: which devices each file defines, and which of them an engine takes.
//!
//! Engines before API 1.50 do not list their devices, and none shows what `all` stands for; the files do.

use crate::docker::CdiAll;
use crate::printable::printable;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The kind whose devices are GPUs.
pub const KIND: &str = "nvidia.com/gpu";
/// Largest file that is read, in bytes. One for eight GPUs with MIG takes 60 KiB.
pub const FILE_MAX_BYTES: usize = 1024 * 1024;
/// Longest name of a device.
const NAME_MAX_CHARS: usize = 128;
/// The device that stands for the others of its file.
pub const ALL: &str = "all";

/// A file of kind [`KIND`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// Version of the form.
    pub version: String,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Paths on the host that it needs: of devices, libraries, hooks.
    pub host_paths: Vec<String>,
}

/// A device of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `0`, `gpu0`, `GPU-…`, `all`, `MIG-…`.
    pub name: String,
    /// Device nodes on the host.
    pub nodes: Vec<String>,
}

impl Device {
    /// Minor numbers of the GPUs whose nodes it gives: `/dev/nvidia3` is 3.
    fn minors(&self) -> BTreeSet<u32> {
        self.nodes.iter().filter_map(|node| node.strip_prefix("/dev/nvidia")?.parse().ok()).collect()
    }
}

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(rename = "cdiVersion", default)]
    version: String,
    #[serde(default)]
    devices: Vec<DocumentDevice>,
    #[serde(rename = "containerEdits", default)]
    edits: Option<Edits>,
}

#[derive(Deserialize)]
struct DocumentDevice {
    name: String,
    #[serde(rename = "containerEdits", default)]
    edits: Option<Edits>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Edits {
    device_nodes: Option<Vec<Node>>,
    mounts: Option<Vec<Mount>>,
    hooks: Option<Vec<Hook>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    #[serde(default)]
    host_path: Option<String>,
}

impl Node {
    /// `path` is its place in the container, and on the host too unless that is named.
    fn on_the_host(&self) -> &str {
        self.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&self.path)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: String,
}

#[derive(Deserialize)]
struct Hook {
    path: String,
}

impl Edits {
    fn nodes(&self) -> impl Iterator<Item = &str> {
        self.device_nodes.iter().flatten().map(Node::on_the_host)
    }

    fn host_paths(&self) -> impl Iterator<Item = &str> {
        let mounts = self.mounts.iter().flatten().map(|mount| mount.host_path.as_str());
        self.nodes().chain(mounts).chain(self.hooks.iter().flatten().map(|hook| hook.path.as_str()))
    }
}

/// Reads a file by what its name ends with: `.json`, `.yaml`, `.yml`. `None` where it is of another kind, or no specification by
/// its name.
///
/// # Errors
/// It cannot be read as what its name states: what is wrong with it.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Option<Spec>, String> {
    if bytes.len() > FILE_MAX_BYTES {
        return Err(format!("it is larger than {FILE_MAX_BYTES} bytes"));
    }
    let document: Document = if name.ends_with(".json") {
        serde_json::from_slice(bytes).map_err(|error| plain(&error))?
    } else if is_spec(name) {
        if has_alias(bytes) {
            return Err(
                "it has aliases (*NAME), which no generator of specifications uses: they are not resolved".to_owned()
            );
        }
        serde_norway::from_slice(bytes).map_err(|error| plain(&error))?
    } else {
        return Ok(None);
    };
    if document.kind != KIND {
        return Ok(None);
    }
    if let Some(device) = document.devices.iter().find(|device| !is_name(&device.name)) {
        return Err(plain(&format!("{:?} is not a device name", device.name)));
    }
    let mut host_paths: BTreeSet<&str> = document.edits.iter().flat_map(Edits::host_paths).collect();
    host_paths.extend(document.devices.iter().filter_map(|device| device.edits.as_ref()).flat_map(Edits::host_paths));
    let host_paths = host_paths.into_iter().map(str::to_owned).collect();
    let device = |device: &DocumentDevice| Device {
        name: device.name.clone(),
        nodes: device.edits.iter().flat_map(Edits::nodes).map(str::to_owned).collect(),
    };
    let devices = document.devices.iter().map(device).collect();
    Ok(Some(Spec { version: document.version, devices, host_paths }))
}

/// As the engines want it: a file with another name in it is not a specification to them.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    (1..=NAME_MAX_CHARS).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(fits)
}

/// The name of a file that an engine reads.
#[must_use]
pub fn is_spec(name: &str) -> bool {
    !name.starts_with('.') && [".json", ".yaml", ".yml"].iter().any(|end| name.ends_with(end))
}

/// An alias repeats a part of a document for two bytes: with them a small file can become anything. A `*` at the beginning of a word
/// is taken for one wherever it is.
fn has_alias(bytes: &[u8]) -> bool {
    let begins = |before: Option<&u8>| before.is_none_or(|byte| byte.is_ascii_whitespace() || b"[{,:-".contains(byte));
    let names = |after: Option<&u8>| after.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    let stars = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'*');
    let is_alias =
        |at: usize| begins(at.checked_sub(1).and_then(|at| bytes.get(at))) && names(bytes.get(at.saturating_add(1)));
    stars.map(|(at, _)| at).any(is_alias)
}

fn plain(error: &impl ToString) -> String {
    printable(&error.to_string(), 200)
}

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

/// Which devices an engine takes: a later folder goes before an earlier one, and a device that two files of one folder define is
/// none at all.
#[must_use]
pub fn taken(folders: &[CdiFolder]) -> CdiDevices {
    let mut found: BTreeMap<&str, Option<(&Spec, &Device)>> = BTreeMap::new();
    for folder in folders {
        let mut here: BTreeMap<&str, Option<(&Spec, &Device)>> = BTreeMap::new();
        for (spec, device) in folder.iter().flat_map(|(_, spec)| spec.devices.iter().map(move |device| (spec, device)))
        {
            here.entry(&device.name).and_modify(|known| *known = None).or_insert(Some((spec, device)));
        }
        found.extend(here);
    }
    let all = found.get(ALL).copied().flatten().map(|(spec, device)| all_of(spec, device));
    let names = found.into_iter().filter(|(_, device)| device.is_some()).map(|(name, _)| name.to_owned()).collect();
    CdiDevices { names, all }
}

fn all_of(spec: &Spec, all: &Device) -> CdiAll {
    let names = spec.devices.iter().map(|device| device.name.clone()).filter(|name| name != ALL).collect();
    CdiAll { names, minors: all.minors().into_iter().collect() }
}

#[cfg(test)]
mod tests;
