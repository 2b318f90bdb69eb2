//! One scan of the PCI bus and the IOMMU groups, by reading sysfs and nothing else.

mod attribute;
mod console;
mod function;
mod group;
mod group_state;
mod listing;
mod memory;
mod names;
mod parse;
mod sensors;
mod state;

pub use group_state::Surroundings;

use attribute::{Miss, Tree};
use memory::{Fixed, Memory, Remembered, once};
use model::ids::{PciAddress, PciClass, PciId};
use model::os_cause::OsCause;
use model::pci::{GpuFunction, PciScan, UnreadableFunction, VENDOR_NVIDIA};
use model::ports::ScanError;
use model::printable::printable;
use names::Names;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;

/// Class and subclass of an NVSwitch (bridge, other).
const OTHER_BRIDGE: u32 = 0x0680;

/// The sysfs of a host. Cheap to keep: between two scans it holds what cannot change of known functions, and no open file.
#[derive(Debug)]
pub struct Sysfs {
    root: PathBuf,
    names: Names,
    memory: Memory,
}

/// A function as the list of the bus and its `class` file show it.
#[derive(Debug)]
struct Seen {
    /// The name of its folder, which is its address as the kernel writes it.
    name: String,
    class: Result<PciClass, Miss>,
    /// The inode number of its entry.
    inode: u64,
    /// What cannot change while it stays.
    fixed: RefCell<Fixed>,
}

impl Seen {
    /// Vendor and device, or the attribute that failed.
    fn identity(&self, tree: &mut Tree) -> Result<PciId, (&'static str, Miss)> {
        let mut fixed = self.fixed.borrow_mut();
        if let Some(id) = fixed.id {
            return Ok(id);
        }
        let id = function::identity(tree, &self.name)?;
        fixed.id = Some(id);
        Ok(id)
    }
}

type Bus = BTreeMap<PciAddress, Seen>;

impl Sysfs {
    /// The sysfs mounted at `root` (`/sys`).
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), names: Names::default(), memory: Memory::default() }
    }

    /// Scans the bus. Blocking, pure reads. A function that is no GPU and shares no group with one costs three calls of the kernel
    /// in the first scan, and none in those after it.
    ///
    /// # Errors
    /// Only where `bus/pci/devices` cannot be listed; one bad function costs itself.
    pub fn scan(&self) -> Result<PciScan, ScanError> {
        let path = self.root.join("bus/pci/devices");
        let fault = |cause: OsCause| ScanError { path: path.display().to_string(), cause };
        let listed = std::fs::read_dir(&path).map_err(|error| fault(error.into()))?;
        let mut tree = Tree::open(&path).map_err(|errno| fault(std::io::Error::from(errno).into()))?;
        let mut scan = PciScan::default();
        let mut bus = Bus::new();
        let mut remembered = self.memory.take(&tree);
        for entry in listed {
            let entry = entry.map_err(|error| fault(error.into()))?;
            take_entry(&mut tree, &mut remembered, &entry, &mut bus, &mut scan);
        }
        read_gpus(&mut tree, &bus, &mut scan);
        read_nvswitches(&mut tree, &bus, &mut scan);
        group::read(&self.root, &mut tree, &bus, &mut scan);
        let known = bus.into_iter().map(|(address, seen)| (address, (seen.inode, seen.fixed.into_inner())));
        self.memory.keep(known.collect());
        for gpu in &mut scan.gpus {
            (gpu.vendor_name, gpu.name) = self.names.of(gpu.id);
        }
        Ok(scan)
    }
}

