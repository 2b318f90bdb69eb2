//! The PCI functions and the IOMMU groups of `/sys`, in the kernel's own layout, so that the archive can be scanned again.

use super::basket::{BasketFile, Tell};
use super::files::one;
use super::root::{Miss, Root};
use model::snapshot::allow;
use model::{PciAddress, PciClass};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// No bus has more functions, and no machine more groups.
const FUNCTIONS_MAX: usize = 65_536;
/// No function has more links or nodes that are looked at.
const LINKS_MAX: usize = 1_024;
/// An attribute that shows what a function is.
const SHORT_BYTES: usize = 256;

/// A function of the bus.
struct Function {
    address: String,
    /// Its folder below `/sys`.
    folder: String,
    class: Option<PciClass>,
    group: Option<String>,
}

/// Reads them below the root of the file system. Blocking.
pub(super) fn read(root: &Path, tell: &Tell) {
    let sys = match Root::open(&root.join("sys")) {
        Ok(sys) => sys,
        Err(miss) => return missed(tell, "/sys", &miss),
    };
    let functions = match sys.names("bus/pci/devices", FUNCTIONS_MAX) {
        Ok(names) => names.into_iter().filter_map(|name| function(&sys, name, tell)).collect::<Vec<_>>(),
        Err(miss) => return missed(tell, "/sys/bus/pci/devices", &miss),
    };
    let told: BTreeMap<&str, bool> = close_to_a_gpu(&functions);
    for function in &functions {
        write_function(&sys, function, told.get(function.address.as_str()).copied().unwrap_or(false), tell);
    }
    groups(&sys, &functions, tell);
}

fn missed(tell: &Tell, what: &str, miss: &Miss) {
    tell.tell(BasketFile::Missed { what: what.to_owned(), why: miss.to_string() });
}

/// Where the function is, and what decides how much of it is read.
fn function(sys: &Root, address: String, tell: &Tell) -> Option<Function> {
    let listed = format!("bus/pci/devices/{address}");
    let parsed = address.parse::<PciAddress>().ok().filter(|parsed| parsed.to_string() == address);
    let target = sys.link("bus/pci/devices", &address);
    let folder = match (parsed, target) {
        (Some(_), Ok(target)) => resolved("bus/pci/devices", &target).filter(|folder| folder.starts_with("devices/")),
        (None, _) => None,
        (Some(_), Err(miss)) => {
            missed(tell, &format!("/sys/{listed}"), &miss);
            return None;
        }
    };
    let Some(folder) = folder else {
        let why = "it is not a link to a PCI function in /sys/devices".to_owned();
        tell.tell(BasketFile::Missed { what: format!("/sys/{listed}"), why });
        return None;
    };
    let class = sys.read(&format!("{folder}/class"), SHORT_BYTES).ok();
    let class = class.and_then(|bytes| hex(&bytes)).map(PciClass);
    let group = sys.link(&folder, "iommu_group").ok().and_then(|to| last(&to).map(str::to_owned));
    Some(Function { address, folder, class, group })
}

fn hex(bytes: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(bytes).ok()?.trim().strip_prefix("0x")?, 16).ok()
}

fn last(path: &str) -> Option<&str> {
    path.rsplit('/').next()
}

/// Functions of which everything allowed is read: GPUs, bridges, and whatever shares a group or a slot with a GPU.
fn close_to_a_gpu(functions: &[Function]) -> BTreeMap<&str, bool> {
    let is_gpu = |function: &&Function| function.class.is_some_and(PciClass::is_gpu);
    let slot = |function: &Function| function.address.rsplit_once('.').map(|(slot, _)| slot.to_owned());
    let gpus = || functions.iter().filter(is_gpu);
    let groups: BTreeSet<&str> = gpus().filter_map(|gpu| gpu.group.as_deref()).collect();
    let slots: BTreeSet<String> = gpus().filter_map(slot).collect();
    let is_bridge = |function: &Function| function.class.is_some_and(|class| class.0 >> 16 == 0x06);
    let close = |function: &Function| {
        is_bridge(function)
            || function.group.as_deref().is_some_and(|group| groups.contains(group))
            || slot(function).is_some_and(|slot| slots.contains(&slot))
    };
    functions.iter().map(|function| (function.address.as_str(), is_gpu(&function) || close(function))).collect()
}

