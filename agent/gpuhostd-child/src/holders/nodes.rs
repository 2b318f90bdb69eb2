//! The device numbers by which the functions of a scope can be used.

use super::Places;
use super::part::Part;
use model::ids::PciAddress;
use model::mig::capability_files::{MigMinors, caps_major, device_minor, place_of_proc_file};
use model::plan::{Lane, Scope};
use nix::sys::stat::{SFlag, major, makedev, minor, stat};
use std::collections::BTreeMap;
use std::path::Path;

/// NVIDIA's fixed major number (`/dev/nvidia0` and on; Documentation/admin-guide/devices.txt).
const NVIDIA_MAJOR: u64 = 195;
/// The minor numbers of NVIDIA's that are GPUs; `nvidia-modeset` and `nvidiactl` come after them.
const NVIDIA_GPUS: u64 = 254;
/// DRM's fixed major number.
const DRM_MAJOR: u64 = 226;
/// Folders below a function are followed this deep: `drm/card0/card0-DP-1/i2c-7/i2c-dev/i2c-7`.
const DEPTH: u8 = 10;

/// Character devices, with what each of them is.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_number: BTreeMap<u64, Part>,
    names: Vec<String>,
    /// A function of NVIDIA's driver whose minor number is not known: any of the driver's may be it.
    any_of_nvidia: Option<PciAddress>,
    /// The GPU whose MIG instances are looked for, and the number of its device file.
    mig: Option<(PciAddress, u32)>,
}

impl Nodes {
    /// All nodes of the scope: what the drivers registered below its functions, its partitions, NVIDIA's own, the group's.
    pub(super) fn of(places: &Places, scope: &Scope) -> Self {
        let mut nodes = Self::default();
        for address in &scope.members {
            let folder = places.sysfs.join("bus/pci/devices").join(address.to_string());
            nodes.below(&folder, *address, 0);
            match driver(&folder).as_deref() {
                Some("nvidia") => nodes.nvidia(&places.proc, *address),
                Some("amdgpu") => nodes.partitions(&places.sysfs, *address),
                _ => {}
            }
        }
        if let Lane::Group(id) = scope.lane {
            nodes.node(&places.dev.join("vfio").join(id.to_string()), scope.gpu);
        }
        nodes
    }

