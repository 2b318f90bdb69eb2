//! What to do where NVIDIA's module is not bound: by what keeps it away.

use super::folder;
use crate::ids::PciAddress;

/// The module is loaded, and the GPU is not its.
pub(in super::super) fn did_not_take(address: PciAddress) -> String {
    format!(
        "`dmesg | grep -iE 'NVRM|{address}'` shows why (a GPU that this version does not know, or open modules for an old one); \
         after a change of the driver `echo {address} > /sys/bus/pci/drivers_probe`, and check `ls -l {}/driver`",
        folder(address)
    )
}

/// A file of modprobe's names the module.
pub(in super::super) fn unbar(file: &str, os_id: Option<&str>) -> String {
    format!("remove the line with nvidia from {file}, then `{} && modprobe nvidia`", super::new_initramfs(os_id))
}

pub(in super::super) fn sign() -> String {
    "sign the module with a key of this machine: `mokutil --import /var/lib/dkms/mok.pub`, reboot and enrol the key in the \
     firmware's menu, then `dkms autoinstall`; or install the distribution's signed modules; or disable Secure Boot"
        .to_owned()
}

pub(in super::super) fn load(may_be_refused: bool) -> String {
    let refused = if may_be_refused {
        "; if that prints `Key was rejected by service`, enrol the module's key: `mokutil --import /var/lib/dkms/mok.pub`"
    } else {
        "; where that fails, `dmesg | tail` shows why"
    };
    format!("`modprobe nvidia`{refused}")
}

/// DKMS has not built it; `log` where it tried.
pub(in super::super) fn build(log: Option<&str>, os_id: Option<&str>) -> String {
    let headers = match os_id {
        Some("debian" | "ubuntu") => "apt install linux-headers-$(uname -r)",
        Some(_) | None => "dnf install kernel-devel-$(uname -r)",
    };
    let first = log
        .map(|log| format!("`tail {log}` shows why; usually the kernel's headers are missing: "))
        .unwrap_or_default();
    format!("{first}`{headers} && dkms autoinstall && modprobe nvidia`")
}
