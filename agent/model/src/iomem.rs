//! Reads `/proc/iomem`: which PCI functions have the firmware's frame buffer in their memory.
//!
//! A reader without CAP_SYS_ADMIN sees every address as zero, but the nesting is there all the same: the kernel indents what lies
//! inside a region. `sysfb` reserves the frame buffer as `BOOTFB` even where no driver takes it, and while it is reserved a guest
//! cannot have the memory: `vfio-pci 0000:c3:00.0: BAR 0: can't reserve [mem …]`.

use crate::ids::PciAddress;
use crate::printable::printable;
use std::collections::BTreeMap;

/// What the firmware's frame buffer and the drivers that draw on it call their regions (`sysfb_create_simplefb`, `efifb_probe`,
/// `vesafb_probe`, the drivers below `drm/sysfb`).
const FRAME_BUFFERS: [&str; 10] =
    ["bootfb", "efidrm", "efifb", "ofdrm", "offb", "simpledrm", "simplefb", "vesadrm", "vesafb", "vga16fb"];

/// A region is the firmware's frame buffer, or a driver's on it.
fn is_frame_buffer(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FRAME_BUFFERS.contains(&name.as_str()) || name.contains("framebuffer")
}

/// The names of the firmware's frame buffers, by the function in whose memory they lie, the outermost first. `None` stands for those
/// that lie in no function's.
#[must_use]
pub fn frame_buffers(text: &str) -> BTreeMap<Option<PciAddress>, Vec<String>> {
    let mut found: BTreeMap<Option<PciAddress>, Vec<String>> = BTreeMap::new();
    // The regions around the line, each with the function whose it is.
    let mut around: Vec<(usize, Option<PciAddress>)> = Vec::new();
    for line in text.lines() {
        let indent = line.len().saturating_sub(line.trim_start().len());
        let Some((_, name)) = line.split_once(" : ") else { continue };
        while around.last().is_some_and(|(outer, _)| *outer >= indent) {
            around.pop();
        }
        let owner = around.last().and_then(|(_, owner)| *owner);
        if is_frame_buffer(name) {
            let names = found.entry(owner).or_default();
            if !names.iter().any(|known| known == name) {
                names.push(printable(name, 64));
            }
        }
        around.push((indent, name.parse().ok().or(owner)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<PciAddress> {
        Some(text.parse().unwrap())
    }

    /// As an unprivileged reader sees it.
    const HIDDEN: &str = "\
00000000-00000000 : Reserved
00000000-00000000 : PCI Bus 0000:00
  00000000-00000000 : PCI Bus 0000:c1
    00000000-00000000 : 0000:c3:00.0
      00000000-00000000 : BOOTFB
        00000000-00000000 : simpledrm
    00000000-00000000 : 0000:c3:00.0
  00000000-00000000 : PCI Bus 0000:01
    00000000-00000000 : 0000:01:00.0
      00000000-00000000 : nvidia
    00000000-00000000 : 0000:01:00.1
      00000000-00000000 : ICH HD audio
00000000-00000000 : System RAM
  00000000-00000000 : Kernel code
";

    #[test]
    fn a_frame_buffer_belongs_to_the_function_around_it() {
        let found = frame_buffers(HIDDEN);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [(at("0000:c3:00.0"), vec!["BOOTFB".into(), "simpledrm".into()])]
        );
    }

    #[test]
    fn every_shape_of_it_is_known_and_the_gpus_own_driver_is_none() {
        for name in ["BOOTFB", "efifb", "vesafb", "simplefb", "simpledrm", "efidrm", "vesadrm", "simple-framebuffer.0"]
        {
            let text = format!("e0000000-efffffff : 0000:01:00.0\n  e0000000-e1ffffff : {name}\n");
            assert_eq!(frame_buffers(&text).get(&at("0000:01:00.0")).map(Vec::len), Some(1), "{name}");
        }
        for name in ["nvidia", "amdgpu", "vfio-pci", "i915", "0000:02:00.0", "PCI Bus 0000:02"] {
            let text = format!("e0000000-efffffff : 0000:01:00.0\n  e0000000-e1ffffff : {name}\n");
            assert!(frame_buffers(&text).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_frame_buffer_in_no_functions_memory_is_told_as_such() {
        assert_eq!(frame_buffers("000a0000-000bffff : vga16fb\n").keys().collect::<Vec<_>>(), [&None]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([ ]{0,6}[0-9a-f-]{0,6}( : )?(BOOTFB|0000:01:00.0|x)?\n?){0,20}") {
            let _ = frame_buffers(&text);
        }
    }
}
