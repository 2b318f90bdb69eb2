//! What sysfs reports about one display-class function without taking the device's lock.

use super::attribute::{Miss, Tree, reading};
use super::listing::names_in;
use super::memory::{Fixed, once};
use super::{Seen, parse, state};
use model::absence::{Absence, Reading};
use model::ids::{DriverName, IommuGroupId, PciAddress, PciClass, PciId};
use model::pci::{DrmNodes, GpuFunction, PcieLink, PciePort, UnreadableFunction};

/// Subclass of a VGA controller: only these have a `boot_vga` file.
const VGA: u32 = 0x0300;

/// Reads one function; `None` where it vanished meanwhile.
///
/// # Errors
/// It is there, and its vendor or device cannot be read: without an identity it is no GPU that could be named.
pub(super) fn read(
    tree: &mut Tree,
    seen: &Seen,
    address: PciAddress,
    class: PciClass,
) -> Result<Option<GpuFunction>, UnreadableFunction> {
    let name = seen.name.as_str();
    let id = match seen.identity(tree) {
        Ok(id) => id,
        Err(_) if !tree.exists(name) => return Ok(None),
        Err((attribute, miss)) => return Err(super::unreadable(tree, name, attribute, miss.to_string())),
    };
    let (drm, virtual_functions) = (drm(tree, name), virtual_functions(tree, name));
    let state = state::read(tree, name, &virtual_functions);
    let mut fixed = seen.fixed.borrow_mut();
    let gpu = GpuFunction {
        address,
        id,
        class,
        subsystem: reading(once(&mut fixed.subsystem, || subsystem(tree, name)), Absence::NotReported),
        driver: driver(tree, name),
        // The kernel takes the device's lock to show it, and a scan must end whatever a driver does.
        driver_override: Reading::Absent(Absence::NotRead),
        iommu_group: reading(iommu_group(tree, name), Absence::None),
        numa_node: numa_node(tree, name),
        link: link(tree, name, &mut fixed, state::is_asleep(&state)),
        boot_vga: boot_vga(tree, name, class),
        drm,
        virtual_functions,
        physical_function: None,
        power_state: reading(tree.parsed(name, "power_state", parse::power_state), Absence::NotReported),
        state,
        companions: Vec::new(),
        name: None,
        vendor_name: None,
    };
    // A link that is missing because the whole function has gone must not pass for "no driver bound".
    Ok(tree.exists(name).then_some(gpu))
}

/// Vendor and device, or the attribute that failed.
pub(super) fn identity(tree: &mut Tree, name: &str) -> Result<PciId, (&'static str, Miss)> {
    let vendor = tree.parsed(name, "vendor", parse::word16).map_err(|miss| ("vendor", miss))?;
    let device = tree.parsed(name, "device", parse::word16).map_err(|miss| ("device", miss))?;
    Ok(parse::id(vendor, device))
}

/// The bound driver; no link means that none is bound.
pub(super) fn driver(tree: &mut Tree, name: &str) -> Reading<DriverName> {
    reading(tree.link(name, "driver"), Absence::None)
}

/// The number of the IOMMU group.
pub(super) fn iommu_group(tree: &mut Tree, name: &str) -> Result<IommuGroupId, Miss> {
    tree.link::<u32>(name, "iommu_group").map(IommuGroupId)
}

pub(super) fn subsystem(tree: &mut Tree, name: &str) -> Result<PciId, Miss> {
    let vendor = tree.parsed(name, "subsystem_vendor", parse::word16)?;
    Ok(parse::id(vendor, tree.parsed(name, "subsystem_device", parse::word16)?))
}

fn numa_node(tree: &mut Tree, name: &str) -> Reading<u32> {
    match tree.parsed(name, "numa_node", parse::numa_node) {
        Ok(Some(node)) => Reading::Known(node),
        Ok(None) => Reading::Absent(Absence::None),
        Err(miss) => Reading::Absent(miss.absence(Absence::NotReported)),
    }
}

/// Newer kernels wake a sleeping device to read these; of the highest speed alone they know without asking it.
fn link(tree: &mut Tree, name: &str, fixed: &mut Fixed, is_asleep: bool) -> PcieLink {
    let highest = once(&mut fixed.max_generation, || tree.parsed(name, "max_link_speed", parse::generation));
    let max_generation = reading(highest, Absence::NotReported);
    if is_asleep {
        let (generation, width) = (Reading::Absent(Absence::GpuAsleep), Reading::Absent(Absence::GpuAsleep));
        return PcieLink { generation, max_generation, max_width: width.clone(), width, port: None };
    }
    let generation = reading(tree.parsed(name, "current_link_speed", parse::generation), Absence::NotReported);
    let width = reading(tree.parsed(name, "current_link_width", parse::width), Absence::NotReported);
    let most = once(&mut fixed.max_width, || tree.parsed(name, "max_link_width", parse::width));
    let max_width = reading(most, Absence::NotReported);
    let port = fixed.port.clone().or_else(|| port(tree, name));
    fixed.port = port.clone().filter(|port| port.max_generation.known().and(port.max_width.known()).is_some());
    PcieLink { generation, max_generation, width, max_width, port }
}

/// The other end of the link.
fn port(tree: &mut Tree, name: &str) -> Option<PciePort> {
    let address = tree.above(name)?;
    let bridge = address.to_string();
    let max_generation = reading(tree.parsed(&bridge, "max_link_speed", parse::generation), Absence::NotReported);
    let max_width = reading(tree.parsed(&bridge, "max_link_width", parse::width), Absence::NotReported);
    Some(PciePort { address, max_generation, max_width })
}

/// The firmware's display: what `boot_vga` reports about VGA controllers, and from Linux 6.18 on `boot_display` of every other
/// class too.
fn boot_vga(tree: &mut Tree, name: &str, class: PciClass) -> Reading<bool> {
    if tree.parsed(name, "boot_display", parse::flag) == Ok(true) {
        return Reading::Known(true);
    }
    let missing = if class.base_and_sub() == VGA { Absence::NotReported } else { Absence::None };
    reading(tree.parsed(name, "boot_vga", parse::flag), missing)
}

fn drm(tree: &Tree, name: &str) -> DrmNodes {
    let nodes: Vec<String> = names_in(tree, name, "drm").collect();
    let first = |prefix: &str| {
        let numbers = nodes.iter().filter_map(|node| parse::node_number(node, prefix));
        numbers.min().map(|number| format!("{prefix}{number}"))
    };
    DrmNodes { card: first("card"), render: first("renderD") }
}

fn virtual_functions(tree: &mut Tree, name: &str) -> Vec<PciAddress> {
    // The first one is missing on nearly every GPU, and shows it for one call instead of a listing.
    if let Err(Miss::Missing) = tree.link::<PciAddress>(name, "virtfn0") {
        return Vec::new();
    }
    let links: Vec<String> = names_in(tree, name, "").filter(|link| link.starts_with("virtfn")).collect();
    links.iter().filter_map(|link| tree.link(name, link).ok()).collect()
}
