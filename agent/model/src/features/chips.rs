//! What chips lack by design, by the device ids that their makers gave them: for facts that no driver reports.

use crate::ids::{PciClass, PciId};
use crate::pci::{VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use std::ops::RangeInclusive;

/// NVIDIA's compute chips without NVENC, after its video encode support matrix: GA100 (A100, A30), GH100 (H100, H200), GB100
/// and GB102 (B100, B200), GB110 (B300). Their drivers tell an encoder load of 0 all the same.
const NO_ENCODER: [RangeInclusive<u16>; 4] = [0x2080..=0x20ff, 0x2300..=0x23ff, 0x2900..=0x29ff, 0x3180..=0x31ff];

/// AMD's CDNA chips, which have no graphics engine: Arcturus (MI100), Aldebaran (MI200), Aqua Vanjaram (MI300), MI350.
const AMD_NO_GRAPHICS: [RangeInclusive<u16>; 4] = [0x7388..=0x738e, 0x7408..=0x7410, 0x74a0..=0x74bf, 0x75a0..=0x75bf];

/// Intel's Ponte Vecchio (Data Center GPU Max), which has no 3D pipeline.
const INTEL_NO_GRAPHICS: [RangeInclusive<u16>; 1] = [0x0bd0..=0x0bef];

/// Base class of a processing accelerator: it has no graphics.
const ACCELERATOR: u32 = 0x12;

fn is_among(device: u16, chips: &[RangeInclusive<u16>]) -> bool {
    chips.iter().any(|chip| chip.contains(&device))
}

/// A GPU of NVIDIA's has a video encoder.
pub(super) fn has_encoder(id: PciId) -> bool {
    id.vendor != VENDOR_NVIDIA || !is_among(id.device, &NO_ENCODER)
}

/// The chip draws.
pub(super) fn has_graphics(id: PciId, class: PciClass) -> bool {
    let without: &[RangeInclusive<u16>] = match id.vendor {
        VENDOR_AMD => &AMD_NO_GRAPHICS,
        VENDOR_INTEL => &INTEL_NO_GRAPHICS,
        _ => &[],
    };
    class.0 >> 16 != ACCELERATOR && !is_among(id.device, without)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PciId {
        text.parse().unwrap()
    }

    #[test]
    fn compute_chips_of_nvidia_have_no_encoder_and_others_do() {
        for (chip, expected) in [
            ("10de:20b0", false),
            ("10de:20b7", false),
            ("10de:2330", false),
            ("10de:2335", false),
            ("10de:2901", false),
            ("10de:2204", true),
            ("10de:26b5", true),
            ("10de:1db6", true),
            ("10de:1eb8", true),
            ("8086:20b0", true),
        ] {
            assert_eq!(has_encoder(id(chip)), expected, "{chip}");
        }
    }

    #[test]
    fn accelerators_do_not_draw() {
        let (vga, accelerator) = (PciClass(0x03_00_00), PciClass(0x12_00_00));
        assert!(!has_graphics(id("1002:74a1"), accelerator));
        assert!(!has_graphics(id("1002:740f"), PciClass(0x03_80_00)));
        assert!(!has_graphics(id("8086:0bd5"), PciClass(0x03_80_00)));
        assert!(has_graphics(id("1002:744c"), vga) && has_graphics(id("8086:56a0"), vga));
        assert!(!has_graphics(id("10de:1c03"), accelerator));
    }
}
