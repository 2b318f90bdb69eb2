//! GPUs that nobody has open and that are not given away all the same, from the command line to simulated hosts and trees of files.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::sim::SimDaemon;
use e2e::world::World;
use std::fs;
use std::path::Path;

/// What a command printed on both streams; it must end with this status.
fn said(world: &World, bus: &Bus, args: &[&str], status: i32) -> String {
    let output = world.ctl(&bus.address, args);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    said
}

fn simulated(host: &str) -> (World, Bus, SimDaemon) {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let daemon = SimDaemon::start(&world, &bus.address, host);
    (world, bus, daemon)
}

#[test]
fn persistence_mode_is_named_with_the_command_that_ends_it() {
    let (world, bus, _daemon) = simulated("l40s-server");
    for args in [["passthrough", "check", "4a:00.0"], ["passthrough", "bind", "4a:00.0"]] {
        let told = said(&world, &bus, &args, 11);
        assert!(told.contains("persistence mode of 0000:4a:00.0 is on"), "{told}");
        assert!(told.contains("nvidia-smi -i 0000:4a:00.0 -pm 0"), "{told}");
    }
    assert!(said(&world, &bus, &["gpus"], 0).contains("0000:4a:00.0"), "and it is where it was");
}

/// A card on NVIDIA's driver, none of whose tools are installed.
const WITHOUT_TOOLS: &str = r#"
name = "without-tools"
summary = "NVIDIA's module without its libraries and tools."
[driver]
version = "570.144"
cuda = "12.8"
[faults]
nvml = "missing"
smi = "missing"
[models.card]
id = "10de:26b9"
class = 0x030200
subsystem = "10de:1851"
[[gpus]]
address = "0000:01:00.0"
model = "card"
group = 14
driver = "nvidia"
persistence = false
"#;

#[test]
fn what_nobody_can_tell_is_said_and_stands_in_nobodys_way() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let host = world.path().join("host.toml");
    fs::write(&host, WITHOUT_TOOLS).expect("host");
    let _daemon = SimDaemon::start(&world, &bus.address, host.to_str().expect("UTF-8"));
    for args in [&["passthrough", "check", "01:00.0"][..], &["passthrough", "bind", "01:00.0"]] {
        let told = said(&world, &bus, args, 0);
        assert!(told.contains("note: whether persistence mode of 0000:01:00.0 is on is not known"), "{told}");
    }
    let released = said(&world, &bus, &["passthrough", "release", "01:00.0"], 0);
    assert!(!released.contains("note:"), "{released}");
}

#[test]
fn a_gpu_that_fell_off_the_bus_is_named_as_such() {
    let (world, bus, _daemon) = simulated("mixed-faults");
    for args in [["passthrough", "check", "65:00.0"], ["passthrough", "bind", "65:00.0"]] {
        let told = said(&world, &bus, &args, 11);
        assert!(told.contains("the GPU is not healthy") && told.contains("gpu_lost"), "{told}");
        assert!(told.contains("dmesg"), "{told}");
    }
    let told = said(&world, &bus, &["gpus"], 0);
    assert!(told.contains("failed gpu_lost"), "its alarm stands: {told}");
}

/// Two equal cards that a setting on the kernel's command line gives to vfio-pci.
const TAKEN: &str = r#"
name = "taken-at-boot"
summary = "Two equal cards, both taken by vfio-pci through the kernel's command line."
[driver]
version = "570.144"
cuda = "12.8"
[software]
cmdline = "BOOT_IMAGE=/vmlinuz quiet vfio_pci.ids=10de:2684:ffffffff:ffffffff:030000:ffff00,10de:22ba"
[host]
os_id = "fedora"
[models.card]
id = "10de:2684"
class = 0x030000
subsystem = "1043:889a"
[[gpus]]
address = "0000:01:00.0"
model = "card"
group = 14
driver = "vfio-pci"
[[gpus]]
address = "0000:02:00.0"
model = "card"
group = 15
driver = "vfio-pci"
"#;

