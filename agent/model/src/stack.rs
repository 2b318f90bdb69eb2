//! The driver's software as files of the host show it: kernel module, libraries, and what may keep the module from loading.

use crate::absence::Reading;
use crate::claim::Claim;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A file of the driver's user space without which a feature does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum StackFile {
    /// `libnvidia-ml.so.1`.
    Nvml,
    /// `libcuda.so.1`.
    Cuda,
    /// `libnvidia-encode.so.1`.
    Encode,
    /// `libnvcuvid.so.1`.
    Decode,
    /// `libEGL_nvidia.so.0`.
    EglLibrary,
    /// A vendor file of NVIDIA's for EGL (`egl_vendor.d/*nvidia*.json`).
    EglVendor,
    /// `libGLX_nvidia.so.0`, which holds the Vulkan driver too.
    GlxLibrary,
    /// A driver file of NVIDIA's for Vulkan (`vulkan/icd.d/nvidia*.json`).
    VulkanIcd,
    /// `dri/nvidia_drv_video.so`, the VA-API driver over NVDEC.
    VaNvidia,
}

impl StackFile {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The file's name, for people.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Nvml => "libnvidia-ml.so.1",
            Self::Cuda => "libcuda.so.1",
            Self::Encode => "libnvidia-encode.so.1",
            Self::Decode => "libnvcuvid.so.1",
            Self::EglLibrary => "libEGL_nvidia.so.0",
            Self::EglVendor => "egl_vendor.d/10_nvidia.json",
            Self::GlxLibrary => "libGLX_nvidia.so.0",
            Self::VulkanIcd => "vulkan/icd.d/nvidia_icd.json",
            Self::VaNvidia => "dri/nvidia_drv_video.so",
        }
    }
}

/// Which load of the kernel module `nvidia` it is: the inode number of `/sys/module/nvidia`, which the kernel gives out once in a boot.
/// A module that was removed and loaded again has another one. It means nothing in another boot.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DriverLoad(pub u64);

/// What DKMS made of NVIDIA's module for the running kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Dkms {
    /// It was built.
    Built {
        /// Version of the driver.
        version: String,
    },
    /// It has not been built for this kernel.
    NotBuilt {
        /// Version of the driver.
        version: String,
    },
    /// The last build ended with an error.
    Failed {
        /// Version of the driver.
        version: String,
        /// The build's log.
        log: String,
    },
}

/// The driver's software on the host. Each fact is optional: an absence gives the reason why it is not known, and
/// `Absence::None` that the host has none of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StackFacts {
    /// UEFI Secure Boot is on; `Absence::None` where the host was not started by UEFI.
    pub secure_boot: Reading<bool>,
    /// Lockdown of the kernel: `none`, `integrity` or `confidentiality`.
    pub lockdown: Reading<String>,
    /// Version of the loaded module `nvidia`; `Absence::None` where it is not loaded.
    pub module_loaded: Reading<String>,
    /// Which load of the module `nvidia` it is; `Absence::None` where it is not loaded.
    pub module_load: Reading<DriverLoad>,
    /// File of the module `nvidia` for the running kernel, below `/lib/modules/RELEASE`; `Absence::None` where there is none.
    pub module_file: Reading<String>,
    /// That file carries a signature; not known where it is compressed.
    pub module_signed: Reading<bool>,
    /// The file below modprobe's folders that keeps the module `nvidia` from loading; `Absence::None` where none does.
    pub module_barred_by: Reading<String>,
    /// What DKMS made of the module; `Absence::None` where DKMS knows nothing of it.
    pub dkms: Reading<Dkms>,
    /// Version of NVIDIA's libraries, out of the name of `libnvidia-ml.so.VERSION`; `Absence::None` where there is none.
    pub library_version: Reading<String>,
    /// Files of the user space that are there, on the host or in the driver container.
    pub files: Reading<BTreeSet<StackFile>>,
    /// Settings by which vfio-pci or pci-stub takes functions by their id at boot, as far as they can be read.
    pub claims: Vec<Claim>,
}

impl StackFacts {
    /// Versions of the loaded module and of the libraries, where both are known and differ: then NVML refuses to work.
    #[must_use]
    pub fn mismatch(&self) -> Option<(&str, &str)> {
        let (module, library) = (self.module_loaded.known()?, self.library_version.known()?);
        (module != library).then_some((module, library))
    }
}
