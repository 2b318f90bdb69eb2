//! Whether a specification fits the host as it is now: its paths, its driver, its GPUs.

use super::cdi_file::{CdiFile, CdiFileDevice};
use super::cdi_spec::ALL;
use crate::driver::{DriverGpu, MigMode};
use crate::ids::PciAddress;
use crate::observation::{Gpu, GpuUse};
use crate::pci::VENDOR_NVIDIA;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A GPU of NVIDIA's that is the host's own, by what a specification can name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdiGpu {
    /// Where it is.
    pub address: PciAddress,
    /// Its UUID, if the driver reports it.
    pub uuid: Option<String>,
    /// Its number in the driver's list.
    pub index: Option<u32>,
    /// The number of its device file.
    pub minor: Option<u32>,
    /// UUIDs of its MIG devices; `None` if MIG is off. nvidia-ctk defines no device for a whole GPU that is in MIG mode.
    pub mig: Option<Vec<String>>,
}

impl CdiGpu {
    /// `None` for a GPU of another vendor, and for one that is given to a virtual machine or changes hands now.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Option<Self> {
        let is_the_hosts = matches!(gpu.usage, GpuUse::Host | GpuUse::Shared | GpuUse::Mig);
        (gpu.pci.id.vendor == VENDOR_NVIDIA && is_the_hosts)
            .then(|| Self::reported(gpu.pci.address, gpu.driver.as_ref()))
    }

    /// The GPU at an address, by what its driver reports.
    #[must_use]
    pub fn reported(address: PciAddress, driver: Option<&DriverGpu>) -> Self {
        let is_cut = driver.is_some_and(|driver| driver.mig_current.get() == Some(MigMode::Enabled));
        let uuids = |driver: &DriverGpu| {
            driver.mig_devices.iter().filter_map(|mig| mig.uuid.known().map(ToString::to_string)).collect()
        };
        Self {
            address,
            uuid: driver.and_then(|driver| driver.uuid.known()).map(ToString::to_string),
            index: driver.and_then(|driver| driver.index.get()),
            minor: driver.and_then(|driver| driver.minor.get()),
            mig: driver.filter(|_| is_cut).map(uuids),
        }
    }

    /// Names that mean it: its UUID, and its number as nvidia-ctk writes it.
    fn has_name(&self, name: &str) -> bool {
        let number = name.strip_prefix("gpu").unwrap_or(name);
        self.uuid.as_deref() == Some(name)
            || self.index.is_some_and(|index| number == index.to_string())
            || self.mig.iter().flatten().any(|uuid| uuid == name)
            || self.has_mig_number(name)
    }

    /// `0:1`, `mig0:1`: a MIG device by number.
    fn has_mig_number(&self, name: &str) -> bool {
        let parent = name.strip_prefix("mig").unwrap_or(name).split_once(':').and_then(|(gpu, _)| gpu.parse().ok());
        self.mig.is_some() && parent.is_some() && parent == self.index
    }

    /// Names that a specification must define for it, and by which a workspace asks for it.
    #[must_use]
    pub fn wanted(&self) -> Vec<&str> {
        match &self.mig {
            Some(devices) => devices.iter().map(String::as_str).collect(),
            None => self.uuid.as_deref().into_iter().collect(),
        }
    }
}

/// What of the host a specification is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdiHost {
    /// Version of the loaded driver (`/sys/module/nvidia/version`), if it is known.
    pub driver: Option<String>,
    /// Its GPUs that no virtual machine has.
    pub gpus: Vec<CdiGpu>,
}

impl CdiHost {
    /// The host of an observation.
    #[must_use]
    pub fn of(gpus: &[Gpu], module: Option<&str>) -> Self {
        Self { driver: module.map(str::to_owned), gpus: gpus.iter().filter_map(CdiGpu::of).collect() }
    }

    fn gpu_named(&self, name: &str) -> Option<&CdiGpu> {
        self.gpus.iter().find(|gpu| gpu.has_name(name))
    }

    /// The driver has reported about each of them: a name that is none of theirs is of no GPU.
    fn is_known(&self) -> bool {
        self.gpus.iter().all(|gpu| gpu.uuid.is_some() && gpu.index.is_some())
    }
}

/// Why a specification does not fit the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SpecFault {
    /// Paths that it names are not there.
    MissingPaths {
        /// The first of them.
        paths: Vec<String>,
    },
    /// Its libraries are of another driver than the loaded one.
    OtherDriver {
        /// Version in the file.
        named: String,
        /// Version of the loaded module.
        loaded: String,
    },
    /// A device gives the node of another GPU.
    WrongNode {
        /// The device.
        device: String,
        /// Minor numbers of the nodes that it gives.
        gives: Vec<u32>,
        /// The minor number of its GPU.
        minor: u32,
    },
    /// A GPU of the host, or a MIG device, has no device in it.
    NoDevice {
        /// The GPU.
        gpu: PciAddress,
        /// The name that the device would have.
        name: String,
    },
    /// It has a device for a GPU that is not there.
    NoSuchGpu {
        /// The device.
        device: String,
    },
}

