//! What to do about each broken link: one sentence with the real command in it.

pub(super) mod module;

use crate::absence::Absence;
use crate::docker::{self, ContainerEngine, DockerFacts};
use crate::driver::{ProbeError, SilentGpu};
use crate::ids::{DriverName, PciAddress};
use crate::os_cause::OsCauseKind;
use crate::pci::{GpuFunction, VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};

fn folder(address: PciAddress) -> String {
    format!("/sys/bus/pci/devices/{address}")
}

/// The kernel driver that serves GPUs of this vendor, in words.
pub(super) fn wanted_driver(vendor: u16) -> &'static str {
    match vendor {
        VENDOR_NVIDIA => "nvidia",
        VENDOR_AMD => "amdgpu",
        VENDOR_INTEL => "i915 or xe",
        _ => "its vendor's driver",
    }
}

pub(super) fn gpu_lost(address: PciAddress) -> String {
    format!(
        "look for the cause with `dmesg | grep -iE 'NVRM|Xid|{address}'`; only a reboot or a power cycle brings back a lost GPU"
    )
}

pub(super) fn no_power(address: PciAddress) -> String {
    let folder = folder(address);
    format!(
        "keep it awake and check again: `echo on > {folder}/power/control; echo 0 > {folder}/d3cold_allowed; \
         echo 1 > /sys/bus/pci/rescan`; if it stays without power, power the machine off and on"
    )
}

/// Module and libraries are of two versions.
pub(super) fn mismatch() -> String {
    "the driver was upgraded while its old module stayed loaded: stop what uses the GPUs, then `rmmod nvidia_uvm nvidia_drm \
     nvidia_modeset nvidia \
     && modprobe nvidia`, or reboot"
        .to_owned()
}

/// The GPU is on a VFIO driver and shall return to the host. An id that somebody gave to that driver (`new_id`) shows nowhere.
pub(super) fn take_back(pci: &GpuFunction, name: &DriverName) -> String {
    let (address, folder) = (pci.address, folder(pci.address));
    format!(
        "when no guest uses it: `echo > {folder}/driver_override; echo {:04x} {:04x} > /sys/bus/pci/drivers/{name}/remove_id; \
         echo {address} > /sys/bus/pci/drivers/{name}/unbind; echo {address} > /sys/bus/pci/drivers_probe` (remove_id answers \
         `No such device` if the driver never had the id)",
        pci.id.vendor, pci.id.device
    )
}

/// The kernel of WSL has a GPU of Windows', without a driver of its vendor and without nodes in /dev/dri.
pub(super) fn wsl() -> String {
    "use NVIDIA's tool of WSL: `/usr/lib/wsl/lib/nvidia-smi`; its driver is the one of Windows (do not install a driver \
     here), and gpuhostd can neither monitor a GPU of WSL nor give it to a virtual machine"
        .to_owned()
}

pub(super) fn clear_override(address: PciAddress) -> String {
    let folder = folder(address);
    format!(
        "to give it back to the host: `echo > {folder}/driver_override; echo {address} > /sys/bus/pci/drivers_probe`"
    )
}

/// An override keeps every other driver away, and a scan does not read it.
pub(super) fn look_for_override(address: PciAddress, otherwise: &str) -> String {
    let folder = folder(address);
    format!(
        "`cat {folder}/driver_override`: if it names a driver, the GPU is reserved for that driver (`echo > \
         {folder}/driver_override; \
         echo {address} > /sys/bus/pci/drivers_probe` gives it back); if it hangs, an unbind hangs in the kernel; else {otherwise}"
    )
}

pub(super) fn install_driver(vendor: u16, os_id: Option<&str>) -> String {
    match (vendor, os_id) {
        (VENDOR_NVIDIA, Some("ubuntu")) => {
            "install NVIDIA's driver: `ubuntu-drivers install --gpgpu`, then `modprobe nvidia`"
        }
        (VENDOR_NVIDIA, Some("debian")) => {
            "install NVIDIA's driver from the component non-free: `apt install nvidia-driver`, then `modprobe nvidia`"
        }
        (VENDOR_NVIDIA, _) => "install NVIDIA's driver for this distribution, then `modprobe nvidia`",
        (VENDOR_AMD, _) => {
            "load the driver: `modprobe amdgpu`; if it does not bind, `dmesg | grep amdgpu` shows why (firmware?)"
        }
        (VENDOR_INTEL, _) => {
            "load the driver: `modprobe i915` (`modprobe xe` for the newest GPUs); `dmesg` shows why it does not bind"
        }
        (_, _) => "install and load the kernel driver of this GPU's vendor",
    }
    .to_owned()
}

/// Another driver than the wanted one holds the GPU.
pub(super) fn replace_driver(pci: &GpuFunction, bound: &DriverName, os_id: Option<&str>, is_installed: bool) -> String {
    let install =
        if is_installed { "NVIDIA's driver is installed".to_owned() } else { install_driver(pci.id.vendor, os_id) };
    let modules = match bound.as_str() {
        "nouveau" => "nouveau",
        "nova" | "nova_core" | "nova-core" | "NovaCore" | "nova_drm" => "nova_core nova_drm",
        _ => {
            let (address, folder) = (pci.address, folder(pci.address));
            return format!(
                "unbind it: `echo > {folder}/driver_override; echo {address} > {folder}/driver/unbind`; {install}"
            );
        }
    };
    let lines = modules.split(' ').map(|module| format!("blacklist {module}")).collect::<Vec<_>>().join("\\n");
    let initramfs = new_initramfs(os_id);
    format!(
        "keep it from loading: `printf '{lines}\\n' > /etc/modprobe.d/gpuhostd-blacklist.conf && {initramfs}`; {install}; reboot"
    )
}

