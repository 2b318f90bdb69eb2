//! Writes a description as a tree of files: sysfs with the kernel's layout and links, and the NVIDIA user space.

use crate::artifacts::Artifacts;
use crate::place::{attribute, link, text};
use crate::{etc, sensors, software, state};
use anyhow::Context;
use sim::bus::{Bus, Function};
use sim::faults::{Attribute, NvmlFault, PciFaultKind};
use sim::smi::{SmiBehaviour, behaviour};
use sim::{Description, scan};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the copy of the description that the stubs read, at the root of the tree.
pub const DESCRIPTION: &str = "description.toml";
/// Name of the records of the kernel log, at the root of the tree: with a `dev` it would say that there are no other devices.
pub const KERNEL_LOG: &str = "kmsg.records";

/// Writes the tree of a host into a folder, which is made where it is missing.
///
/// # Errors
/// A file cannot be written; the text names it.
pub fn write_tree(description: &Description, root: &Path, artifacts: &Artifacts) -> anyhow::Result<()> {
    let bus = Bus::lay_out(description)?;
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    if !description.faults.no_pci_bus {
        write_sysfs(description, &bus, &root.join("sys"))?;
    }
    write_kernel_log(description, root)?;
    etc::write(description, root)?;
    software::write(description, root)?;
    write_user_space(description, &bus, root, artifacts)
}

/// What the kernel has logged, record by record as `/dev/kmsg` gives it, for whoever feeds a named pipe in its place.
fn write_kernel_log(description: &Description, root: &Path) -> anyhow::Result<()> {
    let records = description.kernel_log.iter().enumerate();
    let records: String = records.map(|(number, line)| line.record(number) + "\n").collect();
    text(&root.join(KERNEL_LOG), &records)
}

/// Writes `/sys` alone, into the folder that stands for it.
///
/// # Errors
/// A file cannot be written.
pub fn write_sysfs(description: &Description, bus: &Bus, sys: &Path) -> anyhow::Result<()> {
    for folder in ["bus/pci/devices", "bus/pci/drivers", "kernel/iommu_groups", "class/drm"] {
        fs::create_dir_all(sys.join(folder))?;
    }
    for group in bus.groups() {
        let folder = sys.join(format!("kernel/iommu_groups/{group}"));
        fs::create_dir_all(folder.join("devices"))?;
        text(&folder.join("type"), &format!("{}\n", bus.iommu_type))?;
    }
    for function in bus.functions.values() {
        write_function(bus, function, sys)?;
    }
    for gpu in sim::sensors::report(description, bus).gpus {
        if let Some(function) = bus.functions.get(&gpu.address) {
            sensors::write(&gpu, function, &sys.join("devices").join(bus.device_path(function)))?;
        }
    }
    for function in bus.functions.values() {
        spoil(description, bus, function, sys)?;
    }
    Ok(())
}

fn write_function(bus: &Bus, function: &Function, sys: &Path) -> anyhow::Result<()> {
    let address = function.address;
    let folder = sys.join("devices").join(bus.device_path(function));
    fs::create_dir_all(&folder)?;
    link(&folder, &sys.join(format!("bus/pci/devices/{address}")))?;
    link(&sys.join("bus/pci"), &folder.join("subsystem"))?;
    for (name, value) in attributes(function) {
        text(&folder.join(name), &format!("{value}\n"))?;
    }
    if let Some(driver) = &function.driver {
        let home = sys.join(format!("bus/pci/drivers/{driver}"));
        fs::create_dir_all(&home)?;
        link(&home, &folder.join("driver"))?;
        link(&folder, &home.join(address.to_string()))?;
    }
    if let Some(group) = function.group {
        let home = sys.join(format!("kernel/iommu_groups/{group}"));
        link(&home, &folder.join("iommu_group"))?;
        link(&folder, &home.join(format!("devices/{address}")))?;
    }
    if let Some(name) = &function.frame_buffer {
        text(&folder.join("simple-framebuffer.0/graphics/fb0/name"), &format!("{name}\n"))?;
        text(&folder.join("simple-framebuffer.0/graphics/fb0/dev"), "29:0\n")?;
    }
    write_sriov(bus, function, sys, &folder)?;
    state::write(function, &folder)?;
    write_drm(function, sys, &folder)
}

