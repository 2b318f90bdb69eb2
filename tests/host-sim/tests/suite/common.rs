//! Reads a sysfs tree as plainly as can be, without knowledge of how it was written.

use model::absence::{Absence, Reading};
use model::pci::{
    DrmNodes, FunctionState, GpuFunction, GroupMember, IommuGroup, Mediated, PciScan, PcieLink, PciePort,
    RuntimeStatus, UnreadableFunction,
};
use model::{DriverName, IommuGroupId, PciAddress, PciClass, PciId};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

const UNREADABLE: &str = "EISDIR: Is a directory";

fn attribute<T>(folder: &Path, name: &str, missing: Absence, parse: impl Fn(&str) -> Option<T>) -> Reading<T> {
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => match parse(text.trim_end_matches('\n')) {
            Some(value) => Reading::Known(value),
            None => Reading::Absent(Absence::garbled(text.trim_end_matches('\n'))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Reading::Absent(missing),
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            Reading::Absent(Absence::Unreadable(UNREADABLE.to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn pci_id(folder: &Path, vendor: &str, device: &str) -> Reading<PciId> {
    let part = |name: &str| attribute(folder, name, Absence::NotReported, |text| u16::try_from(hex(text)?).ok());
    match (part(vendor), part(device)) {
        (Reading::Known(vendor), Reading::Known(device)) => Reading::Known(PciId { vendor, device }),
        (Reading::Absent(why), _) | (Reading::Known(_), Reading::Absent(why)) => Reading::Absent(why),
    }
}

fn class(folder: &Path) -> Reading<PciClass> {
    attribute(folder, "class", Absence::NotReported, |text| hex(text).map(PciClass))
}

fn link<T: FromStr>(folder: &Path, name: &str) -> Reading<T> {
    match fs::read_link(folder.join(name)) {
        Ok(target) => {
            assert!(folder.join(name).exists(), "{} dangles", folder.join(name).display());
            let last = target.file_name().unwrap().to_str().unwrap();
            last.parse().map_or_else(|_| Reading::Absent(Absence::garbled(last)), Reading::Known)
        }
        Err(_) => Reading::Absent(Absence::None),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_asleep(state: &FunctionState) -> bool {
    state.runtime == Reading::Known(RuntimeStatus::Suspended)
}

fn state(folder: &Path) -> FunctionState {
    let flag = |name: &str, yes: &str| attribute(folder, name, Absence::NotReported, |text| Some(text == yes));
    let split = |text: &str| Some(text.split_whitespace().map(str::to_owned).collect());
    let types = names(&folder.join("mdev_supported_types"));
    let devices = |kind: &String| names(&folder.join("mdev_supported_types").join(kind).join("devices"));
    let mut state = FunctionState {
        responds: Reading::Absent(Absence::GpuAsleep),
        runtime: attribute(folder, "power/runtime_status", Absence::NotReported, RuntimeStatus::from_name),
        may_sleep: flag("power/control", "auto"),
        d3cold_allowed: flag("d3cold_allowed", "1"),
        removable: flag("removable", "removable"),
        reset_methods: attribute(folder, "reset_method", Absence::NotReported, split),
        mediated: Mediated { devices: types.iter().flat_map(devices).collect(), types, vgpus: Vec::new() },
    };
    if !is_asleep(&state) {
        state.responds = fs::read(folder.join("config"))
            .map_or(Reading::Absent(Absence::NotReported), |bytes| Reading::Known(!bytes.starts_with(&[0xff; 4])));
    }
    state
}

fn pcie(folder: &Path, state: &FunctionState) -> PcieLink {
    let asleep = |reading: Reading<u32>| if is_asleep(state) { Reading::Absent(Absence::GpuAsleep) } else { reading };
    let link = pcie_of(folder);
    PcieLink {
        generation: asleep(link.generation),
        max_generation: link.max_generation,
        width: asleep(link.width),
        max_width: asleep(link.max_width),
        port: if is_asleep(state) { None } else { port(folder) },
    }
}

fn pcie_of(folder: &Path) -> PcieLink {
    let speeds = ["2.5", "5.0", "8.0", "16.0", "32.0", "64.0"];
    let generation = |name: &str| {
        attribute(folder, name, Absence::NotReported, |text| {
            let place = speeds.iter().position(|speed| text == format!("{speed} GT/s PCIe"))?;
            u32::try_from(place + 1).ok()
        })
    };
    let width = |name: &str| {
        attribute(folder, name, Absence::NotReported, |text| text.parse().ok().filter(|lanes| *lanes != 0))
    };
    PcieLink {
        generation: generation("current_link_speed"),
        max_generation: generation("max_link_speed"),
        width: width("current_link_width"),
        max_width: width("max_link_width"),
        port: None,
    }
}

/// The folder above, where it is a PCI function's.
fn port(folder: &Path) -> Option<PciePort> {
    let above = fs::canonicalize(folder).ok()?.parent()?.to_owned();
    let address = above.file_name()?.to_str()?.parse().ok()?;
    let PcieLink { max_generation, max_width, .. } = pcie_of(&above);
    Some(PciePort { address, max_generation, max_width })
}

fn numa_node(folder: &Path) -> Reading<u32> {
    match fs::read_to_string(folder.join("numa_node")).as_deref() {
        Ok("-1\n") => Reading::Absent(Absence::None),
        Ok(_) | Err(_) => attribute(folder, "numa_node", Absence::NotReported, |text| text.parse().ok()),
    }
}

fn driver_override(folder: &Path) -> Reading<String> {
    let name = |text: &str| text.parse::<DriverName>().ok().map(String::from);
    match fs::read_to_string(folder.join("driver_override")).as_deref() {
        Ok("(null)\n") => Reading::Absent(Absence::None),
        Ok(_) | Err(_) => attribute(folder, "driver_override", Absence::NotReported, name),
    }
}

fn gpu(folder: &Path, address: PciAddress, id: PciId, all: &[PciAddress]) -> GpuFunction {
    let in_folder = names(folder);
    let mut virtual_functions: Vec<PciAddress> = in_folder
        .iter()
        .filter(|name| name.starts_with("virtfn"))
        .map(|name| link(folder, name).into_known().unwrap())
        .collect();
    virtual_functions.sort();
    let drm = names(&folder.join("drm"));
    let node = |prefix: &str| drm.iter().find(|name| name.starts_with(prefix)).cloned();
    let states = ["D0", "D1", "D2", "D3hot", "D3cold"];
    GpuFunction {
        address,
        id,
        class: class(folder).get().unwrap(),
        subsystem: pci_id(folder, "subsystem_vendor", "subsystem_device"),
        driver: link(folder, "driver"),
        driver_override: driver_override(folder),
        iommu_group: link::<u32>(folder, "iommu_group").map(IommuGroupId),
        numa_node: numa_node(folder),
        link: pcie(folder, &state(folder)),
        state: state(folder),
        boot_vga: attribute(folder, "boot_vga", Absence::None, |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }),
        drm: DrmNodes { card: node("card"), render: node("renderD") },
        companions: all
            .iter()
            .filter(|other| other.same_card(address) && **other != address && !virtual_functions.contains(other))
            .copied()
            .collect(),
        virtual_functions,
        physical_function: link(folder, "physfn").into_known(),
        power_state: attribute(folder, "power_state", Absence::NotReported, |text| {
            states.contains(&text).then(|| text.to_owned())
        }),
        name: None,
        vendor_name: None,
    }
}

fn unreadable(address: PciAddress, name: &str, why: &Absence) -> UnreadableFunction {
    let said = match why {
        Absence::Unreadable(said) => said.clone(),
        Absence::Garbled(text) => format!("{text:?} has no meaning here"),
        other => panic!("{other:?}"),
    };
    let path = format!("/sys/bus/pci/devices/{address}/{name}");
    UnreadableFunction { name: address.to_string(), path, said }
}

fn group(sys: &Path, id: IommuGroupId) -> IommuGroup {
    let folder = sys.join(format!("kernel/iommu_groups/{id}"));
    let members = names(&folder.join("devices")).into_iter().filter_map(|name| {
        let member = folder.join("devices").join(&name);
        member.exists().then(|| GroupMember {
            address: name.parse().unwrap(),
            id: pci_id(&member, "vendor", "device"),
            class: class(&member),
            driver: link(&member, "driver"),
        })
    });
    IommuGroup {
        id,
        kind: attribute(&folder, "type", Absence::NotReported, |text| Some(text.to_owned())),
        members: members.collect(),
    }
}

/// The scan of a tree. Names of the hardware database are left out: they are no part of sysfs.
pub(crate) fn scan(sys: &Path) -> PciScan {
    let bus = sys.join("bus/pci/devices");
    let listed = names(&bus).into_iter().filter(|name| bus.join(name).exists());
    let all: Vec<PciAddress> = listed.map(|name| name.parse().unwrap()).collect();
    let mut scan = PciScan { functions_total: u32::try_from(all.len()).unwrap(), ..PciScan::default() };
    for address in &all {
        let folder = bus.join(address.to_string());
        let class = match class(&folder) {
            Reading::Known(class) => class,
            Reading::Absent(why) => {
                scan.unreadable.push(unreadable(*address, "class", &why));
                continue;
            }
        };
        let nvswitch = class.base_and_sub() == 0x0680;
        if !class.is_gpu() && !nvswitch {
            continue;
        }
        let number = |name: &str| attribute(&folder, name, Absence::NotReported, hex);
        let needed: &[&str] = if nvswitch { &["vendor"] } else { &["vendor", "device"] };
        if let Some((name, why)) = needed.iter().find_map(|name| Some((name, number(name).absence()?.clone()))) {
            scan.unreadable.push(unreadable(*address, name, &why));
        } else if nvswitch {
            scan.nvswitches.extend((number("vendor").get() == Some(0x10de)).then_some(*address));
        } else if link::<PciAddress>(&folder, "physfn").known().is_none() {
            let id = pci_id(&folder, "vendor", "device").get().unwrap();
            scan.gpus.push(gpu(&folder, *address, id, &all));
        }
    }
    let mut ids: Vec<IommuGroupId> = scan.gpus.iter().filter_map(|gpu| gpu.iommu_group.get()).collect();
    ids.sort();
    ids.dedup();
    scan.groups = ids.into_iter().map(|id| group(sys, id)).collect();
    scan.iommu_groups_total = u32::try_from(names(&sys.join("kernel/iommu_groups")).len()).unwrap();
    scan
}
