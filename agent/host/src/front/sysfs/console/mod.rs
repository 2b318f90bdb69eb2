//! What of the host's console lies on a function: frame buffers of its own driver, and the firmware's, of every shape.

use super::listing::names;
use model::ids::{PciAddress, PciClass};
use model::iomem;
use model::printable::printable;
use std::collections::BTreeMap;
use std::path::Path;

/// A VGA controller, and a display controller that is none: an Instinct, an APU.
const SHOWS_PICTURES: [u32; 2] = [0x0300, 0x0380];

/// The firmware's frame buffers of the host, read once for all functions of a look.
#[derive(Debug)]
pub(super) struct Firmware {
    /// By the function in whose memory they lie; `None` where the kernel does not say it.
    regions: Option<BTreeMap<Option<PciAddress>, Vec<String>>>,
    /// Frame buffers that are no function's child in the tree of devices, in words.
    loose: Vec<String>,
    /// The firmware's display is known, and is that function.
    primary: Option<PciAddress>,
}

impl Firmware {
    /// Those of the host whose sysfs is at `root`; its `/proc` lies beside it.
    pub(super) fn of(root: &Path) -> Self {
        let text = root.parent().and_then(|above| std::fs::read_to_string(above.join("proc/iomem")).ok());
        Self {
            regions: text.map(|text| iomem::frame_buffers(&text)),
            // Before Linux 6.9 sysfb gives its device no parent: it lies under the platform bus.
            loose: below(&root.join("devices/platform")),
            primary: primary(&root.join("bus/pci/devices")),
        }
    }

    /// Words for what lies on this function; `None` = nothing, as far as can be determined.
    fn on(&self, address: PciAddress, class: Option<PciClass>) -> Option<String> {
        let regions = self.regions.as_ref();
        if let Some(names) = regions.and_then(|regions| regions.get(&Some(address))) {
            return Some(format!("the firmware's frame buffer is in its memory ({})", names.join(", ")));
        }
        let is_told = regions.is_some_and(|regions| regions.keys().any(Option::is_some));
        let shows_pictures = class.is_some_and(|class| SHOWS_PICTURES.contains(&class.base_and_sub()));
        let may_be_this = self.primary.is_none_or(|primary| primary == address);
        let frame_buffer = self.loose.first().filter(|_| !is_told && shows_pictures && may_be_this)?;
        let whose = if self.primary.is_some() { "" } else { "; it is not known whose memory it uses" };
        Some(format!("{frame_buffer}{whose}"))
    }
}

/// What of the host's console is on the function with this folder.
pub(super) fn on(folder: &Path, address: PciAddress, class: Option<PciClass>, firmware: &Firmware) -> Option<String> {
    // The kernel's console draws on a frame buffer of the function, which its driver registers below it.
    let own = || shown(folder).map(|shown| format!("frame buffer {shown}"));
    own().or_else(|| below(folder).into_iter().next()).or_else(|| firmware.on(address, class))
}

/// Devices of the firmware's frame buffer in a folder: `simple-framebuffer.0`, `efi-framebuffer.0`, `vesa-framebuffer.0`. The
/// memory is reserved as long as the device is there, whether a driver draws on it or not.
fn below(folder: &Path) -> Vec<String> {
    let devices = names(folder).into_iter().filter(|name| name.contains("framebuffer"));
    let mut devices: Vec<String> = devices
        .map(|name| match shown(&folder.join(&name)) {
            Some(shown) => format!("the firmware's frame buffer {name} is {shown}"),
            None => format!("the firmware's frame buffer {name}"),
        })
        .collect();
    devices.sort();
    devices
}

/// `fb0 (simpledrmdrmfb)`, or the card where the driver has no frame buffer device.
fn shown(device: &Path) -> Option<String> {
    let first = |folder: &str, prefix: &str| {
        let mut names = names(&device.join(folder));
        names.retain(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())));
        names.sort();
        names.into_iter().next()
    };
    if let Some(fb) = first("graphics", "fb") {
        let name = std::fs::read_to_string(device.join("graphics").join(&fb).join("name")).unwrap_or_default();
        let name: String = printable(name.trim(), 64);
        return Some(if name.is_empty() { fb } else { format!("{fb} ({name})") });
    }
    // A GPU's own driver makes a card for every use; the firmware's frame buffer has one for its picture alone.
    let is_firmwares = device.file_name().is_some_and(|name| name.to_string_lossy().contains("framebuffer"));
    first("drm", "card").filter(|_| is_firmwares)
}

/// The function that the firmware drew on.
fn primary(functions: &Path) -> Option<PciAddress> {
    let is_on = |path: std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    let names = names(functions).into_iter();
    let mut on =
        names.filter(|name| ["boot_vga", "boot_display"].iter().any(|file| is_on(functions.join(name).join(file))));
    on.find_map(|name| name.parse().ok())
}

#[cfg(test)]
mod tests;