fn attributes(function: &Function) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("vendor", format!("0x{:04x}", function.id.vendor)),
        ("device", format!("0x{:04x}", function.id.device)),
        ("class", format!("0x{:06x}", function.class.0)),
        ("subsystem_vendor", format!("0x{:04x}", function.subsystem.vendor)),
        ("subsystem_device", format!("0x{:04x}", function.subsystem.device)),
        ("revision", format!("0x{:02x}", function.revision)),
        ("modalias", modalias(function)),
        ("numa_node", function.numa_node.map_or_else(|| "-1".to_owned(), |node| node.to_string())),
        ("driver_override", function.driver_override.clone().unwrap_or_else(|| "(null)".to_owned())),
        ("power_state", function.power_state.clone()),
        ("enable", u8::from(function.driver.is_some()).to_string()),
        ("uevent", uevent(function)),
    ];
    list.extend(function.boot_vga.map(|console| ("boot_vga", u8::from(console).to_string())));
    // Only functions with the PCI Express capability have these (`pcie_dev_attrs_are_visible`).
    list.extend(function.link.into_iter().flat_map(|link| {
        [
            ("current_link_speed", speed(link.now.generation).to_owned()),
            ("max_link_speed", speed(link.best.generation).to_owned()),
            ("current_link_width", link.now.width.to_string()),
            ("max_link_width", link.best.width.to_string()),
        ]
    }));
    list
}

/// `pci_speed_string`.
const fn speed(generation: u32) -> &'static str {
    match generation {
        1 => "2.5 GT/s PCIe",
        2 => "5.0 GT/s PCIe",
        3 => "8.0 GT/s PCIe",
        4 => "16.0 GT/s PCIe",
        5 => "32.0 GT/s PCIe",
        6 => "64.0 GT/s PCIe",
        _ => "Unknown",
    }
}

fn modalias(function: &Function) -> String {
    let [_, base, sub, interface] = function.class.0.to_be_bytes();
    format!(
        "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{base:02X}sc{sub:02X}i{interface:02X}",
        function.id.vendor, function.id.device, function.subsystem.vendor, function.subsystem.device
    )
}

/// `pci_uevent` writes class and ids without leading zeros and in upper case.
fn uevent(function: &Function) -> String {
    let driver = function.driver.as_ref().map(|name| format!("DRIVER={name}\n")).unwrap_or_default();
    format!(
        "{driver}PCI_CLASS={:X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID={:04X}:{:04X}\nPCI_SLOT_NAME={}\nMODALIAS={}",
        function.class.0,
        function.id.vendor,
        function.id.device,
        function.subsystem.vendor,
        function.subsystem.device,
        function.address,
        modalias(function)
    )
}

fn write_sriov(bus: &Bus, function: &Function, sys: &Path, folder: &Path) -> anyhow::Result<()> {
    let path_of = |address| {
        let other: Option<&Function> = bus.functions.get(&address);
        other.map(|f| sys.join("devices").join(bus.device_path(f)))
    };
    if let Some(physical) = function.physical_function.and_then(path_of) {
        link(&physical, &folder.join("physfn"))?;
    }
    if function.virtual_functions.is_empty() {
        return Ok(());
    }
    for name in ["sriov_numvfs", "sriov_totalvfs"] {
        text(&folder.join(name), &format!("{}\n", function.virtual_functions.len()))?;
    }
    for (number, address) in function.virtual_functions.iter().enumerate() {
        if let Some(path) = path_of(*address) {
            link(&path, &folder.join(format!("virtfn{number}")))?;
        }
    }
    Ok(())
}

fn write_drm(function: &Function, sys: &Path, folder: &Path) -> anyhow::Result<()> {
    let Some(numbers) = function.drm_now() else { return Ok(()) };
    let names =
        [Some((format!("card{}", numbers.card), numbers.card)), numbers.render.map(|n| (format!("renderD{n}"), n))];
    for (name, minor) in names.into_iter().flatten() {
        let node = folder.join("drm").join(&name);
        fs::create_dir_all(&node)?;
        text(&node.join("dev"), &format!("226:{minor}\n"))?;
        link(folder, &node.join("device"))?;
        link(&node, &sys.join("class/drm").join(&name))?;
    }
    Ok(())
}

