//! The tree on disk and the host in process are the same host.

use host_sim::tree::{write_sysfs, write_user_space};
use host_sim::{Artifacts, write_tree};
use model::PciAddress;
use model::pci::PciScan;
use sim::bus::Bus;
use sim::faults::{Attribute, NvmlFault, PciFault, PciFaultKind, SmiFault};
use sim::{BUILT_IN, Description, load, synthetic};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn artifacts() -> Artifacts {
    Artifacts { smi: env!("CARGO_BIN_EXE_nvidia-smi").into(), nvml: Artifacts::beside_this_program().unwrap().nvml }
}

fn tree(description: &Description) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_tree(description, folder.path(), &artifacts()).unwrap();
    folder
}

/// `/sys` alone, in memory where there is such a file system: thousands of small files are slow on a disk.
fn sysfs(description: &Description) -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    write_sysfs(description, &Bus::lay_out(description).unwrap(), folder.path()).unwrap();
    folder
}

/// The scan in process, without the names that no sysfs has.
fn in_process(description: &Description) -> PciScan {
    let mut scan = sim::scan::scan(&Bus::lay_out(description).unwrap(), &description.faults);
    for gpu in &mut scan.gpus {
        (gpu.name, gpu.vendor_name) = (None, None);
    }
    scan
}

#[test]
fn every_built_in_host_reads_the_same_on_disk_and_in_process() {
    for (name, _) in BUILT_IN {
        let description = load(name).unwrap();
        let folder = sysfs(&description);
        let (disk, process) = (crate::common::scan(folder.path()), in_process(&description));
        assert!(!disk.gpus.is_empty(), "{name}");
        assert_eq!(disk, process, "{name}");
    }
}

#[test]
fn hosts_of_any_size_do_too() {
    for (gpus, functions) in [(8, 300), (64, 1000)] {
        let description = synthetic(gpus, functions).unwrap();
        let disk = crate::common::scan(sysfs(&description).path());
        assert_eq!((disk.gpus.len(), disk.functions_total), (usize::try_from(gpus).unwrap(), functions));
        assert_eq!(disk, in_process(&description));
    }
}

#[test]
fn every_fault_of_an_attribute_does_too() {
    let whole = load("workstation-rtx").unwrap();
    let card: PciAddress = "0000:01:00.0".parse().unwrap();
    let audio = PciAddress { function: 1, ..card };
    let attributes = [
        Attribute::Class,
        Attribute::Vendor,
        Attribute::Device,
        Attribute::SubsystemVendor,
        Attribute::SubsystemDevice,
        Attribute::NumaNode,
        Attribute::BootVga,
        Attribute::DriverOverride,
        Attribute::PowerState,
        Attribute::CurrentLinkSpeed,
        Attribute::MaxLinkSpeed,
        Attribute::CurrentLinkWidth,
        Attribute::MaxLinkWidth,
    ];
    let mut kinds = vec![PciFaultKind::Vanishes];
    for which in attributes {
        kinds.push(PciFaultKind::Unreadable(which));
        kinds.push(PciFaultKind::Garbage(which, "no such thing".to_owned()));
    }
    let healthy = in_process(&whole);
    for what in kinds {
        for address in [card, audio] {
            let mut description = whole.clone();
            description.faults.pci.push(PciFault { address, what: what.clone() });
            let disk = crate::common::scan(sysfs(&description).path());
            assert_eq!(disk, in_process(&description), "{address} {what:?}");
            // Of a companion the attributes that a scan does not read cost nothing.
            assert!(address == audio || disk != healthy, "{what:?} shows nowhere");
        }
    }
}

#[test]
fn the_tree_is_laid_out_as_the_kernel_lays_it_out() {
    let folder = sysfs(&load("dgx-a100").unwrap());
    let sys = folder.path();
    let real = fs::canonicalize(sys.join("bus/pci/devices/0000:07:00.0")).unwrap();
    let below = real.strip_prefix(fs::canonicalize(sys).unwrap()).unwrap();
    assert_eq!(below.to_str().unwrap(), "devices/pci0000:00/0000:00:01.1/0000:01:00.0/0000:02:00.0/0000:07:00.0");
    let same = |path: &str| assert_eq!(fs::canonicalize(sys.join(path)).unwrap(), real, "{path}");
    same("bus/pci/drivers/nvidia/0000:07:00.0");
    same("kernel/iommu_groups/20/devices/0000:07:00.0");
    same("class/drm/renderD128/device");
    let text = |name: &str| fs::read_to_string(real.join(name)).unwrap();
    assert_eq!(text("class"), "0x030200\n");
    assert_eq!(text("numa_node"), "3\n");
    assert_eq!(text("driver_override"), "(null)\n");
    assert_eq!(text("current_link_speed"), "16.0 GT/s PCIe\n");
    assert_eq!(text("modalias"), "pci:v000010DEd000020B0sv000010DEsd0000134Fbc03sc02i00\n");
    assert!(text("uevent").contains("PCI_CLASS=30200\n"), "without a leading zero: {}", text("uevent"));
    assert!(!real.join("boot_vga").exists(), "a 3D controller has no boot_vga");
}

