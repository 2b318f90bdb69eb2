//! Attributes and links of PCI functions, with any names and any content, through the real scan.

use crate::bounds::Bounds;
use crate::{Target, pieces, tree};

/// The target.
pub const TARGET: Target = Target {
    name: "pci",
    what: "/sys/bus/pci/devices",
    run,
    seeds,
    words: &[
        "0000:41:00.0 ",
        "0000:41:00.1 ",
        "10000:01:00.0 ",
        "class 0x030000\n",
        "class 0x030200\n",
        "class 0x068000\n",
        "vendor 0x10de\n",
        "device 0x20b0\n",
        "subsystem_vendor 0x10de\n",
        "driver -> /d/nvidia\n",
        "driver_override (null)\n",
        "iommu_group -> /g/7\n",
        "physfn -> ../0000:41:00.0\n",
        "virtfn0 -> ../0000:41:00.4\n",
        "numa_node -1\n",
        "current_link_speed 16.0 GT/s PCIe\n",
        "max_link_width 16\n",
        "boot_vga 1\n",
        "power_state D3cold\n",
        "drm renderD128\n",
        "-> ",
        "..",
    ],
    bounds: Bounds::USUAL,
};

fn run(input: &[u8]) {
    tree::scan(&pieces::lines(input, tree::LINES_MAX));
}

fn seeds() -> Vec<Vec<u8>> {
    let card = "0000:41:00.0 class 0x030200\n0000:41:00.0 vendor 0x10de\n0000:41:00.0 device 0x20b0\n\
                0000:41:00.0 subsystem_vendor 0x10de\n0000:41:00.0 subsystem_device 0x144e\n0000:41:00.0 driver -> /d/nvidia\n\
                0000:41:00.0 driver_override (null)\n0000:41:00.0 iommu_group -> /g/12\n0000:41:00.0 numa_node 1\n\
                0000:41:00.0 current_link_speed 16.0 GT/s PCIe\n0000:41:00.0 max_link_width 16\n\
                0000:41:00.0 power_state D0\n0000:41:00.0 drm card0\n0000:41:00.1 class 0x040300\n0000:41:00.1 vendor 0x10de\n";
    let virtuals = "0000:41:00.0 class 0x030200\n0000:41:00.0 vendor 0x10de\n0000:41:00.0 device 0x2236\n\
                    0000:41:00.0 virtfn0 -> ../0000:41:00.4\n0000:41:00.4 class 0x030200\n0000:41:00.4 vendor 0x10de\n\
                    0000:41:00.4 device 0x2236\n0000:41:00.4 physfn -> ../0000:41:00.0\n0000:42:00.0 physfn -> ../0000:99:00.0\n\
                    0000:42:00.0 class 0x030000\n0000:42:00.0 vendor 0x1002\n0000:42:00.0 device 0x73bf\n";
    let odd = "0000:41:00.0 class 0xffffff\n00000000:41:00.0 class 0x030000\n0000:41:1f.7 class 0x068000\n\
               0000:41:1f.7 vendor 0x10de\nx class 0x030000\n0000:43:00.0 class 0x030000\n0000:43:00.0 vendor \u{0}\n";
    [card, virtuals, odd].map(|text| text.as_bytes().to_vec()).to_vec()
}
