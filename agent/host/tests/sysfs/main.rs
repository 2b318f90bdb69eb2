//! Scans of sysfs trees: what a host shows, and what it costs when one part of it is wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod link;
mod state;
mod tree;

use host::front::Sysfs;
use model::absence::{Absence, Reading};
use model::ids::{IommuGroupId, PciAddress, PciId};
use model::pci::{GpuFunction, PciScan};
use std::fs;
use std::path::Path;
use tree::Tree;

fn scan(tree: &Tree) -> PciScan {
    Sysfs::new(tree.root()).scan().unwrap()
}

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn only_gpu(tree: &Tree) -> GpuFunction {
    let scan = scan(tree);
    assert_eq!(scan.gpus.len(), 1, "{scan:?}");
    scan.gpus.into_iter().next().unwrap()
}

#[test]
fn every_fact_of_one_gpu() {
    let tree = Tree::new();
    tree.gpu("0000:41:00.0", 17);
    let scan = scan(&tree);
    let gpu = &scan.gpus[0];
    assert_eq!(gpu.address, address("0000:41:00.0"));
    assert_eq!(gpu.id, PciId { vendor: 0x10de, device: 0x2330 });
    assert_eq!(gpu.class.to_string(), "030200");
    assert_eq!(gpu.subsystem.get().unwrap().to_string(), "10de:16c1");
    assert_eq!(gpu.driver.known().unwrap().as_str(), "nvidia");
    assert_eq!(gpu.driver_override, Reading::Absent(Absence::NotRead));
    assert_eq!(gpu.iommu_group.get(), Some(IommuGroupId(17)));
    assert_eq!(gpu.numa_node.get(), Some(1));
    assert_eq!((gpu.link.generation.get(), gpu.link.max_generation.get()), (Some(4), Some(5)));
    assert_eq!((gpu.link.width.get(), gpu.link.max_width.get()), (Some(8), Some(16)));
    assert_eq!(gpu.boot_vga.get(), Some(false));
    assert_eq!((gpu.drm.card.as_deref(), gpu.drm.render.as_deref()), (Some("card1"), Some("renderD129")));
    assert_eq!(gpu.power_state.known().unwrap(), "D0");
    assert_eq!(scan.groups.len(), 1);
    assert_eq!(scan.groups[0].kind.known().unwrap(), "DMA-FQ");
    assert!(scan.groups[0].is_isolated() && !scan.groups[0].is_viable());
    assert_eq!((scan.functions_total, scan.iommu_groups_total), (1, 1));
    assert!(scan.unreadable.is_empty());
}

#[test]
fn eight_gpus_among_three_hundred_functions() {
    let tree = Tree::new();
    for bus in 0..37_u32 {
        for device in 0..8_u32 {
            tree.function(&format!("0000:{bus:02x}:{device:02x}.0"), "060400", "8086", "347a")
                .join_group(bus * 8 + device);
        }
    }
    for index in 0..4_u32 {
        let audio = format!("0000:{:02x}:00.1", 0x80 + index);
        tree.gpu(&format!("0000:{:02x}:00.0", 0x80 + index), 500 + index);
        tree.function(&audio, "040300", "10de", "22ba").bind("snd_hda_intel").join_group(500 + index);
    }
    for index in 0..4_u32 {
        tree.gpu(&format!("10000:{index:02x}:00.0"), 600 + index);
    }
    let scan = scan(&tree);
    assert_eq!((scan.functions_total, scan.gpus.len(), scan.groups.len()), (308, 8, 8));
    assert_eq!(scan.iommu_groups_total, 304);
    assert!(scan.gpus.is_sorted_by_key(|gpu| gpu.address));
    assert_eq!(scan.gpus[0].companions, [address("0000:80:00.1")]);
    assert!(scan.gpus[7].companions.is_empty());
    assert_eq!(scan.groups[0].members.len(), 2);
    assert_eq!(scan.groups[0].members[1].driver.known().unwrap().as_str(), "snd_hda_intel");
    assert!(scan.groups[0].is_isolated());
}

