//! Reads a file of configurations; one that is wrong anywhere is refused as a whole, with line and field.

use super::scalar::{boolean, is_null, text, whole_number};
use super::yaml::{Key, Node, Value, read as read_yaml};
use super::{ConfigFile, DeviceId, DeviceName, Devices, FileError, Instances, MigConfig, MigConfigEntry, shown};
use crate::mig::profile::ProfileName;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The version of mig-parted's files.
const MIG_PARTED: &str = "v1";
/// The version of our own form: it may name GPUs by address and UUID, and instances by their start.
const OWN: &str = "gpuhostd/v1";
/// Most instances of one profile that are read. No GPU has as many; it is the plan that shows how many fit.
const MOST_COUNT: u64 = 1000;
/// Most entries of a configuration, and GPUs or ids in one of them, that are read.
const MOST_ENTRIES: usize = 256;
/// Largest index of a GPU that is read.
const MOST_INDEX: u64 = 4095;

/// A place in the file.
#[derive(Clone)]
struct At {
    line: u64,
    field: String,
}

impl At {
    fn fault(&self, why: impl Into<String>) -> FileError {
        FileError { line: Some(self.line), field: self.field.clone(), why: why.into() }
    }

    fn within(&self, line: u64, name: &str) -> Self {
        let name = shown(name);
        let field = if self.field.is_empty() { name } else { format!("{}.{name}", self.field) };
        Self { line, field }
    }

    fn item(&self, line: u64, index: usize) -> Self {
        Self { line, field: format!("{}[{index}]", self.field) }
    }
}

/// Reads a file in mig-parted's form or in our own. A file with nothing in it has no configurations.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(text: &str) -> Result<ConfigFile, FileError> {
    let Some(root) = read_yaml(text)?.filter(|root| !is_null(root)) else { return Ok(ConfigFile::default()) };
    let top = At { line: root.line, field: String::new() };
    let fields = map(&root, &top, "a map with version and mig-configs")?;
    refuse_other_documents(fields, &top)?;
    let own = version(fields, &top)?;
    let mut file = ConfigFile::default();
    for (key, node) in fields {
        let at = top.within(key.line, &key.text);
        match key.text.as_str() {
            "version" => {}
            "mig-configs" => file.configs = configs(node, &at, own)?,
            name => return Err(at.fault(format!("unexpected field {}; expected version and mig-configs", shown(name)))),
        }
    }
    Ok(file)
}

/// What is handed in by mistake, with what to hand in.
fn refuse_other_documents(fields: &[(Key, Rc<Node>)], top: &At) -> Result<(), FileError> {
    for (key, _) in fields {
        let why = match key.text.as_str() {
            "apiVersion" | "kind" => {
                "this is a Kubernetes object; pass its content: kubectl get configmap NAME -o jsonpath='{.data.config\\.yaml}'"
            }
            "hooks" => {
                "hooks are not run: gpuhostd itself finds out who uses a GPU, and recreates device nodes and the CDI specification"
            }
            "MigState" => "this is a checkpoint, not a file of configurations",
            _ => continue,
        };
        return Err(top.within(key.line, &key.text).fault(why));
    }
    Ok(())
}

/// True where it is our own form.
fn version(fields: &[(Key, Rc<Node>)], top: &At) -> Result<bool, FileError> {
    let Some((key, node)) = fields.iter().find(|(key, _)| key.text == "version") else {
        let known = fields.iter().find(|(key, _)| key.text != "mig-configs").map(|(key, _)| shown(&key.text));
        let also = known.map(|name| format!(" (and {name} is not a field of such a file)")).unwrap_or_default();
        return Err(top.fault(format!("version is required: v1{also}")));
    };
    let at = top.within(key.line, "version");
    match &node.value {
        Value::Scalar { text, .. } if text == MIG_PARTED => Ok(false),
        Value::Scalar { text, .. } if text == OWN => Ok(true),
        Value::Scalar { text, .. } => {
            Err(at.fault(format!("unknown version {}; expected {MIG_PARTED} or {OWN}", shown(text))))
        }
        Value::List(_) | Value::Map(_) => Err(at.fault(format!("expected {MIG_PARTED} or {OWN}"))),
    }
}

fn map<'a>(node: &'a Node, at: &At, expected: &str) -> Result<&'a [(Key, Rc<Node>)], FileError> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Scalar { .. } | Value::List(_) => Err(at.fault(format!("expected {expected}"))),
    }
}