fn write_function(sys: &Root, function: &Function, all: bool, tell: &Tell) {
    let Function { address, folder, .. } = function;
    let up = "../".repeat(3);
    tell.tell(BasketFile::Link { path: format!("sys/bus/pci/devices/{address}"), target: format!("{up}{folder}") });
    let attribute = |name: &str| one_of(sys, &format!("{folder}/{name}"), tell);
    allow::FUNCTION.into_iter().for_each(attribute);
    for name in allow::LINKS {
        link(sys, folder, name, tell);
    }
    if !all {
        return;
    }
    allow::FUNCTION_MORE.into_iter().for_each(attribute);
    for name in allow::POWER {
        attribute(&format!("power/{name}"));
    }
    let links = sys.names(folder, LINKS_MAX).unwrap_or_default();
    for name in links.iter().filter(|name| allow::is_virtual_function(name)) {
        link(sys, folder, name, tell);
    }
    let nodes = sys.names(&format!("{folder}/drm"), LINKS_MAX).unwrap_or_default();
    for name in nodes.iter().filter(|name| allow::is_drm_node(name)) {
        attribute(&format!("drm/{name}/dev"));
    }
}

fn one_of(sys: &Root, path: &str, tell: &Tell) {
    one(sys, "sys", path, tell);
}

/// A link of a function, if it stays within `/sys`.
fn link(sys: &Root, folder: &str, name: &str, tell: &Tell) {
    let path = format!("sys/{folder}/{name}");
    match sys.link(folder, name) {
        Ok(target) if resolved(folder, &target).is_some() => tell.tell(BasketFile::Link { path, target }),
        Ok(_) => missed(tell, &format!("/{path}"), &Miss::NotPlain),
        Err(Miss::Missing) => {}
        Err(miss) => missed(tell, &format!("/{path}"), &miss),
    }
}

/// The groups, with the members that they themselves list.
fn groups(sys: &Root, functions: &[Function], tell: &Tell) {
    let home = "kernel/iommu_groups";
    let groups = match sys.names(home, FUNCTIONS_MAX) {
        Ok(groups) => groups,
        Err(Miss::Missing) => return,
        Err(miss) => return missed(tell, &format!("/sys/{home}"), &miss),
    };
    let folders: BTreeMap<&str, &str> = functions.iter().map(|f| (f.address.as_str(), f.folder.as_str())).collect();
    for group in groups.iter().filter(|group| group.bytes().all(|byte| byte.is_ascii_digit())) {
        for name in allow::GROUP {
            one_of(sys, &format!("{home}/{group}/{name}"), tell);
        }
        let members = sys.names(&format!("{home}/{group}/devices"), FUNCTIONS_MAX).unwrap_or_default();
        for member in &members {
            let Some(folder) = folders.get(member.as_str()) else { continue };
            let target = format!("{}{folder}", "../".repeat(4));
            tell.tell(BasketFile::Link { path: format!("sys/{home}/{group}/devices/{member}"), target });
        }
    }
}

/// Where a relative link leads, below the same root; `None` where it leads out of it or is absolute.
fn resolved(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn a_link_stays_below_the_root_or_is_none() {
        let to = |target| resolved("bus/pci/devices", target);
        assert_eq!(to("../../../devices/pci0000:00/x").as_deref(), Some("devices/pci0000:00/x"));
        assert_eq!(to("../../../../etc/shadow"), None);
        assert_eq!(to("/etc/shadow"), None);
        assert_eq!(to("./../../.."), Some(String::new()));
    }
}