#[test]
fn every_vendor_and_every_display_class() {
    let tree = Tree::new();
    for (slot, class, vendor) in
        [(1, "030000", "1002"), (2, "038000", "8086"), (3, "120000", "1002"), (4, "030200", "10de")]
    {
        tree.function(&format!("0000:{slot:02x}:00.0"), class, vendor, "1234");
    }
    tree.function("0000:05:00.0", "020000", "8086", "1572");
    let scan = scan(&tree);
    assert_eq!((scan.gpus.len(), scan.functions_total), (4, 5));
    // Without a driver, an IOMMU or PCIe each of these is a fact or an absence, never an error.
    let bare = &scan.gpus[0];
    assert!(bare.driver.is_none() && bare.iommu_group.is_none());
    assert_eq!(bare.link.generation, Reading::Absent(Absence::NotReported));
    assert!(scan.gpus[3].boot_vga.is_none(), "a 3D controller has no boot_vga file");
}

#[test]
fn virtual_functions_stand_under_their_card() {
    let tree = Tree::new();
    let card = tree.gpu("0000:08:00.0", 38);
    for index in 0..16_u32 {
        let name = format!("0000:08:{:02x}.{}", index / 8 + 1, index % 8);
        tree.gpu(&name, 50 + index).link("physfn", "0000:08:00.0");
        card.link(&format!("virtfn{index}"), &name);
    }
    let scan = scan(&tree);
    assert_eq!(scan.gpus.len(), 1, "a count by class and vendor would say 17");
    assert_eq!(scan.gpus[0].virtual_functions.len(), 16);
    assert_eq!(scan.gpus[0].virtual_functions[0], address("0000:08:01.0"));
    assert_eq!(scan.groups.len(), 1);
}

#[test]
fn virtual_functions_of_the_same_slot_are_no_companions() {
    let tree = Tree::new();
    tree.gpu("0000:08:00.0", 38);
    tree.function("0000:08:00.1", "040300", "10de", "22ba");
    tree.gpu("0000:08:00.4", 39).link("physfn", "0000:08:00.0");
    let gpu = only_gpu(&tree);
    assert_eq!(gpu.companions, [address("0000:08:00.1")]);
    assert_eq!(gpu.virtual_functions, [address("0000:08:00.4")]);
}

#[test]
fn a_virtual_function_without_its_card_is_a_gpu() {
    let tree = Tree::new();
    tree.gpu("0000:08:00.4", 39).link("physfn", "0000:08:00.0");
    assert_eq!(only_gpu(&tree).physical_function, None);
    // The card is there, and cannot be read: its virtual function is not lost with it.
    tree.function("0000:08:00.0", "030200", "10de", "2330").put("vendor", "?");
    let scan = scan(&tree);
    assert_eq!(scan.gpus.len(), 1);
    assert_eq!(scan.gpus[0].physical_function, Some(address("0000:08:00.0")));
    assert_eq!(scan.unreadable.len(), 1);
}

#[test]
fn an_nvswitch_is_no_gpu_and_another_bridge_no_nvswitch() {
    let tree = Tree::new();
    tree.function("0000:c1:00.0", "068000", "10de", "22a3");
    tree.function("0000:c2:00.0", "068000", "8086", "0001");
    let scan = scan(&tree);
    assert_eq!((scan.gpus.len(), scan.nvswitches), (0, vec![address("0000:c1:00.0")]));
}

#[test]
fn a_foreign_member_of_the_group_is_named() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 0);
    tree.function("0000:00:01.0", "060400", "8086", "1901").bind("pcieport").join_group(0);
    tree.function("0000:03:00.0", "010802", "144d", "a808").bind("nvme").join_group(0);
    let group = &scan(&tree).groups[0];
    assert_eq!(group.id, IommuGroupId(0));
    assert!(!group.is_isolated());
    let foreign: Vec<_> = group.foreign_to(address("0000:01:00.0")).map(|member| member.address).collect();
    assert_eq!(foreign, [address("0000:03:00.0")]);
}

