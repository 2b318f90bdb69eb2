//! Why a GPU cannot be used for something: a closed list of stable codes, each with a sentence for people.

use crate::stack::StackFile;
use serde::{Deserialize, Serialize};

/// Who switched a feature off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchedOffBy {
    /// `features_off` in the configuration.
    Config,
    /// The manager.
    Manager,
}

/// What is missing for a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// No driver for GPUs of this vendor has it.
    NoDriverHasIt,
    /// The chip has no engine for it.
    NoEngine,
    /// The CUDA compute capability lies below [`super::LEAST_COMPUTE_CAPABILITY`].
    ComputeCapability,
    /// The bound kernel driver does not have it, or none is bound.
    KernelDriver,
    /// NVIDIA's driver is bound, and reported nothing of this GPU.
    DriverSilent,
    /// The GPU has no DRM render node.
    NoRenderNode,
    /// A file of the driver's user space is missing on the host.
    File(StackFile),
    /// Which files of the driver's user space are there could not be read, or has not been yet.
    FilesUnknown,
    /// MIG mode is on and there is no MIG device.
    MigEmpty,
    /// MIG mode is on, and no MIG device has an engine for it.
    MigEngine,
    /// No container can be given the GPU; the cause chain gives the reason.
    NotVisible,
    /// It is switched off.
    SwitchedOff(SwitchedOffBy),
}

impl Lack {
    /// The stable code as it is in JSON, heartbeats and on D-Bus.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoDriverHasIt => "no_driver_has_it",
            Self::NoEngine => "no_engine",
            Self::ComputeCapability => "compute_capability_too_low",
            Self::KernelDriver => "kernel_driver",
            Self::DriverSilent => "driver_not_answering",
            Self::NoRenderNode => "no_render_node",
            Self::File(_) => "file_missing",
            Self::FilesUnknown => "files_unknown",
            Self::MigEmpty => "mig_without_devices",
            Self::MigEngine => "mig_without_engine",
            Self::NotVisible => "not_visible_to_runtime",
            Self::SwitchedOff(SwitchedOffBy::Config) => "off_by_config",
            Self::SwitchedOff(SwitchedOffBy::Manager) => "off_by_manager",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::NoDriverHasIt => "no driver for GPUs of this vendor has it",
            Self::NoEngine => "the chip has no engine for it",
            Self::ComputeCapability => "the CUDA compute capability is below 3.0",
            Self::KernelDriver => "it needs another kernel driver than the one that is bound",
            Self::DriverSilent => "NVIDIA's driver reports nothing about this GPU",
            Self::NoRenderNode => "the GPU has no DRM render node",
            Self::File(file) => return format!("{} is neither on the host nor in a driver container", file.file()),
            Self::FilesUnknown => "which files of the driver are on the host is not known",
            Self::MigEmpty => "MIG mode is on and there is no MIG device",
            Self::MigEngine => "no MIG device has an engine for it",
            Self::NotVisible => "no container can use the GPU",
            Self::SwitchedOff(SwitchedOffBy::Config) => "switched off by features_off in the configuration",
            Self::SwitchedOff(SwitchedOffBy::Manager) => {
                "switched off by the desired state (`gpuhostctl desired show`)"
            }
        }
        .to_owned()
    }
}