fn list<'a>(node: &'a Node, at: &At, expected: &str) -> Result<&'a [Rc<Node>], FileError> {
    match &node.value {
        Value::List(items) => Ok(items),
        Value::Scalar { .. } | Value::Map(_) => Err(at.fault(format!("expected {expected}"))),
    }
}

fn configs(node: &Node, at: &At, own: bool) -> Result<Vec<MigConfig>, FileError> {
    let named = if is_null(node) { &[] } else { map(node, at, "a map from names to lists of entries")? };
    if named.is_empty() {
        return Err(at.fault("at least one configuration is required"));
    }
    let one = |(key, node): &(Key, Rc<Node>)| {
        let at = at.within(key.line, &key.text);
        let items = if is_null(node) { &[] } else { list(node, &at, "a list of entries")? };
        if items.is_empty() {
            return Err(at.fault("at least one entry is required"));
        }
        if items.len() > MOST_ENTRIES {
            return Err(at.fault(format!("it has {} entries, more than {MOST_ENTRIES}", items.len())));
        }
        let entries = items.iter().enumerate().map(|(index, item)| entry(item, &at.item(item.line, index), own));
        let config = MigConfig { name: key.text.clone(), line: key.line, entries: entries.collect::<Result<_, _>>()? };
        certain_overlap(&config, &at)?;
        Ok(config)
    };
    named.iter().map(one).collect()
}

const FIELDS: &str = "device-filter, devices, mig-enabled and mig-devices";

fn entry(node: &Node, at: &At, own: bool) -> Result<MigConfigEntry, FileError> {
    let (mut filter, mut devices, mut enabled, mut instances) = (Vec::new(), None, None, None);
    for (key, node) in map(node, at, &format!("a map with {FIELDS}"))? {
        let at = at.within(key.line, &key.text);
        match key.text.as_str() {
            "device-filter" => filter = device_filter(node, &at)?,
            "devices" => devices = Some(device_names(node, &at, own)?),
            "mig-enabled" => enabled = Some(boolean(node).map_err(|why| at.fault(why))?),
            "mig-devices" if is_null(node) => {}
            "mig-devices" => instances = Some((wanted(node, &at, own)?, at)),
            name => return Err(at.fault(format!("unexpected field {}; expected {FIELDS}", shown(name)))),
        }
    }
    let missing = |what: &str| at.within(at.line, what).fault(format!("{what} is required"));
    let devices = devices.ok_or_else(|| missing("devices"))?;
    let enabled = enabled.ok_or_else(|| missing("mig-enabled"))?;
    let instances = match (enabled, instances) {
        (true, Some((instances, _))) => instances,
        (true, None) => {
            return Err(at
                .within(at.line, "mig-devices")
                .fault("mig-devices is required where mig-enabled is true; {} is not an instance"));
        }
        (false, Some((instances, at))) if !instances.is_empty() => {
            return Err(at.fault("instances are wanted where mig-enabled is false"));
        }
        (false, _) => Vec::new(),
    };
    Ok(MigConfigEntry { line: at.line, filter, devices, enabled, instances })
}

fn device_filter(node: &Node, at: &At) -> Result<Vec<DeviceId>, FileError> {
    let one = |node: &Node, at: &At| {
        let text = text(node).map_err(|why| at.fault(why))?;
        text.parse::<DeviceId>().map_err(|fault| at.fault(fault.to_string()))
    };
    match &node.value {
        Value::Scalar { text, .. } if is_null(node) || text.is_empty() => Ok(Vec::new()),
        Value::Scalar { .. } => Ok(vec![one(node, at)?]),
        Value::List(items) if items.len() > MOST_ENTRIES => Err(at.fault(format!("more than {MOST_ENTRIES} ids"))),
        Value::List(items) => {
            items.iter().enumerate().map(|(index, item)| one(item, &at.item(item.line, index))).collect()
        }
        Value::Map(_) => Err(at.fault("expected a PCI id in quotes, or a list of them")),
    }
}

fn device_names(node: &Node, at: &At, own: bool) -> Result<Devices, FileError> {
    let form = if own { "all, or a list of indices, PCI addresses and UUIDs" } else { "all, or a list of indices" };
    match &node.value {
        Value::Scalar { text, .. } if text == "all" => Ok(Devices::All),
        Value::Scalar { text, .. } => Err(at.fault(format!("{} is not {form}", shown(text)))),
        Value::Map(_) => Err(at.fault(format!("expected {form}"))),
        Value::List(items) if items.len() > MOST_ENTRIES => Err(at.fault(format!("more than {MOST_ENTRIES} GPUs"))),
        Value::List(items) => {
            let mut names: Vec<DeviceName> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let name = device_name(item, &at.item(item.line, index), own)?;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(Devices::These(names))
        }
    }
}

