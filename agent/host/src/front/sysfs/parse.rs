//! The texts of sysfs attributes, turned into values: exact forms only, anything else is garbled.

use model::ids::{PciClass, PciId};

/// Most NUMA nodes that Linux can be built for.
const NUMA_NODES_MAX: u32 = 1024;

fn hex(text: &str, digits_max: usize) -> Option<u32> {
    let digits = text.strip_prefix("0x")?;
    let fits = (1..=digits_max).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `0x030200`.
pub(super) fn class(text: &str) -> Option<PciClass> {
    hex(text, 6).map(PciClass)
}

/// `0x10de`.
pub(super) fn word16(text: &str) -> Option<u16> {
    u16::try_from(hex(text, 4)?).ok()
}

/// A vendor and a device.
pub(super) const fn id(vendor: u16, device: u16) -> PciId {
    PciId { vendor, device }
}

/// A NUMA node; the outer `None` is garbage, the inner one is −1, "no node".
pub(super) fn numa_node(text: &str) -> Option<Option<u32>> {
    if text == "-1" {
        return Some(None);
    }
    decimal(text).filter(|node| *node < NUMA_NODES_MAX).map(Some)
}

/// `16.0 GT/s PCIe` → 4. Older kernels write `8 GT/s`, and `Unknown` (or `Unknown speed`) while the link is down.
pub(super) fn generation(text: &str) -> Option<u32> {
    let (rate, unit) = text.split_once(' ')?;
    if unit != "GT/s" && unit != "GT/s PCIe" {
        return None;
    }
    match rate {
        "2.5" => Some(1),
        "5" | "5.0" => Some(2),
        "8" | "8.0" => Some(3),
        "16" | "16.0" => Some(4),
        "32" | "32.0" => Some(5),
        "64" | "64.0" => Some(6),
        "128" | "128.0" => Some(7),
        _ => None,
    }
}

/// Lanes. 0 and 255 are what a link reports that is down, 63 what a function reports that has left the bus.
pub(super) fn width(text: &str) -> Option<u32> {
    decimal(text).filter(|lanes| matches!(lanes, 1 | 2 | 4 | 8 | 12 | 16 | 32))
}

/// `0` or `1`.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// `D0` … `D3cold`; `unknown` and `error` say nothing.
pub(super) fn power_state(text: &str) -> Option<String> {
    matches!(text, "D0" | "D1" | "D2" | "D3hot" | "D3cold").then(|| text.to_owned())
}

/// `auto` lets the kernel put the device to sleep, `on` does not.
pub(super) fn power_control(text: &str) -> Option<bool> {
    match text {
        "auto" => Some(true),
        "on" => Some(false),
        _ => None,
    }
}

/// `removable` or `fixed`; `unknown` reports that the kernel does not know.
pub(super) fn removable(text: &str) -> Option<Option<bool>> {
    match text {
        "removable" => Some(Some(true)),
        "fixed" => Some(Some(false)),
        "unknown" => Some(None),
        _ => None,
    }
}

/// `flr bus pm`; an empty line reports that there is no way to reset the function.
pub(super) fn reset_methods(text: &str) -> Option<Vec<String>> {
    let methods: Vec<&str> = text.split_ascii_whitespace().collect();
    let fits = |method: &&str| method.len() <= 32 && method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (methods.len() <= 16 && methods.iter().all(fits)).then(|| methods.into_iter().map(str::to_owned).collect())
}

/// A count of bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `37`: per cent, 0 to 100.
pub(super) fn per_cent(text: &str) -> Option<f64> {
    decimal(text).filter(|value| *value <= 100).map(f64::from)
}

fn whole(text: &str) -> Option<f64> {
    text.parse::<i32>().ok().map(f64::from).or_else(|| text.parse::<u32>().ok().map(f64::from))
}

/// hwmon's temperatures: thousandths of a degree. No chip lives beyond these bounds.
pub(super) fn thousandths(text: &str) -> Option<f64> {
    whole(text).map(|value| value / 1000.0).filter(|degrees| (-60.0..=250.0).contains(degrees))
}

/// hwmon's power in microwatts and its clocks in hertz, as watts and megahertz. Up to 4294 of either.
pub(super) fn millionths(text: &str) -> Option<f64> {
    decimal(text).map(|value| f64::from(value) / 1_000_000.0)
}

/// A whole number above 0.
pub(super) fn positive(text: &str) -> Option<f64> {
    decimal(text).filter(|value| *value > 0).map(f64::from)
}

/// A whole number.
pub(super) fn positive_or_zero(text: &str) -> Option<f64> {
    decimal(text).map(f64::from)
}

/// The domain type of an IOMMU group.
pub(super) fn group_kind(text: &str) -> Option<String> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| text.to_owned())
}

/// The number in `card0` or `renderD128`.
pub(super) fn node_number(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix).filter(|digits| !digits.is_empty() && digits.len() < 8).and_then(decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_old_and_new_kernels() {
        for (text, expected) in [
            ("2.5 GT/s PCIe", Some(1)),
            ("2.5 GT/s", Some(1)),
            ("8 GT/s", Some(3)),
            ("16.0 GT/s PCIe", Some(4)),
            ("64.0 GT/s PCIe", Some(6)),
            ("Unknown", None),
            ("Unknown speed", None),
            ("16.0", None),
            ("16.0 MB/s", None),
        ] {
            assert_eq!(generation(text), expected, "{text}");
        }
    }

    #[test]
    fn no_lane_count_of_a_dead_link() {
        assert_eq!((width("16"), width("0"), width("255"), width("63"), width("+8"), width("")), {
            (Some(16), None, None, None, None, None)
        });
    }

    #[test]
    fn no_node_is_not_garbage() {
        assert_eq!(numa_node("-1"), Some(None));
        assert_eq!(numa_node("0"), Some(Some(0)));
        for text in ["-2", "4096", "", "1.0", "99999999999999999999"] {
            assert_eq!(numa_node(text), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_needs_its_prefix_and_its_size() {
        assert_eq!(class("0x030200"), Some(PciClass(0x03_0200)));
        assert_eq!(word16("0x10de"), Some(0x10de));
        for text in ["10de", "0x", "0x+1", "0x12345", "0xzz", ""] {
            assert_eq!(word16(text), None, "{text}");
        }
    }

    #[test]
    fn drm_nodes_by_their_whole_name() {
        assert_eq!(node_number("card0", "card"), Some(0));
        assert_eq!(node_number("renderD128", "renderD"), Some(128));
        for name in ["card", "card0-HDMI-A-1", "card+1", "cardx", "card99999999"] {
            assert_eq!(node_number(name, "card"), None, "{name}");
        }
    }
}
