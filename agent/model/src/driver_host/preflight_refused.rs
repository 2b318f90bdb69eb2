//! Why no driver container is started on this host, one code each with its remedy, and what may go wrong although one is.

use super::driver_host_facts::PackageTool;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a driver of the host itself was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trace", rename_all = "snake_case")]
pub enum HostDriverTrace {
    /// The module is loaded, and no driver container has left a trace.
    Module {
        /// Its version, where it has one.
        version: Option<String>,
    },
    /// A module for the running kernel, which udev loads at the next boot.
    ModuleFile {
        /// The file.
        path: String,
    },
    /// NVIDIA's library.
    Library {
        /// The file.
        path: String,
        /// Its version, where it has one.
        version: Option<String>,
    },
    /// Packages of the distribution or of NVIDIA's repository.
    Packages {
        /// Name and version of each.
        names: Vec<String>,
    },
    /// NVIDIA's installer (`NVIDIA-Linux-….run`) was used.
    Installer {
        /// Its uninstaller.
        path: String,
    },
}

impl fmt::Display for HostDriverTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version =
            |version: &Option<String>| version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        match self {
            Self::Module { version: of } => {
                write!(f, "the module nvidia{} is loaded (/sys/module/nvidia)", version(of))
            }
            Self::ModuleFile { path } => write!(f, "there is a module for this kernel ({path})"),
            Self::Library { path, version: of } => write!(f, "NVIDIA's library{} is installed ({path})", version(of)),
            Self::Packages { names } => write!(f, "packages are installed ({})", names.join(", ")),
            Self::Installer { path } => write!(f, "NVIDIA's installer was used ({path})"),
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn joined(traces: &[HostDriverTrace]) -> String {
    traces.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// How a driver that was found is removed: by who brought it.
fn removal(found: &[HostDriverTrace], tool: PackageTool) -> String {
    let packaged = found.iter().find_map(|trace| match trace {
        HostDriverTrace::Packages { names } => Some(names),
        HostDriverTrace::Module { .. }
        | HostDriverTrace::ModuleFile { .. }
        | HostDriverTrace::Library { .. }
        | HostDriverTrace::Installer { .. } => None,
    });
    if let Some(names) = packaged {
        let names: Vec<&str> = names.iter().filter_map(|name| name.split(' ').next()).collect();
        return format!("`apt purge {}`, then reboot", names.join(" "));
    }
    let installer =
        found.iter().find_map(|trace| if let HostDriverTrace::Installer { path } = trace { Some(path) } else { None });
    if let Some(path) = installer {
        return format!("`{path} --silent`, then reboot");
    }
    if let [HostDriverTrace::Module { .. }] = found {
        return "stop what uses the GPUs and run `modprobe -r nvidia_drm nvidia_modeset nvidia_uvm nvidia`, or reboot"
            .to_owned();
    }
    let find = match tool {
        PackageTool::Apt => "dpkg -S",
        PackageTool::Dnf => "rpm -qf",
    };
    let path = found.iter().find_map(|trace| match trace {
        HostDriverTrace::ModuleFile { path } | HostDriverTrace::Library { path, .. } => Some(path.as_str()),
        HostDriverTrace::Module { .. } | HostDriverTrace::Packages { .. } | HostDriverTrace::Installer { .. } => None,
    });
    format!("remove what it belongs to (`{find} {}`), then reboot", path.unwrap_or("/usr/bin/nvidia-smi"))
}

fn enforced_by(secure_boot: Option<bool>, lockdown: Option<&str>) -> String {
    match (secure_boot, lockdown) {
        (Some(true), Some(mode)) if mode != "none" => {
            format!("Secure Boot is on and the kernel is locked down ({mode})")
        }
        (Some(true), _) => "Secure Boot is on".to_owned(),
        (_, Some(mode)) if mode != "none" => format!("the kernel is locked down ({mode})"),
        _ => "the kernel loads signed modules only (module.sig_enforce)".to_owned(),
    }
}

fn gib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024 * 1024);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Why no driver container is started here.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::VariantNames, strum::IntoStaticStr,
)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PreflightRefused {
    /// The host is the Linux of Windows.
    #[error(
        "this host is the Windows Subsystem for Linux (kernel {kernel}): its GPU has the driver of Windows, and no other one can be \
         loaded; update the driver in Windows and disable the driver container"
    )]
    Wsl {
        /// Kernel release.
        kernel: String,
    },
    /// There is no GPU that the driver could have.
    #[error("{}", no_gpu(passthrough))]
    NoNvidiaGpu {
        /// Those that are given to virtual machines.
        passthrough: Vec<PciAddress>,
    },
    /// nouveau has GPUs.
    #[error(
        "nouveau is bound to {}, so that NVIDIA's module cannot take them; write `blacklist nouveau` and `options nouveau modeset=0` \
         to /etc/modprobe.d/nouveau-off.conf, run `{}`, and reboot",
        list(gpus), tool.initramfs()
    )]
    NouveauBound {
        /// The GPUs.
        gpus: Vec<PciAddress>,
        /// How the initramfs is written.
        tool: PackageTool,
    },
    /// nova, the successor of nouveau, has GPUs.
    #[error(
        "{driver} is bound to {}, so that NVIDIA's module cannot take them (\"already bound to NovaCore\"); write `blacklist nova_core`, \
         `blacklist nova_drm` and `blacklist nova` to /etc/modprobe.d/nova-off.conf, run `{}`, and reboot",
        list(gpus), tool.initramfs()
    )]
    NovaBound {
        /// The GPUs.
        gpus: Vec<PciAddress>,
        /// The driver as sysfs names it.
        driver: String,
        /// How the initramfs is written.
        tool: PackageTool,
    },
    /// The kernel loads signed modules only, and the image builds one without a signature.
    #[error(
        "{}: the module that this image builds has no signature, and the kernel rejects it (\"Key was rejected by service\"); use an \
         image with precompiled, signed modules{}, install the signed driver of the distribution and disable the driver container, or \
         disable Secure Boot in the firmware",
        enforced_by(*secure_boot, lockdown.as_deref()), precompiled.as_ref().map_or(String::new(), |tag| format!(" (tag `{tag}`)"))
    )]
    SecureBoot {
        /// Whether Secure Boot is on, where that is known.
        secure_boot: Option<bool>,
        /// Lockdown of the kernel, where that is known.
        lockdown: Option<String>,
        /// The tag of NVIDIA's precompiled image for this kernel, where the distribution is one with such images.
        precompiled: Option<String>,
    },
    /// The host has a driver of its own.
    #[error(
        "the host has a driver of its own: {}; disable the driver container to use it, or remove it: {}",
        joined(found), removal(found, *tool)
    )]
    HostDriverPresent {
        /// Everything that shows it.
        found: Vec<HostDriverTrace>,
        /// How packages are removed.
        tool: PackageTool,
    },
    /// The loaded module and the libraries are of different versions.
    #[error(
        "the loaded module is version {module} and the libraries of {place} are version {library}: NVML refuses to work \
         (\"Driver/library version mismatch\") and no container gets a GPU; reboot, or stop what uses the GPUs and run \
         `modprobe -r nvidia_drm nvidia_modeset nvidia_uvm nvidia`"
    )]
    DriverMismatch {
        /// Version of the module.
        module: String,
        /// Version of the libraries.
        library: String,
        /// `the host` or `the driver container`.
        place: String,
    },
    /// Modules hold NVIDIA's that its entrypoint does not unload.
    #[error(
        "the module nvidia is loaded and used by {}, which the driver container does not unload: it exits with \"driver is in use\" \
         at each start; run `modprobe -r {}`, or reboot",
        modules.join(", "), modules.join(" ")
    )]
    ModulesInTheWay {
        /// Their names.
        modules: Vec<String>,
    },
    /// No mirror of the distribution has the headers of this kernel.
    #[error(
        "the kernel {kernel} is not from a package of this distribution, and its headers are not installed: the driver container \
         downloads them from the distribution's mirror, which does not have them (\"Could not resolve Linux kernel version\"); boot a \
         kernel of the distribution, or use an image with precompiled modules for this one"
    )]
    NoKernelHeaders {
        /// Kernel release.
        kernel: String,
    },
    /// NVIDIA builds no driver image for this distribution.
    #[error(
        "NVIDIA builds no driver image for {} {}, and the tag names no distribution; name one in the tag if an image of another \
         distribution is known to work here, or install the driver on the host and disable the driver container",
        id.as_deref().unwrap_or("an unknown distribution"), version.as_deref().unwrap_or("of unknown version")
    )]
    NoDriverImageForOs {
        /// os-release ID.
        id: Option<String>,
        /// os-release VERSION_ID.
        version: Option<String>,
    },
    /// The image is for another distribution.
    #[error(
        "the image is for {image_os} and this host is {host_os}: the headers of this kernel are not in the mirror that it uses; remove \
         the suffix from the tag (the right one is added) or write `-{host_os}`"
    )]
    ImageForOtherOs {
        /// What the tag names.
        image_os: String,
        /// What would be right.
        host_os: String,
    },
    /// The precompiled modules are for another kernel.
    #[error(
        "the image holds modules for kernel {image_kernel}, and {running} is running: use the image for {running}, one that builds its \
         module (a tag without a kernel), or boot {image_kernel}"
    )]
    ImageForOtherKernel {
        /// What the tag names.
        image_kernel: String,
        /// What runs.
        running: String,
    },
    /// There is too little space.
    #[error(
        "the file system of {path} has {} free, and the driver container needs {}; remove images and containers that are not needed \
         (`docker system df` shows them), or enlarge it",
        gib(*free_bytes), gib(*needed_bytes)
    )]
    DiskShort {
        /// Docker's root folder.
        path: String,
        /// What is free, in bytes.
        free_bytes: u64,
        /// What is needed, in bytes.
        needed_bytes: u64,
    },
    /// What a container mounts below `/run/nvidia` does not arrive on the host, and that cannot be changed from here.
    #[error(
        "the mount at {mount_point} that holds /run/nvidia is not shared, and systemd, which would be asked to share it, does not run this \
         machine: `mkdir -p /run/nvidia && mount --bind /run/nvidia /run/nvidia && mount --make-rshared /run/nvidia`"
    )]
    RunNvidiaNotShared {
        /// The mount that holds it.
        mount_point: String,
    },
}

