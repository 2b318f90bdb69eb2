//! The device numbers by which the functions of a scope can be used.

use super::Places;
use model::ids::PciAddress;
use model::plan::{Lane, Scope};
use nix::sys::stat::{SFlag, makedev, stat};
use std::collections::BTreeMap;
use std::path::Path;

/// NVIDIA's fixed major number (`/dev/nvidia0` and on; Documentation/admin-guide/devices.txt).
const NVIDIA_MAJOR: u64 = 195;
/// Folders below a function are followed this deep: `drm/card0/…`, `sound/card1/pcmC1D3p`, `i2c-4/i2c-dev/i2c-4`.
const DEPTH: u8 = 4;

/// Character devices, with the function that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_number: BTreeMap<u64, PciAddress>,
    names: Vec<String>,
}

impl Nodes {
    /// All nodes of the scope: what the drivers registered below its functions, NVIDIA's own, the group's.
    pub(super) fn of(places: &Places, scope: &Scope) -> Self {
        let mut nodes = Self::default();
        for address in &scope.members {
            let folder = places.sysfs.join("bus/pci/devices").join(address.to_string());
            nodes.below(&folder, *address, 0);
            nodes.nvidia(&places.proc, *address);
        }
        if let Lane::Group(id) = scope.lane {
            nodes.node(&places.dev.join("vfio").join(id.to_string()), scope.gpu);
        }
        nodes
    }

    /// The function behind a device number.
    pub(super) fn function(&self, number: u64) -> Option<PciAddress> {
        self.by_number.get(&number).copied()
    }

    /// A mapped file of this path may be one of them: it is worth a closer look.
    pub(super) fn may_be(&self, path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|name| self.names.iter().any(|known| known == name))
    }

    fn add(&mut self, number: u64, name: &str, address: PciAddress) {
        self.by_number.insert(number, address);
        self.names.push(name.to_owned());
    }

    /// Each `dev` file below a function is a node that its driver registered.
    fn below(&mut self, folder: &Path, address: PciAddress, depth: u8) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // Links lead out of the function (`subsystem`, `driver`), and other functions lie below bridges only.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < DEPTH && name.parse::<PciAddress>().is_err() {
                self.below(&entry.path(), address, depth.saturating_add(1));
            } else if name == "dev"
                && let Some(number) = std::fs::read_to_string(entry.path()).ok().and_then(|text| parse(&text))
            {
                let node = folder.file_name().map(|name| name.to_string_lossy().into_owned());
                self.add(number, &node.unwrap_or_default(), address);
            }
        }
    }

    /// The NVIDIA driver registers nothing in sysfs; it says the minor number in its own folder.
    fn nvidia(&mut self, proc: &Path, address: PciAddress) {
        let file = proc.join("driver/nvidia/gpus").join(address.to_string()).join("information");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:")?.trim().parse::<u64>().ok());
        if let Some(minor) = minor {
            self.add(makedev(NVIDIA_MAJOR, minor), &format!("nvidia{minor}"), address);
        }
    }

    fn node(&mut self, path: &Path, address: PciAddress) {
        let Ok(status) = stat(path) else { return };
        if status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            self.add(status.st_rdev, &name.unwrap_or_default(), address);
        }
    }
}

/// `226:128`.
fn parse(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}