/// Puts the faults of a function into its folder.
fn spoil(description: &Description, bus: &Bus, function: &Function, sys: &Path) -> anyhow::Result<()> {
    let folder = sys.join("devices").join(bus.device_path(function));
    for fault in description.faults.pci.iter().filter(|fault| fault.address == function.address) {
        match &fault.what {
            // The links to it stay behind, as they do for a reader that has listed the folder already.
            PciFaultKind::Vanishes => fs::remove_dir_all(&folder)?,
            PciFaultKind::Unreadable(which) => unreadable(&folder, *which)?,
            PciFaultKind::Garbage(which, content) => attribute(&folder.join(which.file()), content)?,
        }
    }
    Ok(())
}

/// A folder in place of the file: the one thing that root cannot read either ([`scan::UNREADABLE`]).
fn unreadable(folder: &Path, which: Attribute) -> anyhow::Result<()> {
    let path = folder.join(which.file());
    if path.exists() {
        fs::remove_file(&path)?;
    }
    fs::create_dir_all(&path)
        .with_context(|| format!("cannot make {} unreadable ({})", path.display(), scan::UNREADABLE))
}

/// The root of the driver's user space within the tree.
#[must_use]
pub fn driver_root(description: &Description, root: &Path) -> PathBuf {
    let contained = description.driver.as_ref().is_some_and(|driver| driver.in_container);
    if contained { root.join("run/nvidia/driver") } else { root.to_owned() }
}

/// Writes what the driver brings along, and the description that its stand-ins answer from; nothing of `/sys`.
///
/// # Errors
/// A file cannot be written.
pub fn write_user_space(
    description: &Description,
    bus: &Bus,
    root: &Path,
    artifacts: &Artifacts,
) -> anyhow::Result<()> {
    text(&root.join(DESCRIPTION), &description.to_toml()?)?;
    if description.driver.is_none() {
        return Ok(());
    }
    let home = driver_root(description, root);
    let folder = home.join("usr/lib/x86_64-linux-gnu");
    let version = sim::software::facts(description).library_version.into_known().unwrap_or_default();
    let (file, library) = (folder.join(format!("libnvidia-ml.so.{version}")), folder.join("libnvidia-ml.so.1"));
    match &description.faults.nvml {
        Some(NvmlFault::Missing) => {}
        Some(NvmlFault::NotALibrary) => text(&file, "\n")?,
        None
        | Some(
            NvmlFault::Init(_)
            | NvmlFault::Crash { .. }
            | NvmlFault::Hang { .. }
            | NvmlFault::Return { .. }
            | NvmlFault::NoEffect { .. }
            | NvmlFault::CrashAfter { .. }
            | NvmlFault::Slow { .. },
        ) => {
            install(&artifacts.nvml, &file)?;
        }
    }
    if file.exists() {
        link(&file, &library)?;
        // Debian has its multi-arch folder, others `lib64`.
        for folder in ["usr/lib", "usr/lib64"] {
            link(&library, &home.join(folder).join("libnvidia-ml.so.1"))?;
        }
    }
    match behaviour(description, bus) {
        SmiBehaviour::Missing => Ok(()),
        SmiBehaviour::Hang { .. } | SmiBehaviour::Crash(_) | SmiBehaviour::Exit { .. } | SmiBehaviour::Document(_) => {
            install(&artifacts.smi, &home.join("usr/bin/nvidia-smi"))
        }
    }
}

/// A copy: what is done to the file in a tree must not be done to the one it came from.
fn install(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    // By a process of its own: a descriptor of ours, open for writing, could live on in a child that another thread starts at
    // this moment, and the copy could not be executed ("Text file busy").
    let status = Command::new("cp").arg("--").args([from, to]).status().context("cannot start cp")?;
    anyhow::ensure!(status.success(), "cp of {} to {} ended with {status}", from.display(), to.display());
    Ok(())
}
