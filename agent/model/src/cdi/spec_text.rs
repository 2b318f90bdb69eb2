//! The text of a specification: what an engine takes of it, and why it takes none of it.

use super::cdi_spec::{Device, FILE_MAX_BYTES, KIND, NAME_MAX_CHARS, Spec, is_spec};
use super::spec_version::SpecVersion;
use crate::printable::printable;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(rename = "cdiVersion", default)]
    version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default)]
    devices: Vec<DocumentDevice>,
    #[serde(rename = "containerEdits", default)]
    edits: Option<Edits>,
}

#[derive(Deserialize)]
struct DocumentDevice {
    name: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(rename = "containerEdits", default)]
    edits: Option<Edits>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Edits {
    env: Option<Vec<IgnoredAny>>,
    device_nodes: Option<Vec<Node>>,
    mounts: Option<Vec<Mount>>,
    hooks: Option<Vec<Hook>>,
    net_devices: Option<Vec<IgnoredAny>>,
    intel_rdt: Option<Rdt>,
    additional_gids: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    #[serde(default)]
    host_path: Option<String>,
}

impl Node {
    fn named_on_the_host(&self) -> Option<&str> {
        self.host_path.as_deref().filter(|path| !path.is_empty())
    }

    /// `path` is its place in the container, and on the host too unless that is named.
    fn on_the_host(&self) -> &str {
        self.named_on_the_host().unwrap_or(&self.path)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Hook {
    path: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rdt {
    schemata: Option<Vec<IgnoredAny>>,
    enable_monitoring: Option<bool>,
}

impl Edits {
    fn nodes(&self) -> impl Iterator<Item = &str> {
        self.device_nodes.iter().flatten().map(Node::on_the_host)
    }

    fn host_paths(&self) -> BTreeSet<String> {
        let mounts = self.mounts.iter().flatten().map(|mount| mount.host_path.as_str());
        let hooks = self.hooks.iter().flatten().map(|hook| hook.path.as_str());
        self.nodes().chain(mounts).chain(hooks).map(str::to_owned).collect()
    }

    /// A device of which nothing is given: engines take no file with one.
    fn is_empty(&self) -> bool {
        let Self { env, device_nodes, mounts, hooks, net_devices, intel_rdt, additional_gids } = self;
        let is_none = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_none_or(Vec::is_empty);
        is_none(env)
            && device_nodes.as_ref().is_none_or(Vec::is_empty)
            && mounts.as_ref().is_none_or(Vec::is_empty)
            && hooks.as_ref().is_none_or(Vec::is_empty)
            && is_none(net_devices)
            && intel_rdt.is_none()
            && is_none(additional_gids)
    }

    /// The lowest version that knows each of these fields.
    fn needs(&self) -> SpecVersion {
        let rdt = |newer: bool| {
            self.intel_rdt
                .as_ref()
                .is_some_and(|rdt| !newer || rdt.schemata.is_some() || rdt.enable_monitoring == Some(true))
        };
        let is_any = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let has_type = |mount: &Mount| mount.kind.as_ref().is_some_and(|kind| !kind.is_empty());
        if is_any(&self.net_devices) || rdt(true) {
            SpecVersion::V1_1
        } else if is_any(&self.additional_gids) || rdt(false) {
            SpecVersion::V0_7
        } else if self.device_nodes.iter().flatten().any(|node| node.named_on_the_host().is_some()) {
            SpecVersion::V0_5
        } else if self.mounts.iter().flatten().any(has_type) {
            SpecVersion::V0_4
        } else {
            SpecVersion::V0_3
        }
    }
}

impl DocumentDevice {
    fn needs(&self) -> SpecVersion {
        let of_name = self.name.starts_with(|c: char| c.is_ascii_digit()).then_some(SpecVersion::V0_5);
        let of_notes = has_notes(self.annotations.as_ref()).then_some(SpecVersion::V0_6);
        of_name.max(of_notes).max(self.edits.as_ref().map(Edits::needs)).unwrap_or(SpecVersion::V0_3)
    }
}

fn has_notes(annotations: Option<&BTreeMap<String, IgnoredAny>>) -> bool {
    annotations.is_some_and(|annotations| !annotations.is_empty())
}

impl Document {
    fn needs(&self) -> SpecVersion {
        let of_notes = has_notes(self.annotations.as_ref()).then_some(SpecVersion::V0_6);
        let of_edits = self.edits.as_ref().map(Edits::needs);
        let of_devices = self.devices.iter().map(DocumentDevice::needs).max();
        of_notes.max(of_edits).max(of_devices).unwrap_or(SpecVersion::V0_3)
    }

    /// `None` where it is of another kind.
    fn spec(self) -> Result<Option<Spec>, String> {
        if self.kind != KIND {
            return Ok(None);
        }
        if let Some(device) = self.devices.iter().find(|device| !is_name(&device.name)) {
            return Err(plain(&format!("{:?} is not a device name", device.name)));
        }
        let mut names = BTreeSet::new();
        if let Some(device) = self.devices.iter().find(|device| !names.insert(&device.name)) {
            return Err(format!("it defines the device {} twice", device.name));
        }
        if let Some(device) = self.devices.iter().find(|device| device.edits.as_ref().is_none_or(Edits::is_empty)) {
            return Err(format!("its device {} gives a container nothing", device.name));
        }
        let needs = self.needs();
        let common_paths = self.edits.iter().flat_map(Edits::host_paths).collect();
        let device = |device: DocumentDevice| Device {
            nodes: device.edits.iter().flat_map(Edits::nodes).map(str::to_owned).collect(),
            host_paths: device.edits.iter().flat_map(Edits::host_paths).collect(),
            name: device.name,
        };
        let devices = self.devices.into_iter().map(device).collect();
        Ok(Some(Spec { version: self.version, needs: Some(needs), devices, common_paths }))
    }
}

/// Reads a file by what its name ends with: `.json`, `.yaml`. `None` where it is of another kind, or no specification by its name.
///
/// # Errors
/// It cannot be read as what its name states: what is wrong with it.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Option<Spec>, String> {
    if bytes.len() > FILE_MAX_BYTES {
        return Err(format!("it is larger than {FILE_MAX_BYTES} bytes"));
    }
    if !is_spec(name) {
        return Ok(None);
    }
    let document: Document = if name.ends_with(".json") {
        serde_json::from_slice(bytes).map_err(|error| plain(&error))?
    } else if has_alias(bytes) {
        return Err(
            "it has aliases (*NAME), which no generator of specifications uses: they are not resolved".to_owned()
        );
    } else {
        serde_norway::from_slice(bytes).map_err(|error| plain(&error))?
    };
    document.spec()
}

/// As the engines want it: a file with another name in it is not a specification to them.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    (1..=NAME_MAX_CHARS).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(fits)
}

/// An alias repeats a part of a document for two bytes: with them a small file can become anything. A `*` at the beginning of a word
/// is taken for one wherever it is.
pub(super) fn has_alias(bytes: &[u8]) -> bool {
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
