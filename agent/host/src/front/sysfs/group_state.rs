//! A close look at one GPU's functions and IOMMU group, for a change: read afresh, with a reason for whatever cannot be read.

use super::attribute::{Miss, Tree, reading};
use super::console::{self, Firmware};
use super::listing::names;
use super::{Sysfs, function, parse};
use model::absence::{Absence, Reading};
use model::ids::{DriverName, IommuGroupId, PciAddress};
use model::os_cause::OsCause;
use model::passthrough::variant::{self, Identity};
use model::plan::{GroupState, MemberState, ModuleState, PowerControl, Scope};
use model::printable::printable;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// depmod's lists of a distribution with all modules have a quarter of it.
const LIST_MAX_BYTES: usize = 8 * 1024 * 1024;
/// An attribute of sysfs is no larger than a page.
const LINE_MAX_BYTES: usize = 4096;

/// Where else than in sysfs a close look has to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `/dev`.
    pub dev: PathBuf,
    /// `/lib/modules/RELEASE` of the running kernel.
    pub modules: PathBuf,
}

impl Surroundings {
    /// Those of the running system.
    #[must_use]
    pub fn of_this_host() -> Self {
        let release = nix::sys::utsname::uname().map(|u| u.release().to_owned()).unwrap_or_default();
        Self { dev: "/dev".into(), modules: Path::new("/lib/modules").join(release) }
    }
}

impl Sysfs {
    /// Reads the functions of a scope and the group of its GPU. Pure reads; a function that has gone is left out. For a child
    /// that can be given up: `driver_override` and `sriov_numvfs` wait for the device's lock, which may be for ever.
    ///
    /// # Errors
    /// The bus cannot be opened at all.
    pub fn group_state(&self, around: &Surroundings, scope: &Scope) -> Result<GroupState, OsCause> {
        let folder = self.root.join("bus/pci/devices");
        let mut tree = Tree::open(&folder).map_err(|errno| {
            let cause = OsCause::from(std::io::Error::from(errno));
            OsCause { said: format!("cannot open {}: {cause}", folder.display()), ..cause }
        })?;
        let gpu = scope.gpu.to_string();
        let group = reading(function::iommu_group(&mut tree, &gpu), Absence::None);
        let addresses: BTreeSet<PciAddress> =
            self.group_members(&group).into_iter().chain(scope.members.iter().copied()).collect();
        let firmware = Firmware::of(&self.root);
        let members = addresses.into_iter().filter_map(|address| member(&mut tree, address, &firmware)).collect();
        let variant = self.variant(&mut tree, around, &gpu);
        let wanted = variant.as_ref().map_or("vfio-pci", DriverName::as_str);
        Ok(GroupState {
            no_iommu: self.is_no_iommu(&group),
            vfio_node: group.get().is_some_and(|id| around.dev.join("vfio").join(id.to_string()).exists()),
            module: self.module(around, wanted),
            group,
            members,
            variant,
        })
    }