fn device_name(node: &Node, at: &At, own: bool) -> Result<DeviceName, FileError> {
    if let Value::Scalar { text, .. } = &node.value
        && own
    {
        if let Ok(address) = text.parse() {
            return Ok(DeviceName::Address(address));
        }
        if let Ok(uuid) = text.parse() {
            return Ok(DeviceName::Uuid(uuid));
        }
    }
    let index =
        whole_number(node, MOST_INDEX).map_err(|why| at.fault(format!("{why}; expected the index of a GPU")))?;
    Ok(DeviceName::Index(u32::try_from(index).unwrap_or(u32::MAX)))
}

/// The wanted instances. Counts of zero are none; a map of zeros alone is a slip.
fn wanted(node: &Node, at: &At, own: bool) -> Result<Vec<Instances>, FileError> {
    let counts = map(node, at, "a map from profiles to counts, as {1g.10gb: 2}")?;
    let (mut instances, mut seen) = (Vec::new(), BTreeSet::new());
    for (key, node) in counts {
        let at = at.within(key.line, &key.text);
        let (profile, start) = place(&key.text, own).map_err(|why| at.fault(why))?;
        let count = whole_number(node, MOST_COUNT).map_err(|why| at.fault(format!("{why}; expected a count")))?;
        if !seen.insert((profile.canonical(), start)) {
            return Err(at.fault(format!("{} occurs twice", shown(&key.text))));
        }
        if count > 0 {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            instances.push(Instances { profile, start, count });
        }
    }
    if instances.is_empty() && !counts.is_empty() {
        return Err(at.fault("all counts are 0; write {} for no instance"));
    }
    Ok(instances)
}

fn place(text: &str, own: bool) -> Result<(ProfileName, Option<u32>), String> {
    let (name, start) = match text.split_once('@') {
        Some((name, start)) if own => (name, Some(start)),
        _ => (text, None),
    };
    let profile = name.parse::<ProfileName>().map_err(|fault| fault.to_string())?;
    let number = |start: &str| {
        let plain = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_digit());
        start
            .parse::<u32>()
            .ok()
            .filter(|_| plain)
            .ok_or_else(|| format!("the start {:?} is not a memory slot", shown(start)))
    };
    Ok((profile, start.map(number).transpose()?))
}

/// Two entries that name one GPU on whatever host: no host should do work twice.
fn certain_overlap(config: &MigConfig, at: &At) -> Result<(), FileError> {
    let sorted = |entry: &MigConfigEntry| {
        let mut filter = entry.filter.clone();
        filter.sort_unstable();
        let devices = match &entry.devices {
            Devices::All => None,
            Devices::These(names) => Some(names.iter().cloned().collect::<BTreeSet<_>>()),
        };
        (filter, devices)
    };
    let named: Vec<(Vec<DeviceId>, Option<BTreeSet<DeviceName>>)> = config.entries.iter().map(sorted).collect();
    let pairs = config.entries.iter().zip(&named).enumerate();
    for (later, (two, (filter, devices))) in pairs {
        for (earlier, (one, (other_filter, other_devices))) in config.entries.iter().zip(&named).enumerate().take(later)
        {
            let unfiltered = filter.is_empty() && other_filter.is_empty();
            let shared = shares_a_device(devices.as_ref(), other_devices.as_ref());
            if shared && (unfiltered || share_one(filter, other_filter)) {
                let place = at.item(two.line, later).within(two.line, "devices");
                let field = at.item(one.line, earlier).field;
                return Err(place.fault(format!("it names a GPU that {field} (line {}) names too", one.line)));
            }
        }
    }
    Ok(())
}

fn shares_a_device(one: Option<&BTreeSet<DeviceName>>, two: Option<&BTreeSet<DeviceName>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (None, Some(names)) | (Some(names), None) => !names.is_empty(),
        (Some(one), Some(two)) => !one.is_disjoint(two),
    }
}

/// True where two sorted lists have an element in common.
fn share_one<T: Ord>(one: &[T], two: &[T]) -> bool {
    let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
    while let (Some(left), Some(right)) = (one.peek(), two.peek()) {
        match left.cmp(right) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => drop(one.next()),
            std::cmp::Ordering::Greater => drop(two.next()),
        }
    }
    false
}
