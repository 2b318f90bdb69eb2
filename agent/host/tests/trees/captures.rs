//! Scans of hosts that others recorded, compared with what an independent reading of the same files says.

use host::front::Sysfs;
use model::pci::PciScan;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const PRINTED: &str = "scan: ";

const ATTRIBUTES: [&str; 11] = [
    "boot_vga",
    "class",
    "current_link_speed",
    "current_link_width",
    "device",
    "max_link_speed",
    "max_link_width",
    "numa_node",
    "power_state",
    "subsystem_device",
    "vendor",
];

/// A file of the recorded hosts, where this checkout has them beside it.
fn recorded(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/pci").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: there are no recorded hosts ({})", path.display());
    None
}

/// The PCI functions of a recording with their links and the attributes that a scan reads: the rest is five times as much,
/// and umockdev takes a minute to lay it out.
fn pci_functions_of(recording: &str) -> String {
    let functions = recording.split("\n\n").filter(|device| device.lines().any(|line| line == "E: SUBSYSTEM=pci"));
    let wanted = |line: &&str| {
        let attribute = line.strip_prefix("A: ").and_then(|rest| rest.split_once('=')).map(|(name, _)| name);
        line.starts_with(['P', 'E', 'L']) || attribute.is_some_and(|name| ATTRIBUTES.contains(&name))
    };
    functions.map(|device| device.lines().filter(wanted).collect::<Vec<_>>().join("\n") + "\n\n").collect()
}

/// Not a test of its own: what the test below runs under umockdev, which shows it another /sys.
#[test]
#[ignore = "started by its parent under umockdev"]
fn child_that_scans_sys() {
    println!("{PRINTED}{}", serde_json::to_string(&Sysfs::new("/sys").scan().unwrap()).unwrap());
}

#[test]
fn an_sriov_host_with_vgpus_has_one_gpu_and_its_console() {
    let Some(recording) = recorded("harvester_vgpu-node.umockdev") else { return };
    let folder = TempDir::new().unwrap();
    let trimmed = folder.path().join("pci.umockdev");
    fs::write(&trimmed, pci_functions_of(&fs::read_to_string(recording).unwrap())).unwrap();
    let output = Command::new("umockdev-run")
        .arg("-d")
        .arg(trimmed)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "captures::child_that_scans_sys", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once(PRINTED)).unwrap().1;
    let scan: PciScan = serde_json::from_str(line).unwrap();
    assert_eq!(scan.functions_total, 226);
    let found: Vec<_> = scan.gpus.iter().map(|gpu| (gpu.address.to_string(), gpu.virtual_functions.len())).collect();
    assert_eq!(found, [("0000:01:00.1".to_owned(), 0), ("0000:08:00.0".to_owned(), 16)]);
    let gpu = &scan.gpus[1];
    assert_eq!((gpu.driver.known().unwrap().as_str(), gpu.iommu_group.get().unwrap().0), ("nvidia", 38));
    assert_eq!((gpu.link.max_generation.get(), gpu.link.max_width.get()), (Some(4), Some(16)));
    assert_eq!(gpu.companions, []);
    assert_eq!(scan.gpus[0].companions.len(), 3, "a server's console shares its card with three other functions");
    assert!(scan.unreadable.is_empty(), "{:?}", scan.unreadable);
}

/// Each recorded tree against a plain reading of it: which functions are there, and which of them are displays.
#[test]
fn recorded_trees_as_a_plain_reading_sees_them() {
    let archives = [
        ("ghw_linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d.tar.gz", "sys"),
        ("ghw_linux-amd64-accel-nvidia.tar.gz", "sys"),
        ("hwloc_2pa-pcidomain32bits.tar.bz2", "2pa-pcidomain32bits/sys"),
    ];
    for (archive, root) in archives {
        let Some(archive) = recorded(archive) else { return };
        let folder = TempDir::new().unwrap();
        // Links and special files in the archive may not be ours to make; what is missing then is missing for both.
        Command::new("tar").arg("-C").arg(folder.path()).arg("-xf").arg(&archive).output().unwrap();
        let root = folder.path().join(root);
        let mut displays = Vec::new();
        let mut functions = 0;
        for entry in fs::read_dir(root.join("bus/pci/devices")).unwrap().flatten() {
            functions += 1;
            let class = fs::read_to_string(entry.path().join("class")).unwrap();
            if class.starts_with("0x03") || class.starts_with("0x12") {
                let id = |file| {
                    fs::read_to_string(entry.path().join(file)).unwrap().trim().trim_start_matches("0x").to_owned()
                };
                displays.push((entry.file_name().into_string().unwrap(), format!("{}:{}", id("vendor"), id("device"))));
            }
        }
        displays.sort();
        let scan = Sysfs::new(&root).scan().unwrap();
        let found: Vec<_> = scan.gpus.iter().map(|gpu| (gpu.address.to_string(), gpu.id.to_string())).collect();
        assert_eq!((found, scan.functions_total), (displays, functions), "{}", archive.display());
        assert!(scan.unreadable.is_empty(), "{}: {:?}", archive.display(), scan.unreadable);
    }
}