#[test]
fn virtual_functions_are_linked_both_ways() {
    let folder = sysfs(&load("vgpu-host-16vf").unwrap());
    let bus = folder.path().join("bus/pci/devices");
    let real = |path: &str| fs::canonicalize(bus.join(path)).unwrap();
    assert_eq!(real("0000:08:02.3/physfn"), real("0000:08:00.0"));
    assert_eq!(real("0000:08:00.0/virtfn15"), real("0000:08:02.3"));
    assert_eq!(fs::read_to_string(bus.join("0000:08:00.0/sriov_numvfs")).unwrap(), "16\n");
}

#[test]
fn a_tree_can_be_moved() {
    let description = load("workstation-rtx").unwrap();
    let folder = tree(&description);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("deeper/host");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(folder.path(), &moved).unwrap();
    assert_eq!(crate::common::scan(&moved.join("sys")), in_process(&description));
}

fn user_space(description: &Description) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_user_space(description, &Bus::lay_out(description).unwrap(), folder.path(), &artifacts()).unwrap();
    folder
}

fn files(root: &Path, description: &Description) -> (bool, bool) {
    let home = host_sim::tree::driver_root(description, root);
    let program = home.join("usr/bin/nvidia-smi");
    let runs = program.is_file() && program.metadata().unwrap().permissions().mode() & 0o111 == 0o111;
    (runs, home.join("usr/lib/libnvidia-ml.so.1").exists())
}

#[test]
fn the_user_space_is_there_where_a_driver_is_installed() {
    let with = |change: fn(&mut Description)| {
        let mut description = load("l40s-server").unwrap();
        change(&mut description);
        let folder = user_space(&description);
        assert!(!folder.path().join("usr/bin/nvidia-smi").exists(), "it lives in the container");
        files(folder.path(), &description)
    };
    assert_eq!(with(|_| {}), (true, true));
    assert_eq!(with(|d| d.faults.nvml = Some(NvmlFault::Missing)), (true, false));
    assert_eq!(with(|d| d.faults.smi = Some(SmiFault::Missing)), (false, true));
    let bare = load("nouveau-desktop").unwrap();
    assert_eq!(files(user_space(&bare).path(), &bare), (false, false));
}

#[test]
fn a_host_without_a_pci_bus_has_none() {
    let mut description = load("t4-cloud-vm").unwrap();
    description.faults.no_pci_bus = true;
    assert!(!tree(&description).path().join("sys/bus").exists());
}

#[test]
fn facts_of_the_host_are_in_proc_and_etc() {
    let folder = tree(&load("dgx-a100").unwrap());
    let text = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    assert_eq!(text("proc/sys/kernel/hostname"), "dgx-a100-01\n");
    assert!(
        text("proc/meminfo").lines().any(|line| line == "MemTotal:       1056563200 kB"),
        "{}",
        text("proc/meminfo")
    );
    assert!(text("etc/os-release").contains("\nID=ubuntu\n"));
    assert_eq!(text("proc/stat").lines().filter(|line| line.starts_with("cpu")).count(), 257);
    assert!(text("proc/diskstats").lines().next().unwrap().starts_with("   8       0 sda 9000 0 41943040 "));
    assert!(folder.path().join("sys/block/sda/device").is_dir());
    assert_eq!(text("sys/class/net/enp226s0/address"), "5c:ff:35:e0:00:01\n");
    assert_eq!(text("sys/class/dmi/id/sys_vendor"), "NVIDIA\n");
}

#[test]
fn missing_artifacts_say_how_to_build_them() {
    let nowhere = tempfile::tempdir().unwrap();
    let error = Artifacts::beside(&nowhere.path().join("a/b/program")).unwrap_err().to_string();
    assert!(error.contains("nvidia-smi") && error.contains("cargo build -p host-sim"), "{error}");
}
