//! Who uses a GPU or a VFIO group now: found by looking, never assumed.

use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// In which way something is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Hold {
    /// A process has a device file open (`/proc/PID/fd`, found by device number in every namespace).
    OpenDevice {
        /// As the process sees it.
        path: String,
    },
    /// A process has a device mapped (`/proc/PID/map_files`).
    MappedDevice {
        /// As the process sees it.
        path: String,
    },
    /// The driver names it as a process on the GPU.
    DriverProcess,
    /// A container that is not stopped was given the device.
    ContainerDevice {
        /// The device as its container spec has it.
        device: String,
    },
    /// A stopped container has it mapped: it would reach the user who gets it next.
    StoppedContainerDevice {
        /// The device as its container spec has it.
        device: String,
    },
    /// A USB device behind a controller of the card is in use.
    UsbDevice {
        /// Product, or bus number.
        device: String,
    },
}

/// A MIG instance of a GPU, by NVML's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigPlace {
    /// Id of the GPU instance.
    pub gpu_instance: u32,
    /// Id of the compute instance in it; `None` = the GPU instance as a whole.
    pub compute_instance: Option<u32>,
}

impl fmt::Display for MigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPU instance {}", self.gpu_instance)?;
        self.compute_instance.map_or(Ok(()), |id| write!(f, ", compute instance {id}"))
    }
}

/// One user of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id in the host's namespace.
    pub pid: Option<u32>,
    /// Name of its command.
    pub command: Option<String>,
    /// systemd unit of its control group.
    pub unit: Option<String>,
    /// Container of its control group: id or name.
    pub container: Option<String>,
    /// The function that it holds, where that is known.
    pub address: Option<PciAddress>,
    /// The MIG instance that it holds, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<MigPlace>,
    /// How.
    #[serde(flatten)]
    pub hold: Hold,
}

impl Holder {
    /// It holds this GPU instance, or with an id this compute instance in it. Who holds a GPU instance as a whole holds each in it.
    #[must_use]
    pub fn has_instance(&self, gpu_instance: u32, compute_instance: Option<u32>) -> bool {
        self.instance.is_some_and(|place| {
            let whole = place.compute_instance.is_none() || compute_instance.is_none();
            place.gpu_instance == gpu_instance && (whole || place.compute_instance == compute_instance)
        })
    }

    /// What would free it: a command for a person to run. Nobody's process is ended by us.
    #[must_use]
    pub fn freed_by(&self) -> String {
        self.of_nvidia().unwrap_or_else(|| self.of_anybody())
    }

    /// NVIDIA's own services let go of one GPU, or of all, when they are asked to. The kernel cuts the names of commands.
    fn of_nvidia(&self) -> Option<String> {
        let command = self.command.as_deref()?;
        if command.starts_with("nvidia-persiste") {
            return self.address.map(|address| format!("nvidia-smi -i {address} -pm 0"));
        }
        command.starts_with("nvidia-cuda-mps").then(|| "echo quit | nvidia-cuda-mps-control".to_owned())
    }

    fn of_anybody(&self) -> String {
        match (&self.container, &self.unit, self.pid, &self.hold) {
            (_, _, _, Hold::UsbDevice { device }) => format!("unmount and unplug the USB device {device}"),
            (Some(container), _, _, Hold::StoppedContainerDevice { .. }) => format!("docker rm {container}"),
            (Some(container), ..) => format!("docker stop {container}"),
            (None, Some(unit), ..) => format!("systemctl stop {unit}"),
            (None, None, Some(pid), _) => format!("end process {pid}: kill {pid}"),
            (None, None, None, _) => "stop what uses it".to_owned(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Hold::ContainerDevice { device }, Some(container)) = (&self.hold, &self.container) {
            write!(f, "container {container} was given {device}")?;
            return self.instance.map_or(Ok(()), |place| write!(f, " ({place})"));
        }
        if let (Hold::StoppedContainerDevice { device }, Some(container)) = (&self.hold, &self.container) {
            return write!(f, "stopped container {container} maps {device}");
        }
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "{command} (pid {pid})")?,
            (None, Some(pid)) => write!(f, "pid {pid}")?,
            (Some(command), None) => f.write_str(command)?,
            (None, None) => f.write_str("an unknown process")?,
        }
        if let Some(unit) = &self.unit {
            write!(f, " of {unit}")?;
        }
        if let Some(container) = &self.container {
            write!(f, " in container {container}")?;
        }
        match &self.hold {
            Hold::OpenDevice { path } => write!(f, " has {path} open"),
            Hold::MappedDevice { path } => write!(f, " has {path} mapped"),
            Hold::DriverProcess => f.write_str(" runs on the GPU"),
            Hold::ContainerDevice { device } | Hold::StoppedContainerDevice { device } => {
                write!(f, " was given {device}")
            }
            Hold::UsbDevice { device } => write!(f, " uses the USB device {device}"),
        }?;
        self.instance.map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

/// A process that could not be looked into: it may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableProcess {
    /// Process id; `None` where the list of processes itself could not be read.
    pub pid: Option<u32>,
    /// Name of its command, where that could be read.
    pub command: Option<String>,
    /// What the host answered.
    pub said: String,
}

/// All that was found. Nothing found and nothing unreadable = free.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holders {
    /// Users.
    pub found: Vec<Holder>,
    /// Processes that could not be looked into.
    pub unreadable: Vec<UnreadableProcess>,
}

impl Holders {
    /// Nobody uses it, and everybody could be looked into.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.found.is_empty() && self.unreadable.is_empty()
    }
}
