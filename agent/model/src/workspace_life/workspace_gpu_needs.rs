//! What the GPUs of a workspace need inside its container: device files by number, and a control group that lets it open them.

use super::workspace_gpu_look::{CgroupVerdict, ContainerNode, GpuVerdict, WorkspaceGpuLook};
use crate::device_links::DeviceNumber;
use crate::driver::DriverGpu;
use crate::ids::{IommuGroupId, PciAddress};
use crate::observation::{Gpu, GpuUse, HostObservation};
use crate::pci::VENDOR_NVIDIA;
use crate::stack::DriverLoad;

/// NVIDIA's fixed major number (Documentation/admin-guide/devices.txt).
const NVIDIA_MAJOR: u64 = 195;
/// The minor number of `/dev/nvidiactl`.
const NVIDIACTL: u64 = 255;
/// DRM's fixed major number.
const DRM_MAJOR: u64 = 226;

/// A device file that a workspace was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuNode {
    /// Its name, as it usually is.
    pub path: String,
    /// Its number, where that is fixed: then its name inside does not matter.
    pub number: Option<DeviceNumber>,
    /// Without it the GPU cannot be used.
    pub is_required: bool,
}

/// What its GPUs need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceGpuNeeds {
    /// Device files.
    pub nodes: Vec<GpuNode>,
    /// GPUs that the host has no more, for people.
    pub gone: Vec<String>,
    /// Why something is not known, for people.
    pub unknown: Vec<String>,
    /// Which load of NVIDIA's module it is: after another one everything is looked at again.
    pub load: Option<DriverLoad>,
    /// Of which observation they are.
    pub sequence: u64,
    /// The driver shows that no process computes on any of them.
    pub is_idle: bool,
}

impl WorkspaceGpuNeeds {
    /// What a workspace with these GPUs needs.
    #[must_use]
    pub fn of(host: &HostObservation, gpus: &[String], vfio: &[String]) -> Self {
        let load = host.host.stack.module_load.known().copied();
        // Of a virtual machine the driver shows nothing.
        let mut needs = Self { load, sequence: host.sequence, is_idle: vfio.is_empty(), ..Self::default() };
        for name in gpus {
            match host.gpus.iter().find(|gpu| is_named(gpu, name)) {
                Some(gpu) => needs.share(gpu),
                None if is_silent(host) => {
                    needs.is_idle = false;
                    needs.unknown.push(format!("{name}: the driver does not answer for every GPU"));
                }
                None if hides_mig(host, name) => {
                    needs.is_idle = false;
                    needs.unknown.push(format!("{name}: the driver does not name every MIG device"));
                }
                None => {
                    needs.is_idle = false;
                    needs.gone.push(format!("the host has no {name} any more"));
                }
            }
        }
        for address in vfio {
            match host.gpus.iter().find(|gpu| gpu.pci.address.to_string() == *address) {
                Some(gpu) => needs.whole(gpu),
                None => needs.gone.push(format!("the host has no GPU at {address} any more")),
            }
        }
        if !vfio.is_empty() {
            needs.add("/dev/vfio/vfio", None, true);
        }
        needs
    }

    fn add(&mut self, path: &str, number: Option<(u64, u64)>, is_required: bool) {
        let number = number.map(|(major, minor)| DeviceNumber { major, minor });
        let node = GpuNode { path: path.to_owned(), number, is_required };
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn share(&mut self, gpu: &Gpu) {
        let processes = gpu.driver.as_ref().and_then(|driver| driver.processes.known());
        self.is_idle &= processes.is_some_and(Vec::is_empty);
        let is_nvidia = gpu.pci.id.vendor == VENDOR_NVIDIA;
        if is_nvidia {
            match gpu.driver.as_ref().and_then(|driver| driver.minor.known()) {
                Some(minor) => {
                    self.add(&format!("/dev/nvidia{minor}"), Some((NVIDIA_MAJOR, u64::from(*minor))), true);
                }
                None => {
                    let address = gpu.pci.address;
                    self.unknown.push(format!("{address}: the driver does not report its minor number"));
                }
            }
            self.add("/dev/nvidiactl", Some((NVIDIA_MAJOR, NVIDIACTL)), true);
            self.add("/dev/nvidia-uvm", None, false);
        }
        let drm = &gpu.pci.drm;
        // Without a render node a workspace is given neither.
        let is_required = !is_nvidia && drm.render.is_some();
        for (name, minor) in [(&drm.card, minor_of(&drm.card, "card")), (&drm.render, minor_of(&drm.render, "renderD"))]
        {
            if let (Some(name), Some(minor)) = (name, minor) {
                self.add(&format!("/dev/dri/{name}"), Some((DRM_MAJOR, minor)), is_required);
            }
        }
    }

    fn whole(&mut self, gpu: &Gpu) {
        let address = gpu.pci.address;
        match (gpu.usage, gpu.pci.iommu_group.known()) {
            (GpuUse::Passthrough, Some(IommuGroupId(group))) => self.add(&format!("/dev/vfio/{group}"), None, true),
            (GpuUse::Passthrough | GpuUse::Transitioning | GpuUse::Quarantined, _) => {
                self.unknown.push(format!("{address}: it is being changed, or its IOMMU group is not known"));
            }
            (GpuUse::Host | GpuUse::Shared | GpuUse::Mig, _) => {
                self.gone.push(format!("{address} is not on vfio-pci any more"));
            }
        }
    }

    /// There is nothing to look at.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.gone.is_empty() && self.unknown.is_empty()
    }