/// The command that makes the initial file system again, where modules are loaded from first.
fn new_initramfs(os_id: Option<&str>) -> &'static str {
    match os_id {
        Some("debian" | "ubuntu") => "update-initramfs -u",
        Some(_) | None => "dracut -f",
    }
}

/// The driver does not answer for one GPU.
pub(crate) fn silent(gpu: &SilentGpu) -> String {
    let address = gpu.address;
    match gpu.why {
        Absence::GpuLost => gpu_lost(address),
        Absence::ResetRequired => {
            format!("stop what uses the GPU, then `nvidia-smi -r -i {address}`; where that is refused, reboot")
        }
        Absence::NoPermission => {
            "find out why the GPU's device cannot be opened: `ls -l /dev/nvidia*`, and denials in the audit log"
                .to_owned()
        }
        Absence::None
        | Absence::NotSupported
        | Absence::NotReported
        | Absence::Deprecated
        | Absence::UnknownError
        | Absence::Garbled(_)
        | Absence::Unreadable(_)
        | Absence::DriverAbsent
        | Absence::ProbeTimeout
        | Absence::ProbeFailed
        | Absence::GpuAsleep
        | Absence::NotProbed
        | Absence::NotRead => format!(
            "`dmesg | grep -iE 'NVRM|Xid|{address}'` shows why; stop what uses the GPU and reset it (`nvidia-smi -r -i \
             {address}`), \
             or reboot; if it happens again, have the card checked"
        ),
    }
}

/// A source of driver facts failed.
pub(super) fn probe(fault: &ProbeError) -> String {
    if let Some(known) = crate::smi::remedy(&fault.to_string()) {
        return known.to_owned();
    }
    match fault {
        ProbeError::NotAsked { .. } => "wait a moment: the daemon has just started",
        ProbeError::Absent { .. } => {
            "install the driver's user space in the version of the loaded module (`cat /sys/module/nvidia/version`)"
        }
        ProbeError::Timeout { .. } | ProbeError::Stuck { .. } => {
            "the driver hangs: `dmesg | grep -iE 'NVRM|Xid'` shows why, `ps -eo pid,stat,wchan,comm | grep ' D'` who waits; \
             often only a reboot helps"
        }
        ProbeError::HandUnavailable { cause, .. } if cause.kind() == OsCauseKind::Denied => {
            "let the front's user use the socket of the host hand again: `systemctl restart gpuhostd-host.socket` sets its owner \
             and mode; `journalctl -k -g 'avc|apparmor'` shows what SELinux or AppArmor denied"
        }
        ProbeError::HandUnavailable { .. } => "give the host hand a new socket: `systemctl restart gpuhostd-host.socket`; \
                                               `journalctl -u gpuhostd-host` shows why it fails",
        ProbeError::Garbled { .. } => "run `nvidia-smi -q -x` by hand and compare",
        ProbeError::Failed { .. } | ProbeError::Crashed { .. } => {
            "run `nvidia-smi` by hand; `dmesg | grep -iE 'NVRM|Xid'` shows why"
        }
    }
    .to_owned()
}

pub(super) fn not_listed(address: PciAddress) -> String {
    format!("its initialisation failed: `dmesg | grep -iE 'NVRM|Xid|{address}'` shows why")
}

pub(super) fn docker(fault: &ProbeError) -> String {
    match fault {
        ProbeError::NotAsked { .. } => "wait a moment: the daemon has just started",
        ProbeError::Absent { .. } => {
            "install and start Docker: `apt install docker.io` or `dnf install docker-ce`; `systemctl start docker`"
        }
        ProbeError::HandUnavailable { cause, .. } if cause.kind() == OsCauseKind::Denied => {
            "let the front's user use the socket of the container hand again: `systemctl restart gpuhostd-containers.socket` sets \
             its owner and mode; `journalctl -k -g 'avc|apparmor'` shows what SELinux or AppArmor denied"
        }
        ProbeError::HandUnavailable { .. } => {
            "give the container hand a new socket: `systemctl restart gpuhostd-containers.socket`; `journalctl -u \
             gpuhostd-containers` shows why it fails"
        }
        ProbeError::Timeout { .. }
        | ProbeError::Stuck { .. }
        | ProbeError::Failed { .. }
        | ProbeError::Crashed { .. }
        | ProbeError::Garbled { .. } => {
            "see what is wrong with Docker: `systemctl status docker`, `journalctl -u docker -n 50`"
        }
    }
    .to_owned()
}

pub(super) fn nvidia_runtime(docker: &DockerFacts) -> String {
    let configure = if docker.rootless { docker::ROOTLESS_RUNTIME } else { docker::RUNTIME };
    format!("install nvidia-container-toolkit, then {configure}")
}

pub(super) fn cdi(docker: &DockerFacts) -> String {
    let folder = docker.cdi_spec_dirs.first().map_or("/etc/cdi", String::as_str);
    let write = format!("generate the specification again: `nvidia-ctk cdi generate --output={folder}/nvidia.yaml`");
    match docker.engine {
        ContainerEngine::Docker => write,
        ContainerEngine::Podman => format!("{write}; `podman run --device nvidia.com/gpu=all` uses it at once"),
    }
}

pub(super) fn no_render_node(address: PciAddress) -> String {
    let folder = folder(address);
    format!("`ls {folder}/drm` shows what the driver offers; a display-only driver has no render node")
}