    /// The GPU's own node, and the capabilities of all MIG instances that it could have.
    ///
    /// # Errors
    /// The numbers are not known: then anybody could have one open.
    pub(super) fn of_mig(proc: &Path, gpu: PciAddress) -> Result<Self, String> {
        let read = |path: &str| {
            let path = proc.join(path);
            std::fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        let mut nodes = Self::default();
        let information = format!("driver/nvidia/gpus/{gpu}/information");
        let minor = device_minor(&read(&information)?);
        let minor = minor.ok_or_else(|| format!("{information} has no device minor, so its nodes are not known"))?;
        nodes.add(makedev(NVIDIA_MAJOR, minor.into()), &format!("nvidia{minor}"), gpu);
        nodes.mig = Some((gpu, minor));
        // Without such devices the capabilities are files below /proc.
        if let Some(major) = caps_major(&read("devices")?) {
            for (number, place) in MigMinors::read(&read("driver/nvidia-caps/mig-minors")?).of(minor) {
                nodes.by_number.insert(makedev(major, number), Part { address: gpu, instance: Some(place) });
            }
        }
        Ok(nodes)
    }

    /// What is behind a device number.
    pub(super) fn part(&self, number: u64) -> Option<Part> {
        let known = self.by_number.get(&number).copied();
        known.or_else(|| self.any_of_nvidia.filter(|_| is_nvidia_gpu(number)).map(Part::whole))
    }

    /// The MIG instance whose capability is the file below `/proc` that a process has open.
    pub(super) fn proc_file(&self, path: &str) -> Option<Part> {
        let (address, minor) = self.mig?;
        place_of_proc_file(path, minor).map(|place| Part { address, instance: Some(place) })
    }

    /// A mapped file of this path may be one of them: it is worth a closer look.
    pub(super) fn may_be(&self, path: &str) -> bool {
        let is_known = |name: &str| {
            self.names.iter().any(|known| known == name) || self.any_of_nvidia.is_some() && name.starts_with("nvidia")
        };
        path.rsplit('/').next().is_some_and(is_known)
    }

    fn add(&mut self, number: u64, name: &str, address: PciAddress) {
        self.by_number.insert(number, Part::whole(address));
        self.names.push(name.to_owned());
    }

    /// Each `dev` file below a function is a node that its driver registered.
    fn below(&mut self, folder: &Path, address: PciAddress, depth: u8) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // Links lead out of the function (`subsystem`, `driver`), and other functions lie below bridges only.
            // Block devices have numbers of their own; a disk behind a USB controller of the card is told as its USB device.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir()) && name != "block";
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

    /// The NVIDIA driver registers nothing in sysfs; it reports the minor number in its own folder.
    fn nvidia(&mut self, proc: &Path, address: PciAddress) {
        let file = proc.join("driver/nvidia/gpus").join(address.to_string()).join("information");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        match device_minor(&text) {
            Some(minor) => self.add(makedev(NVIDIA_MAJOR, minor.into()), &format!("nvidia{minor}"), address),
            None => self.any_of_nvidia = Some(address),
        }
    }

    /// amdgpu makes a platform device for each compute partition of a GPU, with a render node of its own and no link to the GPU
    /// (`amdgpu_xcp_drm_dev_alloc`). The topology of KFD reports whose it is; a node that it does not name may be any GPU's.
    fn partitions(&mut self, sysfs: &Path, address: PciAddress) {
        let owners = kfd_render_nodes(sysfs);
        let platform = sysfs.join("devices/platform");
        for device in names(&platform).into_iter().filter(|name| name.starts_with("amdgpu_xcp")) {
            for node in names(&platform.join(&device).join("drm")) {
                let Some(minor) = node.strip_prefix("renderD").and_then(|text| text.parse::<u64>().ok()) else {
                    continue;
                };
                if owners.get(&minor).is_none_or(|owner| *owner == address) {
                    self.add(makedev(DRM_MAJOR, minor), &node, address);
                }
            }
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

fn is_nvidia_gpu(number: u64) -> bool {
    major(number) == NVIDIA_MAJOR && minor(number) < NVIDIA_GPUS
}

/// The bound driver.
fn driver(folder: &Path) -> Option<String> {
    let target = std::fs::read_link(folder.join("driver")).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// Names in a folder; none where it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The GPU of each render node that KFD knows, by the minor number. KFD shows nothing of a GPU whose nodes the reader may not open
/// (`kfd_devcgroup_check_permission`): then it is missing here.
fn kfd_render_nodes(sysfs: &Path) -> BTreeMap<u64, PciAddress> {
    let nodes = sysfs.join("class/kfd/kfd/topology/nodes");
    let read = |name: String| kfd_node(&std::fs::read_to_string(nodes.join(name).join("properties")).ok()?);
    names(&nodes).into_iter().filter_map(read).collect()
}

/// `location_id` is bus, device and function, with the number of the partition above them.
fn kfd_node(properties: &str) -> Option<(u64, PciAddress)> {
    let value = |wanted: &str| {
        let mut lines = properties.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == wanted)?.1.trim().parse::<u32>().ok()
    };
    let [_, _, bus, device_function] = value("location_id")?.to_be_bytes();
    let (device, function) = (device_function >> 3, device_function & 7);
    let address = PciAddress { domain: value("domain").unwrap_or(0), bus, device, function };
    Some((u64::from(value("drm_render_minor").filter(|minor| *minor > 0)?), address))
}

/// `226:128`.
fn parse(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}