#[test]
fn a_gpu_that_a_setting_takes_is_explained_by_it_and_not_by_a_machine_that_nobody_has_seen() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let host = world.path().join("taken.toml");
    fs::write(&host, TAKEN).expect("host");
    let _daemon = SimDaemon::start(&world, &bus.address, host.to_str().expect("UTF-8"));
    let listed = said(&world, &bus, &["gpus"], 0);
    let checked = said(&world, &bus, &["passthrough", "check", "01:00.0"], 11);
    let released = said(&world, &bus, &["passthrough", "release", "01:00.0"], 11);
    for told in [listed, checked, released] {
        assert!(told.contains("vfio_pci.ids= in /proc/cmdline"), "{told}");
        assert!(told.contains("echo 10de 2684 > /sys/bus/pci/drivers/vfio-pci/remove_id"), "{told}");
        assert!(told.contains("grubby"), "the remedy fits the host: {told}");
        assert!(!told.contains("virtual machine"), "{told}");
    }
}

/// A display controller that is no VGA controller, without a driver, beside a bridge.
const APU: &str = r#"
name = "apu"
summary = "A display controller without a driver; the firmware draws on it."
[host]
os_id = "fedora"
[models.apu]
id = "1002:1586"
class = 0x038000
subsystem = "f111:000a"
[[gpus]]
address = "0000:c3:00.0"
model = "apu"
parent = "0000:00:08.1"
group = 21
[[functions]]
address = "0000:00:08.1"
id = "1022:150b"
class = 0x060400
driver = "pcieport"
group = 7
"#;

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    fs::write(path, text).expect("file");
}

/// What `passthrough check` says of the APU on a tree that this has changed, asked of the real hands.
fn checked(change: impl FnOnce(&Path, &Path)) -> String {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let described = world.path().join("apu.toml");
    fs::write(&described, APU).expect("host");
    let tree = world.host_tree(described.to_str().expect("UTF-8"));
    let gpu = fs::canonicalize(tree.join("sys/bus/pci/devices/0000:c3:00.0")).expect("the GPU");
    change(&tree, &gpu);
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let _daemon = Daemon::start(&world, &start);
    assert!(world.ctl(&bus.address, &["rescan"]).status.success());
    said(&world, &bus, &["passthrough", "check", "c3:00.0"], 11)
}

#[test]
fn the_simulated_kernel_shows_it_as_the_real_one_does() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let described = world.path().join("apu.toml");
    fs::write(&described, APU.replace("group = 21", "group = 21\nframe_buffer = \"simpledrmdrmfb\"")).expect("host");
    let host = described.to_str().expect("UTF-8");
    let in_process = {
        let _daemon = SimDaemon::start(&world, &bus.address, host);
        said(&world, &bus, &["passthrough", "check", "c3:00.0"], 11)
    };
    let tree = world.host_tree(host);
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let _daemon = Daemon::start(&world, &start);
    assert!(world.ctl(&bus.address, &["rescan"]).status.success());
    let on_disk = said(&world, &bus, &["passthrough", "check", "c3:00.0"], 11);
    let words = |told: &str| told.lines().find(|line| line.contains("console_in_use")).map(str::to_owned);
    assert!(words(&in_process).is_some_and(|told| told.contains("fb0 (simpledrmdrmfb)")), "{in_process}");
    assert_eq!(words(&in_process), words(&on_disk));
}

#[test]
fn the_firmwares_frame_buffer_is_in_the_way_in_every_shape() {
    let nothing = checked(|_, _| {});
    assert!(!nothing.contains("console_in_use"), "{nothing}");
    let child = checked(|_, gpu| {
        put(&gpu.join("simple-framebuffer.0/drm/card0/dev"), "226:0\n");
        put(&gpu.join("simple-framebuffer.0/graphics/fb0/name"), "simpledrmdrmfb\n");
        put(&gpu.join("boot_display"), "1\n");
    });
    assert!(child.contains("console_in_use") && child.contains("simpledrmdrmfb"), "{child}");
    assert!(child.contains("boot_display") && child.contains("initcall_blacklist=sysfb_init"), "{child}");
    let platform = checked(|tree, _| {
        put(&tree.join("sys/devices/platform/efi-framebuffer.0/graphics/fb0/name"), "EFI VGA\n");
    });
    assert!(platform.contains("console_in_use") && platform.contains("EFI VGA"), "{platform}");
    let reserved = checked(|tree, _| {
        put(&tree.join("proc/iomem"), "00000000-00000000 : 0000:c3:00.0\n  00000000-00000000 : BOOTFB\n");
    });
    assert!(reserved.contains("console_in_use") && reserved.contains("BOOTFB"), "{reserved}");
}