#[test]
fn groups_that_are_not_listed_are_put_together_from_the_links() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    tree.function("0000:03:00.0", "010802", "144d", "a808").bind("nvme").join_group(4);
    fs::remove_dir_all(tree.root().join("kernel/iommu_groups")).unwrap();
    let scan = scan(&tree);
    assert_eq!(scan.gpus[0].iommu_group.get(), Some(IommuGroupId(4)));
    assert_eq!(scan.groups[0].members.len(), 2);
    assert!(!scan.groups[0].is_isolated(), "an empty list of members would have passed for isolated");
    assert_eq!(scan.groups[0].kind, Reading::Absent(Absence::NotReported));
    assert_eq!(scan.iommu_groups_total, 1);
}

#[test]
fn no_iommu_is_a_fact() {
    let tree = Tree::new();
    tree.function("0000:01:00.0", "030000", "10de", "1b80");
    fs::remove_dir_all(tree.root().join("kernel/iommu_groups")).unwrap();
    let scan = scan(&tree);
    assert!(scan.gpus[0].iommu_group.is_none());
    assert_eq!((scan.iommu_groups_total, scan.groups.len()), (0, 0));
}

#[test]
fn a_member_that_is_no_pci_function_is_reported() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    fs::write(tree.root().join("kernel/iommu_groups/4/devices/arm-smmu.0"), "").unwrap();
    let scan = scan(&tree);
    assert_eq!(scan.unreadable.len(), 1);
    assert!(scan.unreadable[0].said.contains("IOMMU group 4"), "{:?}", scan.unreadable);
}

#[test]
fn functions_that_come_and_go_between_two_scans() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    tree.gpu("0000:02:00.0", 5);
    let sysfs = Sysfs::new(tree.root());
    assert_eq!(sysfs.scan().unwrap().gpus.len(), 2);
    tree.unplug("0000:01:00.0");
    let scan = sysfs.scan().unwrap();
    assert_eq!((scan.gpus.len(), scan.functions_total, scan.unreadable.len()), (1, 1, 0));
    assert_eq!(scan.gpus[0].address, address("0000:02:00.0"));
}

/// On tmpfs, where classes are remembered as on sysfs.
#[test]
fn another_function_at_the_same_address_is_seen_as_what_it_is() {
    let tree = Tree::on_tmpfs();
    tree.gpu("0000:01:00.0", 4);
    tree.function("0000:02:00.0", "010802", "144d", "a808");
    let sysfs = Sysfs::new(tree.root());
    for _ in 0..2 {
        assert_eq!(sysfs.scan().unwrap().gpus[0].address, address("0000:01:00.0"));
    }
    for name in ["0000:01:00.0", "0000:02:00.0"] {
        tree.unplug(name);
    }
    tree.function("0000:01:00.0", "010802", "144d", "a808");
    tree.function("0000:02:00.0", "030200", "10de", "2330");
    let scan = sysfs.scan().unwrap();
    assert_eq!((scan.gpus.len(), scan.gpus[0].address), (1, address("0000:02:00.0")));
    assert_eq!(scan, Sysfs::new(tree.root()).scan().unwrap());
}

/// The same card put in again, flashed meanwhile, or another card of the same kind: only the inode number of the entry says so.
#[test]
fn another_gpu_at_the_same_address_is_read_anew() {
    let tree = Tree::on_tmpfs();
    tree.gpu("0000:01:00.0", 4);
    let sysfs = Sysfs::new(tree.root());
    for (subsystem, lanes) in [("0x16c1", "16"), ("0x16c2", "8"), ("0x16c3", "4")] {
        tree.unplug("0000:01:00.0");
        fs::remove_dir_all(tree.root().join("kernel/iommu_groups/4")).unwrap();
        let gpu = tree.gpu("0000:01:00.0", 4);
        gpu.put("device", subsystem).put("subsystem_device", subsystem).put("max_link_width", lanes);
        for _ in 0..2 {
            let (scan, fresh) = (sysfs.scan().unwrap(), Sysfs::new(tree.root()).scan().unwrap());
            assert_eq!(scan, fresh);
            assert_eq!(scan.gpus[0].link.max_width.known().map(u32::to_string).as_deref(), Some(lanes));
        }
    }
}

