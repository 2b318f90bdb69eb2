//! The forms in which records of the kernel log write the address of a device.

use crate::PciAddress;

/// At most so many addresses are taken from one record.
const NAMED_MAX: usize = 8;

/// A full address, with its domain.
pub(crate) fn full(text: &str) -> Option<PciAddress> {
    let text = text.trim_end_matches([':', ',', '.', ')', ']', ';', '!']);
    (text.matches(':').count() == 2).then(|| text.parse().ok()).flatten()
}

/// An address with or without its function (`0000:41:00`), as NVIDIA's driver writes a card; of drivers before 256 without a
/// domain and with a long bus number (`0001:00`).
pub(crate) fn card(text: &str) -> Option<PciAddress> {
    full(text).or_else(|| full(&format!("{text}.0"))).or_else(|| {
        let (bus, device) = text.split_once(':')?;
        let bus = bus.strip_prefix("00").filter(|bus| bus.len() == 2).unwrap_or(bus);
        format!("{bus}:{device}.0").parse().ok()
    })
}

/// An address whose domain may be missing, and whose parts may begin with `0x`: the IOMMU drivers write it so. Without a domain
/// it is in domain 0.
pub(crate) fn loose(text: &str) -> Option<PciAddress> {
    text.replace("0x", "").trim_matches(['[', ']', ',']).parse().ok()
}

/// A requester id as kernels before 4.20 write it, `id=4100`: bus, device and function in the domain of anyone who reports it.
pub(crate) fn requester(text: &str, domain: u32) -> Option<PciAddress> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let [bus, devfn] = u16::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(PciAddress { domain, bus, device: devfn >> 3, function: devfn & 7 })
}

/// A GPU's id as nvidia-drm writes it, `0x00004100`: the low half of its domain, its bus and its device (NVIDIA, gpu.c,
/// gpuGenerate32BitId).
fn gpu_id(text: &str) -> Option<PciAddress> {
    let digits = text.split(|c: char| !c.is_ascii_hexdigit()).next().filter(|digits| digits.len() == 8)?;
    let id = u32::from_str_radix(digits, 16).ok()?;
    let [.., bus, device] = id.to_be_bytes();
    (device < 32).then_some(PciAddress { domain: id >> 16, bus, device, function: 0 })
}

/// Every address that a text names: full ones, cards behind `PCI:`, and ids of nvidia-drm.
pub(crate) fn named(text: &str) -> impl Iterator<Item = PciAddress> {
    let tokens = text.split(|c: char| !c.is_ascii_hexdigit() && c != ':' && c != '.');
    let full = tokens.filter(|token| token.len() >= 12).filter_map(|token| full(token.trim_start_matches(':')));
    let cards = text.split("PCI:").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != ':').unwrap_or(rest.len());
        let token = rest.get(..end)?.trim_end_matches(':');
        // With its function it has been taken as a full one.
        let is_card = token.matches(':').count() == 2 && !rest.get(end..)?.starts_with('.');
        is_card.then(|| card(token)).flatten()
    });
    let by_id = text.split("[GPU ID 0x").skip(1).filter_map(gpu_id);
    full.chain(cards).chain(by_id).take(NAMED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_is_read_as_the_same_address() {
        assert_eq!(full("0000:41:00.0:"), Some(at("0000:41:00.0")));
        assert_eq!(full("10000:01:00.0"), Some(at("10000:01:00.0")), "behind a VMD controller");
        assert_eq!(full("41:00.0"), None, "a driver's record has the domain");
        assert_eq!(card("0000:41:00"), Some(at("0000:41:00.0")));
        assert_eq!(card("0041:00"), Some(at("0000:41:00.0")), "a driver of 2009");
        assert_eq!(card("12:00:00:1"), None);
        assert_eq!(loose("41:00.0]"), Some(at("0000:41:00.0")));
        assert_eq!(loose("[0x41:0x00.0]"), Some(at("0000:41:00.0")));
        assert_eq!(loose("0001:41:00.0"), Some(at("0001:41:00.0")));
        assert_eq!(requester("4101(Receiver ID)", 2), Some(at("0002:41:00.1")));
        assert_eq!(requester("41", 0), None);
        assert_eq!(requester("zz00", 0), None);
    }

    #[test]
    fn all_that_a_text_names_is_found_and_nothing_else() {
        let of = |text: &str| named(text).map(|address| address.to_string()).collect::<Vec<_>>();
        assert_eq!(of("NVRM: Xid (PCI:0000:41:00 GPU-I:05): 79, x"), ["0000:41:00.0"]);
        assert_eq!(of("nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028"), ["0000:84:00.0"]);
        assert_eq!(
            of("pcieport 0000:40:01.1: AER: Multiple error received from 0000:41:00.0"),
            ["0000:40:01.1", "0000:41:00.0"]
        );
        assert_eq!(of("device 00000000:04:00.0, 12:00:00.5, aa:bb:cc:dd:ee:ff, 2001:db8::1"), ["0000:04:00.0"]);
        assert_eq!(
            of("[drm:nv_drm_load [nvidia_drm]] *ERROR* [nvidia-drm] [GPU ID 0x00014100] Failed to register device"),
            ["0001:41:00.0"]
        );
        assert!(of("[GPU ID 0x0000410] [GPU ID 0x000041000] [GPU ID 0xé0004100] [GPU ID 0x000041ff]").is_empty());
        assert_eq!(of(&"0000:41:00.0 ".repeat(50)).len(), NAMED_MAX);
        assert!(of("PCI: Using configuration type 1; PCI:41:0:0; 2026:01:02").is_empty());
    }
}