    fn group_members(&self, group: &Reading<IommuGroupId>) -> Vec<PciAddress> {
        let Some(id) = group.get() else { return Vec::new() };
        let folder = self.root.join("kernel/iommu_groups").join(id.to_string()).join("devices");
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// `vfio_noiommu_enabled` gives devices without an IOMMU groups of their own, whose name is `vfio-noiommu`.
    fn is_no_iommu(&self, group: &Reading<IommuGroupId>) -> bool {
        let named = group.get().and_then(|id| {
            let path = self.root.join("kernel/iommu_groups").join(id.to_string()).join("name");
            // An attribute of the kernel: where its read hangs, so does this look, and its deadline ends it.
            std::fs::read_to_string(path).ok()
        });
        named.is_some_and(|name| name.trim() == "vfio-noiommu")
    }

    fn variant(&self, tree: &mut Tree, around: &Surroundings, gpu: &str) -> Option<DriverName> {
        let aliases = files::read_text(&around.modules.join("modules.alias"), LIST_MAX_BYTES).ok()?;
        let id = function::identity(tree, gpu).ok()?;
        let subsystem = function::subsystem(tree, gpu).ok()?;
        let class = tree.parsed(gpu, "class", parse::class).ok()?;
        variant::best(&aliases, Identity { id, subsystem, class })
    }

    /// A folder of the bus's drivers reports that it is loaded; a line of depmod's that it can be.
    fn module(&self, around: &Surroundings, driver: &str) -> ModuleState {
        let wanted = driver.replace('-', "_");
        let drivers = std::fs::read_dir(self.root.join("bus/pci/drivers")).into_iter().flatten().flatten();
        let mut names = drivers.filter_map(|entry| entry.file_name().into_string().ok());
        if names.any(|name| name.replace('-', "_") == wanted) {
            return ModuleState::Loaded;
        }
        let listed = |file: &str| {
            let text = files::read_text(&around.modules.join(file), LIST_MAX_BYTES).unwrap_or_default();
            text.lines().any(|line| is_module(line, &wanted))
        };
        if listed("modules.dep") || listed("modules.builtin") { ModuleState::Loadable } else { ModuleState::Missing }
    }
}

/// `kernel/drivers/vfio/pci/vfio-pci.ko.zst: …` is about `vfio_pci`.
fn is_module(line: &str, wanted: &str) -> bool {
    let path = line.split(':').next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().is_some_and(|name| name.replace('-', "_") == wanted)
}

fn member(tree: &mut Tree, address: PciAddress, firmware: &Firmware) -> Option<MemberState> {
    let name = address.to_string();
    let folder = tree.path().join(&name);
    let id = function::identity(tree, &name).map_err(|(_, miss): (_, Miss)| miss);
    let class = reading(tree.parsed(&name, "class", parse::class), Absence::NotReported);
    let state = MemberState {
        address,
        id: reading(id, Absence::NotReported),
        driver: function::driver(tree, &name),
        driver_override: driver_override(tree, &name),
        d3cold_allowed: reading(tree.parsed(&name, "d3cold_allowed", parse::flag), Absence::None),
        power_control: reading(tree.parsed(&name, "power/control", power_control), Absence::None),
        mediated_devices: mediated_devices(&folder),
        virtual_functions: reading(tree.parsed(&name, "sriov_numvfs", |text| text.parse().ok()), Absence::None),
        console: console::on(&folder, address, class.get(), firmware),
        class,
        usb_devices: usb_devices(&folder),
    };
    // What is missing because the whole function has gone must not pass for "no driver bound".
    tree.exists(&name).then_some(state)
}

fn driver_override(tree: &mut Tree, name: &str) -> Reading<DriverName> {
    match tree.text(name, "driver_override") {
        Ok("(null)" | "") => Reading::Absent(Absence::None),
        Ok(text) => text.parse().map_or_else(|_| Reading::Absent(Absence::garbled(text)), Reading::Known),
        Err(miss) => Reading::Absent(miss.absence(Absence::NotReported)),
    }
}

fn power_control(text: &str) -> Option<PowerControl> {
    [PowerControl::Auto, PowerControl::On].into_iter().find(|control| control.code() == text)
}

fn mediated_devices(folder: &Path) -> Reading<u32> {
    let types = folder.join("mdev_supported_types");
    if !types.exists() {
        return Reading::Absent(Absence::None);
    }
    let devices = names(&types).into_iter().map(|kind| names(&types.join(kind).join("devices")).len());
    Reading::Known(u32::try_from(devices.sum::<usize>()).unwrap_or(u32::MAX))
}

/// What is plugged into a USB controller, hubs left out: `usb1/1-2` with its product.
fn usb_devices(folder: &Path) -> Vec<String> {
    let buses = names(folder).into_iter().filter(|name| name.starts_with("usb"));
    let mut found = Vec::new();
    for bus in buses {
        below_bus(&folder.join(bus), &mut found, 0);
    }
    found.sort();
    found
}

/// Hubs go seven deep at most (USB 2.0, 4.1.1).
fn below_bus(folder: &Path, found: &mut Vec<String>, depth: u8) {
    let ports = names(folder).into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_digit()));
    for port in ports.filter(|name| !name.contains(':')) {
        let device = folder.join(&port);
        let line = |file: &str| files::read_text(&device.join(file), LINE_MAX_BYTES).ok();
        let text = |file: &str| line(file).map(|text| text.trim().to_owned());
        if text("bDeviceClass").as_deref() == Some("09") && depth < 7 {
            below_bus(&device, found, depth.saturating_add(1));
        } else {
            let product = text("product").filter(|product| !product.is_empty());
            let product = product.map(|text| printable(&text, 64));
            found.push(product.unwrap_or_else(|| format!("at port {port}")));
        }
    }
}