#[test]
fn what_cannot_change_while_a_function_stays_is_not_read_again() {
    let tree = Tree::on_tmpfs();
    let gpu = tree.gpu("0000:01:00.0", 4);
    let sound = tree.function("0000:01:00.1", "040300", "10de", "22a3").join_group(4);
    let disk = tree.function("0000:02:00.0", "010802", "144d", "a808");
    let sysfs = Sysfs::new(tree.root());
    let first = sysfs.scan().unwrap();
    for function in [&gpu, &sound, &disk] {
        for name in ["class", "vendor", "device"] {
            fs::remove_file(function.path.join(name)).unwrap();
        }
    }
    for name in ["subsystem_vendor", "subsystem_device", "max_link_speed", "max_link_width"] {
        fs::remove_file(gpu.path.join(name)).unwrap();
    }
    assert_eq!(sysfs.scan().unwrap(), first);
    assert_eq!(Sysfs::new(tree.root()).scan().unwrap().unreadable.len(), 3, "who has not seen them cannot know them");
}

/// Everything that is not fixed is read in each scan.
#[test]
fn what_can_change_is_read_again() {
    let tree = Tree::on_tmpfs();
    let gpu = tree.gpu("0000:01:00.0", 4);
    let sysfs = Sysfs::new(tree.root());
    sysfs.scan().unwrap();
    fs::create_dir_all(gpu.path.join("power")).unwrap();
    for (name, value) in [
        ("numa_node", "0"),
        ("current_link_speed", "2.5 GT/s PCIe"),
        ("current_link_width", "1"),
        ("power_state", "D3hot"),
        ("boot_vga", "1"),
        ("power/control", "auto"),
        ("power/runtime_status", "active"),
        ("d3cold_allowed", "1"),
        ("reset_method", "flr bus"),
    ] {
        let before = sysfs.scan().unwrap();
        gpu.put(name, value);
        let now = sysfs.scan().unwrap();
        assert!(now != before, "{name} was not read again");
        assert_eq!(now, Sysfs::new(tree.root()).scan().unwrap());
    }
    fs::remove_file(gpu.path.join("driver")).unwrap();
    fs::remove_file(gpu.path.join("iommu_group")).unwrap();
    assert_eq!(sysfs.scan().unwrap(), Sysfs::new(tree.root()).scan().unwrap());
}

/// What could not be read is no knowledge.
#[test]
fn what_failed_is_read_again() {
    let tree = Tree::on_tmpfs();
    let gpu = tree.gpu("0000:01:00.0", 4);
    gpu.put("max_link_width", "63").put("subsystem_device", "garbage");
    let sysfs = Sysfs::new(tree.root());
    assert!(sysfs.scan().unwrap().gpus[0].link.max_width.known().is_none());
    gpu.put("max_link_width", "16").put("subsystem_device", "0x16c1");
    let scan = sysfs.scan().unwrap();
    assert!(scan.gpus[0].link.max_width.known().is_some() && scan.gpus[0].subsystem.known().is_some());
}

#[test]
fn a_function_that_vanishes_between_list_and_read_is_left_out_silently() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    tree.gpu("0000:02:00.0", 5);
    // Its entry of the list is still there, what it points at is not: what readdir saw just before the removal.
    fs::remove_dir_all(tree.root().join("devices/0000:01:00.0")).unwrap();
    let scan = scan(&tree);
    assert_eq!((scan.gpus.len(), scan.functions_total, scan.unreadable.len()), (1, 1, 0), "{scan:?}");
}

