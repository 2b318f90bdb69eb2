//! The shapes in which kernels show the firmware's frame buffer, each on a tree of files.

use crate::front::{Surroundings, Sysfs};
use model::ids::{IommuGroupId, PciAddress};
use model::plan::{Lane, Scope};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const GPU: &str = "0000:c3:00.0";
const OTHER: &str = "0000:01:00.0";

/// A host with a GPU of this class, and a second one on another bus.
struct Host(TempDir);

impl Host {
    fn with(class: &str) -> Self {
        let host = Self(TempDir::new().unwrap());
        for (address, class) in [(GPU, class), (OTHER, "0x030000")] {
            let folder = format!("sys/bus/pci/devices/{address}");
            for (file, text) in [("class", class), ("vendor", "0x1002"), ("device", "0x1586")] {
                host.put(&format!("{folder}/{file}"), text);
            }
        }
        host
    }

    fn put(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    fn gpu(&self, file: &str, text: &str) -> &Self {
        self.put(&format!("sys/bus/pci/devices/{GPU}/{file}"), text)
    }

    fn other(&self, file: &str, text: &str) -> &Self {
        self.put(&format!("sys/bus/pci/devices/{OTHER}/{file}"), text)
    }

    fn iomem(&self, text: &str) -> &Self {
        self.put("proc/iomem", text)
    }

    /// What of the console lies on each of the two.
    fn consoles(&self) -> [Option<String>; 2] {
        [GPU, OTHER].map(|address| {
            let at: PciAddress = address.parse().unwrap();
            let scope = Scope { lane: Lane::Group(IommuGroupId(1)), gpu: at, members: vec![at] };
            let around = Surroundings { dev: PathBuf::from("/nonexistent"), modules: PathBuf::from("/nonexistent") };
            let seen = Sysfs::new(self.0.path().join("sys")).group_state(&around, &scope).unwrap();
            seen.member(at).unwrap().console.clone()
        })
    }

    /// The GPU alone has something, and these words stand in it.
    fn is_on_the_gpu(&self, words: &[&str]) {
        let [gpu, other] = self.consoles();
        let told = gpu.expect("it is on the GPU");
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert_eq!(other, None);
    }
}

#[test]
fn a_host_without_a_frame_buffer_has_none() {
    assert_eq!(Host::with("0x038000").consoles(), [None, None]);
    let host = Host::with("0x030000");
    host.gpu("drm/card0/dev", "226:0").gpu("drm/renderD128/dev", "226:128");
    assert_eq!(host.consoles(), [None, None], "a card of its own driver is no console");
}

#[test]
fn a_frame_buffer_of_the_gpus_own_driver_is_told_with_its_name() {
    let host = Host::with("0x030000");
    host.gpu("graphics/fb1/name", "nvidia-drmdrmfb");
    host.is_on_the_gpu(&["frame buffer fb1", "nvidia-drmdrmfb"]);
}

#[test]
fn the_firmwares_is_a_child_of_the_function_since_linux_6_9() {
    for device in ["simple-framebuffer.0", "efi-framebuffer.0", "vesa-framebuffer.0"] {
        let host = Host::with("0x038000");
        host.gpu(&format!("{device}/graphics/fb0/name"), "EFI VGA");
        host.is_on_the_gpu(&[device, "fb0 (EFI VGA)"]);
        // Without the emulation of a frame buffer device there is a card alone, and without a driver nothing.
        let host = Host::with("0x038000");
        host.gpu(&format!("{device}/drm/card0/dev"), "226:0");
        host.is_on_the_gpu(&[device, "card0"]);
        let host = Host::with("0x038000");
        host.gpu(&format!("{device}/modalias"), "x");
        host.is_on_the_gpu(&[device]);
    }
}

#[test]
fn before_that_it_lies_under_the_platform_bus_and_the_memory_says_whose_it_is() {
    for (device, region) in
        [("efi-framebuffer.0", "BOOTFB"), ("simple-framebuffer.0", "simpledrm"), ("vesa-framebuffer.0", "vesafb")]
    {
        let host = Host::with("0x038000");
        host.put(&format!("sys/devices/platform/{device}/graphics/fb0/name"), "EFI VGA");
        host.iomem(&format!("00000000-00000000 : {GPU}\n  00000000-00000000 : {region}\n00000000-00000000 : {OTHER}"));
        host.is_on_the_gpu(&["firmware's frame buffer", region]);
    }
}

#[test]
fn a_reserved_region_is_in_the_way_also_where_no_driver_draws_on_it() {
    let host = Host::with("0x030200");
    host.iomem(&format!("00000000-00000000 : {GPU}\n  00000000-00000000 : BOOTFB"));
    host.is_on_the_gpu(&["BOOTFB"]);
}

#[test]
fn where_the_memory_says_nothing_the_primary_display_has_it() {
    for (file, class) in [("boot_vga", "0x030000"), ("boot_display", "0x038000")] {
        let host = Host::with(class);
        host.put("sys/devices/platform/efi-framebuffer.0/graphics/fb0/name", "EFI VGA").gpu(file, "1");
        host.other("boot_vga", "0");
        host.is_on_the_gpu(&["efi-framebuffer.0"]);
        // A console of the board's own, as servers have it, leaves the GPU free.
        let host = Host::with(class);
        host.put("sys/devices/platform/efi-framebuffer.0/graphics/fb0/name", "EFI VGA").other("boot_vga", "1");
        let [gpu, other] = host.consoles();
        assert!(gpu.is_none() && other.is_some());
    }
}

#[test]
fn where_nothing_says_whose_it_is_no_display_is_taken_for_free() {
    let host = Host::with("0x038000");
    host.put("sys/devices/platform/simple-framebuffer.0/graphics/fb0/name", "simpledrmdrmfb");
    for console in host.consoles() {
        assert!(console.is_some_and(|told| told.contains("not known whose memory")));
    }
    let host = Host::with("0x030200");
    host.put("sys/devices/platform/simple-framebuffer.0/graphics/fb0/name", "simpledrmdrmfb");
    let [computes, shows] = host.consoles();
    assert!(computes.is_none(), "a card without an output shows no picture");
    assert!(shows.is_some());
}

#[test]
fn the_scan_knows_the_primary_display_of_every_class() {
    let boot_vga = |host: &Host| {
        let scan = Sysfs::new(host.0.path().join("sys")).scan().unwrap();
        let gpu: PciAddress = GPU.parse().unwrap();
        scan.gpus.iter().find(|found| found.address == gpu).unwrap().boot_vga.get()
    };
    let host = Host::with("0x038000");
    assert_eq!(boot_vga(&host), None);
    assert_eq!(boot_vga(host.gpu("boot_display", "1")), Some(true));
    let host = Host::with("0x030000");
    assert_eq!(boot_vga(host.gpu("boot_vga", "0")), Some(false));
    assert_eq!(boot_vga(host.gpu("boot_display", "1")), Some(true), "the newer file is the wider one");
}