fn no_gpu(passthrough: &[PciAddress]) -> String {
    if passthrough.is_empty() {
        return "no NVIDIA GPU is on the PCI bus of this host, and without one NVIDIA's module does not load; check the card and the \
                firmware (`lspci -nn -d 10de:`), or disable the driver container"
            .to_owned();
    }
    format!(
        "all NVIDIA GPUs are given to virtual machines ({}), and without one NVIDIA's module does not load; take one back \
         (`gpuhostctl passthrough release`), or disable the driver container",
        list(passthrough)
    )
}

impl PreflightRefused {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// What may go wrong although a container is started, and what could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::IntoStaticStr)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PreflightCaution {
    /// The kernel looks for firmware elsewhere than the driver container has it.
    #[error(
        "/sys/module/firmware_class/parameters/path is `{path}`, which the driver container keeps: the firmware of the GPUs (GSP) is not \
         found below /run/nvidia/driver/lib/firmware; remove `firmware_class.path=` from the kernel's command line, or copy the firmware \
         to that path"
    )]
    FirmwarePathSet {
        /// What it is set to.
        path: String,
    },
    /// The headers have to be downloaded, and the mirror may have dropped them.
    #[error(
        "the headers of kernel {kernel} are not installed: the driver container downloads them, and the mirror may not have this version \
         any more; upgrade the kernel and reboot if it ends with \"Could not resolve Linux kernel version\""
    )]
    HeadersFromMirror {
        /// Kernel release.
        kernel: String,
    },
    /// The kernel loads signed modules only, and whether it trusts the key of the image's is not known.
    #[error(
        "{}: the modules of the image load only if they are signed by a key that this host trusts; `journalctl -k -g 'key|module verification'` \
         shows it if they do not",
        enforced_by(*secure_boot, lockdown.as_deref())
    )]
    SignedByUnknownKey {
        /// Whether Secure Boot is on, where that is known.
        secure_boot: Option<bool>,
        /// Lockdown of the kernel, where that is known.
        lockdown: Option<String>,
    },
    /// The libraries that are mounted do not fit the module; the start of the container replaces both.
    #[error(
        "the loaded module is version {module} and the libraries at /run/nvidia/driver are version {library}, left by an earlier driver \
         container; its next start replaces both"
    )]
    LeftoverMismatch {
        /// Version of the module.
        module: String,
        /// Version of the libraries.
        library: String,
    },
    /// A fact could not be read, so that the check on it was not made.
    #[error("{what} could not be read ({why}), so that it was not checked")]
    NotChecked {
        /// What.
        what: String,
        /// The code of the reason.
        why: String,
    },
}

impl PreflightCaution {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