/// A function that goes while it is being read must not pass for one on which no driver is bound.
#[test]
fn a_function_that_vanishes_while_it_is_read_is_whole_or_not_there() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    let (there, gone) = (tree.root().join("devices/0000:01:00.0"), tree.root().join("gone"));
    let expected = only_gpu(&tree);
    let sysfs = Sysfs::new(tree.root());
    for round in 0..400_u32 {
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                // Another moment of the scan in each round.
                for _ in 0..round * 50 {
                    std::hint::spin_loop();
                }
                fs::rename(&there, &gone).unwrap();
            });
            start.wait();
            let scan = sysfs.scan().unwrap();
            assert!(scan.unreadable.is_empty(), "{:?}", scan.unreadable);
            if let Some(gpu) = scan.gpus.first() {
                assert_eq!(*gpu, expected, "round {round}");
            }
        });
        fs::rename(&gone, &there).unwrap();
    }
}

#[test]
fn a_member_that_has_left_the_bus_is_no_member() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    fs::write(tree.root().join("kernel/iommu_groups/4/devices/0000:05:00.0"), "").unwrap();
    assert_eq!(scan(&tree).groups[0].members.len(), 1);
}

#[test]
fn names_come_from_the_hardware_database() {
    assert!(Path::new("/usr/lib/udev/hwdb.bin").exists(), "this test needs udev's hwdb (package udev)");
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    let gpu = only_gpu(&tree);
    assert_eq!(gpu.vendor_name.as_deref(), Some("NVIDIA Corporation"));
    assert!(gpu.name.as_deref().unwrap().contains("H100"), "{:?}", gpu.name);
    let tree = Tree::new();
    tree.function("0000:01:00.0", "030000", "fff7", "fff7");
    let unknown = only_gpu(&tree);
    assert_eq!((unknown.vendor_name, unknown.name), (None, None));
}

#[test]
fn a_host_without_a_pci_bus_says_where_it_looked() {
    let tree = Tree::new();
    fs::remove_dir_all(tree.root().join("bus")).unwrap();
    let fault = Sysfs::new(tree.root()).scan().unwrap_err();
    assert!(fault.path.ends_with("bus/pci/devices"), "{fault}");
    assert!(fault.to_string().contains("No such file"), "{fault}");
}

#[test]
fn names_that_are_no_addresses_hide_nothing() {
    let tree = Tree::new();
    tree.gpu("0000:01:00.0", 4);
    let devices = tree.root().join("bus/pci/devices");
    for name in ["garbage", "0000:0A:00.0", "02:00.0", "0000:02:00.8", "x\ny"] {
        fs::create_dir(devices.join(name)).unwrap();
    }
    let scan = scan(&tree);
    assert_eq!((scan.gpus.len(), scan.functions_total, scan.unreadable.len()), (1, 1, 5));
    assert!(scan.unreadable.iter().all(|one| !one.name.contains('\n')));
}

/// Each attribute in each wrong state: the other facts of the GPU, and the other GPU, stay as they were.
#[test]
fn one_bad_attribute_costs_one_fact() {
    let attributes = [
        "subsystem_vendor",
        "subsystem_device",
        "numa_node",
        "current_link_speed",
        "max_link_speed",
        "current_link_width",
        "max_link_width",
        "power_state",
        "boot_vga",
        "driver",
        "iommu_group",
        "drm",
    ];
    for attribute in attributes {
        for (state, content) in [
            ("missing", None),
            ("a folder", None),
            ("empty", Some(Vec::new())),
            ("4 kB", Some(vec![b'9'; 4096])),
            ("binary", Some(vec![0xff, 0xfe, 0x00, 0x80, b'\n'])),
            ("negative", Some(b"-1\n".to_vec())),
            ("huge", Some(b"0x99999999999999999999\n".to_vec())),
            ("of control characters", Some(b"\x1b[2J\x07\n".to_vec())),
        ] {
            let tree = Tree::new();
            let gpu = tree.gpu("0000:01:00.0", 4);
            tree.gpu("0000:02:00.0", 5);
            let expected = scan(&tree);
            break_attribute(&gpu.path.join(attribute), state, content.as_deref());
            let found = scan(&tree);
            let case = format!("{attribute} {state}");
            assert_eq!(found.gpus.len(), 2, "{case}");
            assert_eq!(found.gpus[1], expected.gpus[1], "{case}");
            assert!(found.unreadable.is_empty(), "{case}: {:?}", found.unreadable);
            assert_eq!(facts_that_differ(&found.gpus[0], &expected.gpus[0]), lost_with(attribute, state), "{case}");
        }
    }
}