    /// The same needs, whatever computes just now, and whichever observation shows them.
    #[must_use]
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let (is_idle, sequence) = (self.is_idle, self.sequence);
        *self == Self { is_idle, sequence, ..other.clone() }
    }

    /// Of the device files of a container those that its control group is asked about. Whatever else it has made for itself does not count.
    #[must_use]
    pub fn numbers(&self, inside: &[ContainerNode]) -> Vec<DeviceNumber> {
        let mut numbers: Vec<DeviceNumber> =
            self.nodes.iter().filter_map(|need| find(need, inside)).map(|node| node.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// What follows from what was found.
    #[must_use]
    pub fn judge(&self, found: &WorkspaceGpuLook) -> GpuVerdict {
        let (mut lost, mut unknown) = (self.gone.clone(), self.unknown.clone());
        for need in &self.nodes {
            let path = &need.path;
            let Some(node) = find(need, &found.nodes) else {
                if need.is_required {
                    lost.push(format!("{path} is not in its /dev"));
                }
                continue;
            };
            let number = node.number;
            let verdict = found.access.iter().find(|one| one.number == number).map(|one| &one.verdict);
            match verdict {
                Some(CgroupVerdict::Allowed) => {}
                Some(CgroupVerdict::Denied) => lost.push(format!(
                    "its control group does not let it open {path} ({number}); `systemctl daemon-reload` does that where \
                     /dev/char/{number} is missing"
                )),
                Some(CgroupVerdict::NoDriver) => lost.push(format!(
                    "its {path} has the number {number}, which no driver has: the driver was loaded again since it was started"
                )),
                Some(CgroupVerdict::Unknown { why }) => unknown.push(format!("{path}: {why}")),
                None => unknown.push(format!("{path}: it was not asked about")),
            }
        }
        if !lost.is_empty() {
            return GpuVerdict::Lost { why: lost.join("; ") };
        }
        if unknown.is_empty() { GpuVerdict::Ok } else { GpuVerdict::Unknown { why: unknown.join("; ") } }
    }
}

fn find<'a>(need: &GpuNode, inside: &'a [ContainerNode]) -> Option<&'a ContainerNode> {
    let is_it = |node: &&ContainerNode| match need.number {
        Some(number) => node.number == number,
        None => node.path == need.path,
    };
    inside.iter().find(is_it)
}

/// By its UUID, by its address where it has none, or by the UUID of a MIG device of it.
pub(super) fn is_named(gpu: &Gpu, name: &str) -> bool {
    if name.parse::<PciAddress>().is_ok_and(|address| address == gpu.pci.address) {
        return true;
    }
    let Some(driver) = &gpu.driver else { return false };
    let is_mig = |uuid: Option<&crate::ids::MigUuid>| uuid.is_some_and(|uuid| uuid.to_string() == name);
    driver.uuid.known().is_some_and(|uuid| uuid.as_str() == name)
        || driver.mig_devices.iter().any(|device| is_mig(device.uuid.known()))
        || driver.mig_unplaced.iter().any(|device| is_mig(device.uuid.known()))
}

/// A GPU of NVIDIA has no UUID just now: it can be any.
fn is_silent(host: &HostObservation) -> bool {
    let has_uuid = |gpu: &Gpu| gpu.driver.as_ref().is_some_and(|driver| driver.uuid.known().is_some());
    let mut of_nvidia = host.gpus.iter().filter(|gpu| gpu.pci.id.vendor == VENDOR_NVIDIA);
    host.gpus.is_empty() || of_nvidia.any(|gpu| !has_uuid(gpu) && gpu.usage != GpuUse::Passthrough)
}

/// It names a MIG device, and of one MIG device of this host the driver does not report the name: it can be that one.
fn hides_mig(host: &HostObservation, name: &str) -> bool {
    let hides = |driver: &DriverGpu| {
        driver.mig_devices.iter().any(|device| device.uuid.known().is_none())
            || driver.mig_unplaced.iter().any(|device| device.uuid.known().is_none())
    };
    name.starts_with("MIG-") && host.gpus.iter().filter_map(|gpu| gpu.driver.as_ref()).any(hides)
}

/// The minor number of a DRM node is in its name.
fn minor_of(name: &Option<String>, prefix: &str) -> Option<u64> {
    name.as_deref()?.strip_prefix(prefix)?.parse().ok()
}
