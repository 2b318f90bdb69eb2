//! Devices: NVIDIA's nodes and their links, and the place of a GPU on the bus.

use super::place::{Place, absence};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DeviceNode, PciSlot};
use model::ids::PciAddress;
use std::os::unix::fs::PermissionsExt;

/// `/dev/nvidia*`, without the folder of capabilities.
pub(super) fn nodes(place: &Place) -> Reading<Vec<DeviceNode>> {
    let names = match place.names("/dev") {
        Ok(names) => names,
        Err(why) => return Reading::Absent(why),
    };
    let mut nodes = Vec::new();
    for name in names.iter().filter(|name| name.starts_with("nvidia")) {
        let path = format!("/dev/{name}");
        match place.path(&path).symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(found) => nodes.push(DeviceNode { path, mode: found.permissions().mode() & 0o7777 }),
            Err(error) if absence(&error) == Absence::None => {}
            Err(error) => return Reading::Absent(absence(&error)),
        }
    }
    Reading::Known(nodes)
}

/// Links in `/dev/char` that lead to NVIDIA's devices.
pub(super) fn char_links(place: &Place) -> Reading<Vec<String>> {
    let leads = |name: &String| {
        let target = place.link(&format!("/dev/char/{name}"));
        target.is_some_and(|target| target.file_name().is_some_and(|file| file.to_string_lossy().starts_with("nvidia")))
    };
    match place.names("/dev/char") {
        Ok(names) => Reading::Known(names.into_iter().filter(leads).collect()),
        // No folder, no link.
        Err(Absence::None) => Reading::Known(Vec::new()),
        Err(why) => Reading::Absent(why),
    }
}

/// `DeviceFileMode: 438`, in decimal.
pub(super) fn node_mode(place: &Place) -> Reading<u32> {
    place.read("/proc/driver/nvidia/params", |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("DeviceFileMode:"))?;
        line.trim().parse().ok()
    })
}

/// What of the GPU's place on the bus the scan does not tell.
pub(super) fn slot(place: &Place, address: PciAddress) -> PciSlot {
    let folder = format!("/sys/bus/pci/devices/{address}");
    PciSlot {
        address,
        bar1_bytes: place.read(&format!("{folder}/resource"), |text| size(text.lines().nth(1)?)),
        bar1_max_bytes: place.read(&format!("{folder}/resource1_resize"), largest),
    }
}

/// `0x0000203000000000 0x00002037ffffffff 0x000000000014220c`: first and last address, flags.
fn size(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let mut number = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (first, last) = (number()?, number()?);
    if last == 0 { Some(0) } else { last.checked_sub(first)?.checked_add(1) }
}

/// A bit for each size, from 1 MiB on.
fn largest(mask: &str) -> Option<u64> {
    let mask = u64::from_str_radix(mask.trim().trim_start_matches("0x"), 16).ok()?;
    let bit = mask.checked_ilog2()?;
    1_u64.checked_shl(bit.checked_add(20)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_bar() {
        assert_eq!(size("0x0000203000000000 0x00002037ffffffff 0x000000000014220c"), Some(32 << 30));
        assert_eq!(size("0x0000000000000000 0x0000000000000000 0x0000000000000000"), Some(0));
        assert_eq!(size("what"), None);
    }

    #[test]
    fn the_largest_size_of_a_resizable_bar() {
        assert_eq!(largest("0000000000007fc0"), Some(16 << 30));
        assert_eq!(largest("0000000000000100"), Some(256 << 20));
        assert_eq!(largest("0"), None);
        assert_eq!(largest("ffffffffffffffff"), None);
    }
}