impl SpecFault {
    /// For machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingPaths { .. } => "missing_paths",
            Self::OtherDriver { .. } => "other_driver",
            Self::WrongNode { .. } => "wrong_node",
            Self::NoDevice { .. } => "no_device",
            Self::NoSuchGpu { .. } => "no_such_gpu",
        }
    }
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPaths { paths } => match paths.as_slice() {
                [one] => write!(f, "{one} is not there"),
                several => write!(f, "{} are not there", several.join(", ")),
            },
            Self::OtherDriver { named, loaded } => {
                write!(f, "it names libraries of driver {named}, and the loaded driver is {loaded}")
            }
            Self::WrongNode { device, gives, minor } => {
                let nodes: Vec<String> = gives.iter().map(|minor| format!("/dev/nvidia{minor}")).collect();
                write!(f, "its device {device} gives {}, and that GPU is /dev/nvidia{minor}", nodes.join(", "))
            }
            Self::NoDevice { gpu, name } => write!(f, "it has no device {name} for the GPU at {gpu}"),
            Self::NoSuchGpu { device } => write!(f, "its device {device} is of no GPU of this host"),
        }
    }
}

/// All that does not fit, for a file that should define every GPU of the host. A file that an engine does not read has no faults here.
#[must_use]
pub fn faults(file: &CdiFile, host: &CdiHost) -> Vec<SpecFault> {
    if file.broken.is_some() {
        return Vec::new();
    }
    let mut all: Vec<SpecFault> = other_driver(file, host).into_iter().collect();
    let of_devices = file.devices.iter().flat_map(|device| &device.missing);
    let missing: BTreeSet<&String> = file.missing.iter().chain(of_devices).collect();
    if !missing.is_empty() {
        all.push(SpecFault::MissingPaths { paths: missing.into_iter().cloned().collect() });
    }
    all.extend(file.devices.iter().filter_map(|device| wrong_node(device, host)));
    for gpu in &host.gpus {
        let lacks = gpu.wanted().into_iter().filter(|name| file.device(name).is_none());
        all.extend(lacks.map(|name| SpecFault::NoDevice { gpu: gpu.address, name: name.to_owned() }));
    }
    all.extend(
        file.devices
            .iter()
            .filter(|device| is_of_no_gpu(device, host))
            .map(|device| SpecFault::NoSuchGpu { device: device.name.clone() }),
    );
    all
}

/// What keeps a container from getting this device, or gives it another one.
pub(super) fn device_fault(file: &CdiFile, device: &CdiFileDevice, host: &CdiHost) -> Option<SpecFault> {
    let missing: Vec<String> = file.missing.iter().chain(&device.missing).cloned().collect();
    let missing = (!missing.is_empty()).then_some(SpecFault::MissingPaths { paths: missing });
    let unknown = || is_of_no_gpu(device, host).then(|| SpecFault::NoSuchGpu { device: device.name.clone() });
    other_driver(file, host).or(missing).or_else(|| wrong_node(device, host)).or_else(unknown)
}

fn other_driver(file: &CdiFile, host: &CdiHost) -> Option<SpecFault> {
    let loaded = host.driver.as_ref()?;
    let named = file.drivers.iter().find(|version| *version != loaded)?;
    Some(SpecFault::OtherDriver { named: named.clone(), loaded: loaded.clone() })
}

fn wrong_node(device: &CdiFileDevice, host: &CdiHost) -> Option<SpecFault> {
    let minor = host.gpu_named(&device.name)?.minor?;
    (!device.minors.is_empty() && device.minors != [minor]).then(|| SpecFault::WrongNode {
        device: device.name.clone(),
        gives: device.minors.clone(),
        minor,
    })
}

/// Names that an administrator chose himself mean nothing here.
fn is_of_no_gpu(device: &CdiFileDevice, host: &CdiHost) -> bool {
    let name = device.name.as_str();
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let is_by_rule = name.starts_with("GPU-")
        || name.starts_with("MIG-")
        || is_number(name.strip_prefix("gpu").unwrap_or(name))
        || name
            .strip_prefix("mig")
            .unwrap_or(name)
            .split_once(':')
            .is_some_and(|(gpu, mig)| is_number(gpu) && is_number(mig));
    name != ALL && is_by_rule && host.is_known() && host.gpu_named(name).is_none()
}