fn break_attribute(path: &Path, state: &str, content: Option<&[u8]>) {
    if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    match content {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None if state == "a folder" => fs::create_dir(path).unwrap(),
        None => {}
    }
}

/// The one fact that an attribute carries; −1 is a legitimate NUMA node.
fn lost_with(attribute: &str, state: &str) -> Vec<&'static str> {
    match (attribute, state) {
        ("subsystem_vendor" | "subsystem_device", _) => vec!["subsystem"],
        ("numa_node", _) => vec!["numa_node"],
        ("current_link_speed" | "max_link_speed" | "current_link_width" | "max_link_width", _) => vec!["link"],
        ("power_state", _) => vec!["power_state"],
        ("boot_vga", _) => vec!["boot_vga"],
        ("driver", _) => vec!["driver"],
        ("iommu_group", _) => vec!["iommu_group"],
        _ => vec!["drm"],
    }
}

fn facts_that_differ(one: &GpuFunction, other: &GpuFunction) -> Vec<&'static str> {
    let same = [
        ("subsystem", one.subsystem == other.subsystem),
        ("driver", one.driver == other.driver),
        ("driver_override", one.driver_override == other.driver_override),
        ("iommu_group", one.iommu_group == other.iommu_group),
        ("numa_node", one.numa_node == other.numa_node),
        ("link", one.link == other.link),
        ("boot_vga", one.boot_vga == other.boot_vga),
        ("drm", one.drm == other.drm),
        ("power_state", one.power_state == other.power_state),
        ("companions", one.companions == other.companions),
        ("virtual_functions", one.virtual_functions == other.virtual_functions),
        ("name", one.name == other.name),
        ("id", (one.id, one.class) == (other.id, other.class)),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

#[test]
fn reasons_beside_the_nulls() {
    let tree = Tree::new();
    let gpu = tree.gpu("0000:01:00.0", 4);
    gpu.put("numa_node", "-1").put("current_link_speed", "Unknown").put("current_link_width", "0");
    gpu.put("power_state", "unknown");
    fs::remove_file(gpu.path.join("driver")).unwrap();
    fs::create_dir(gpu.path.join("driver")).unwrap();
    let gpu = only_gpu(&tree);
    assert!(gpu.numa_node.is_none());
    assert_eq!(gpu.link.generation, Reading::Absent(Absence::Garbled("Unknown".to_owned())));
    assert_eq!(gpu.link.width, Reading::Absent(Absence::Garbled("0".to_owned())));
    assert_eq!(gpu.power_state, Reading::Absent(Absence::Garbled("unknown".to_owned())));
    assert!(matches!(gpu.driver, Reading::Absent(Absence::Unreadable(_))), "{:?}", gpu.driver);
}

#[test]
fn without_an_identity_it_is_named_and_hides_no_other() {
    for attribute in ["class", "vendor", "device"] {
        let tree = Tree::new();
        let gpu = tree.gpu("0000:01:00.0", 4);
        tree.gpu("0000:02:00.0", 5);
        fs::remove_file(gpu.path.join(attribute)).unwrap();
        fs::create_dir(gpu.path.join(attribute)).unwrap();
        let scan = scan(&tree);
        assert_eq!(scan.gpus.len(), 1, "{attribute}");
        assert_eq!(scan.unreadable.len(), 1, "{attribute}");
        let fault = &scan.unreadable[0];
        assert_eq!(fault.name, "0000:01:00.0");
        assert!(fault.path.ends_with(attribute) && !fault.said.is_empty(), "{fault:?}");
    }
}

#[test]
fn a_pipe_in_place_of_an_attribute_does_not_block() {
    let tree = Tree::new();
    let gpu = tree.gpu("0000:01:00.0", 4);
    fs::remove_file(gpu.path.join("numa_node")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(gpu.path.join("numa_node")).status().unwrap();
    assert!(made.success());
    assert_eq!(only_gpu(&tree).numa_node.known(), None);
}
