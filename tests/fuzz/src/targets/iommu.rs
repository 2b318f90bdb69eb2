//! The listing of IOMMU groups around three sound functions: any groups, any members, any links to them.

use crate::bounds::Bounds;
use crate::{Target, pieces, tree};

/// The target.
pub const TARGET: Target = Target {
    name: "iommu",
    what: "/sys/kernel/iommu_groups",
    run,
    seeds,
    words: &[
        "group 7 DMA-FQ\n",
        "group 7 identity\n",
        "member 7 0000:41:00.0\n",
        "member 7 0000:41:00.1\n",
        "member 7 0000:42:00.0\n",
        "0000:41:00.0 iommu_group -> /g/7\n",
        "0000:42:00.0 iommu_group -> /g/7\n",
        "0000:42:00.0 driver -> /d/vfio-pci\n",
        "4294967295",
        "4294967296",
        "-1",
        "usb1",
        "-> ",
    ],
    bounds: Bounds::USUAL,
};

/// Two GPUs and the audio function of the first.
const FUNCTIONS: [(&str, &str, &str); 3] = [
    ("0000:41:00.0", "0x030000", "0x2684"),
    ("0000:41:00.1", "0x040300", "0x22ba"),
    ("0000:42:00.0", "0x030200", "0x20b0"),
];

fn run(input: &[u8]) {
    let mut lines: Vec<String> = Vec::new();
    for (name, class, device) in FUNCTIONS {
        lines.extend([
            format!("{name} class {class}"),
            format!("{name} vendor 0x10de"),
            format!("{name} device {device}"),
        ]);
    }
    let room = tree::LINES_MAX - lines.len();
    lines.extend(pieces::lines(input, room));
    tree::scan(&lines);
}

fn seeds() -> Vec<Vec<u8>> {
    let alone = "group 7 DMA-FQ\nmember 7 0000:41:00.0\nmember 7 0000:41:00.1\n0000:41:00.0 iommu_group -> /g/7\n\
                 0000:41:00.1 iommu_group -> /g/7\n0000:41:00.1 driver -> /d/snd_hda_intel\n";
    let shared = "group 7 identity\nmember 7 0000:41:00.0\nmember 7 0000:42:00.0\nmember 7 usb1\nmember 7 0000:99:00.0\n\
                  0000:41:00.0 iommu_group -> ../../../7\n0000:42:00.0 iommu_group -> /g/7\n";
    let unlisted =
        "0000:41:00.0 iommu_group -> /g/4294967295\n0000:42:00.0 iommu_group -> /g/4294967296\ngroup x \u{1}\n";
    [alone, shared, unlisted].map(|text| text.as_bytes().to_vec()).to_vec()
}
