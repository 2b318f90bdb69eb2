//! What to do where NVIDIA's module is not bound: by what keeps it away.

use super::folder;
use crate::ids::PciAddress;

/// The module is loaded, and the GPU is not its.
pub(in super::super) fn did_not_take(address: PciAddress) -> String {
    format!(
        "`dmesg | grep -iE 'NVRM|{address}'` says why (a GPU that this version does not know, or open modules for an old one); \
         after a change of the driver `echo {address} > /sys/bus/pci/drivers_probe`, and look at `ls -l {}/driver`",
        folder(address)
    )
}

/// A file of modprobe's names the module.
pub(in super::super) fn unbar(file: &str, os_id: Option<&str>) -> String {
    format!("take the line with nvidia out of {file}, then `{} && modprobe nvidia`", super::new_initramfs(os_id))
}

pub(in super::super) fn sign() -> String {
    "sign the module with a key of this machine: `mokutil --import /var/lib/dkms/mok.pub`, reboot and enrol the key in the \
     firmware's menu, then `dkms autoinstall`; or install the distribution's signed modules; or switch Secure Boot off"
        .to_owned()
}

pub(in super::super) fn load(may_be_refused: bool) -> String {
    let refused = if may_be_refused {
        "; where that says `Key was rejected by service`, enrol the module's key: `mokutil --import /var/lib/dkms/mok.pub`"
    } else {
        "; where that fails, `dmesg | tail` says why"
    };
    format!("`modprobe nvidia`{refused}")
}

/// DKMS has not built it; `log` where it tried.
pub(in super::super) fn build(log: Option<&str>, os_id: Option<&str>) -> String {
    let headers = match os_id {
        Some("debian" | "ubuntu") => "apt install linux-headers-$(uname -r)",
        Some(_) | None => "dnf install kernel-devel-$(uname -r)",
    };
    let first =
        log.map(|log| format!("`tail {log}` says why; mostly the kernel's headers are missing: ")).unwrap_or_default();
    format!("{first}`{headers} && dkms autoinstall && modprobe nvidia`")
}