fn take_entry(tree: &mut Tree, remembered: &mut Remembered, entry: &DirEntry, bus: &mut Bus, scan: &mut PciScan) {
    let name = entry.file_name();
    let Some(name) = name.to_str() else {
        let said = "the name of the directory is not text".to_owned();
        scan.unreadable.push(unreadable(tree, "?", "", said));
        return;
    };
    let address = match name.parse::<PciAddress>() {
        Ok(address) if tree.is_canonical(address, name) => address,
        Ok(_) => {
            scan.unreadable.push(unreadable(tree, name, "", "not an address in the kernel's format".to_owned()));
            return;
        }
        Err(error) => {
            scan.unreadable.push(unreadable(tree, name, "", error.to_string()));
            return;
        }
    };
    let inode = entry.ino();
    let mut fixed = remembered.of(address, inode);
    let class = once(&mut fixed.class, || tree.parsed(name, "class", parse::class));
    if let Err(miss) = &class {
        if !tree.exists(name) {
            return;
        }
        scan.unreadable.push(unreadable(tree, name, "class", miss.to_string()));
    }
    scan.functions_total = scan.functions_total.saturating_add(1);
    bus.insert(address, Seen { name: name.to_owned(), class, inode, fixed: RefCell::new(fixed) });
}

/// Physical functions first, so that a virtual one knows whether the card it belongs to is on this host.
fn read_gpus(tree: &mut Tree, bus: &Bus, scan: &mut PciScan) {
    let mut virtual_functions = Vec::new();
    for (&address, seen) in bus.iter().filter(|(_, seen)| seen.class.as_ref().is_ok_and(|class| class.is_gpu())) {
        match tree.link::<PciAddress>(&seen.name, "physfn") {
            Ok(physical) => virtual_functions.push((address, seen, Some(physical))),
            Err(Miss::Missing) => take_gpu(tree, address, seen, scan),
            Err(_) => virtual_functions.push((address, seen, None)),
        }
    }
    for (address, seen, physical) in virtual_functions {
        let card = physical.and_then(|card| scan.gpus.iter_mut().find(|gpu| gpu.address == card));
        if let Some(card) = card {
            if !card.virtual_functions.contains(&address) {
                card.virtual_functions.push(address);
            }
        } else if !scan.gpus.iter().any(|gpu| gpu.virtual_functions.contains(&address)) {
            take_gpu(tree, address, seen, scan);
            if let Some(gpu) = scan.gpus.last_mut().filter(|gpu| gpu.address == address) {
                gpu.physical_function = physical.filter(|card| bus.contains_key(card));
            }
        }
    }
    for gpu in &mut scan.gpus {
        gpu.virtual_functions.sort_unstable();
        gpu.companions = companions(bus, gpu);
    }
    scan.gpus.sort_unstable_by_key(|gpu| gpu.address);
}

fn take_gpu(tree: &mut Tree, address: PciAddress, seen: &Seen, scan: &mut PciScan) {
    let Ok(class) = seen.class else { return };
    match function::read(tree, seen, address, class) {
        Ok(Some(gpu)) => scan.gpus.push(gpu),
        Ok(None) => scan.functions_total = scan.functions_total.saturating_sub(1),
        Err(fault) => scan.unreadable.push(fault),
    }
}

/// The other functions of the card. Its virtual functions may share the slot, and are no part of it.
fn companions(bus: &Bus, gpu: &GpuFunction) -> Vec<PciAddress> {
    let first = PciAddress { function: 0, ..gpu.address };
    bus.range(first..)
        .map(|(address, _)| *address)
        .take_while(|address| address.same_card(gpu.address))
        .filter(|address| *address != gpu.address && !gpu.virtual_functions.contains(address))
        .collect()
}

fn read_nvswitches(tree: &mut Tree, bus: &Bus, scan: &mut PciScan) {
    let bridges = bus.iter().filter(|(_, s)| s.class.as_ref().is_ok_and(|c| c.base_and_sub() == OTHER_BRIDGE));
    for (address, seen) in bridges {
        match seen.identity(tree) {
            Ok(PciId { vendor: VENDOR_NVIDIA, .. }) => scan.nvswitches.push(*address),
            Ok(_) => {}
            Err((attribute, miss)) => scan.unreadable.push(unreadable(tree, &seen.name, attribute, miss.to_string())),
        }
    }
}

fn unreadable(tree: &Tree, name: &str, attribute: &str, said: String) -> UnreadableFunction {
    let name = shown(name);
    let path = tree.path().join(&name).join(attribute).display().to_string();
    UnreadableFunction { name, path: path.trim_end_matches('/').to_owned(), said }
}

/// The name of a folder as it is shown: 64 characters of it, and nothing that a terminal would obey.
fn shown(name: &str) -> String {
    printable(name, 64)
}
